//! Taking mail: who a recipient is, and one message into the INBOX of each of several.

use super::Service;
use super::error::{ChangeError, RcptError, ReadError};
use super::view::View;
use crate::accounts::Address;
use bytes::Bytes;
use mailmirror_model::ids::{AccountId, BodyId, MailboxId, MessageId};
use mailmirror_model::operation::{Add, BodyMeta, Change};
use mailmirror_model::outcome::Refusal;
use mailmirror_model::state::Account;
use std::time::Instant;

/// Bodies above this are hashed beside the event loop.
const HASH_INLINE_MAX_BYTES: usize = 256 * 1024;

impl Service {
    /// Which account takes mail for `address`; `size_bytes` is what the sender has declared, or 0. The quota is looked
    /// at here, at the door, and never again: a mirrored message is not refused.
    ///
    /// # Errors
    /// [`RcptError`].
    pub async fn resolve_recipient(&self, address: &str, size_bytes: u64) -> Result<AccountId, RcptError> {
        let Some(address) = self.address(address) else {
            return Err(if self.is_hosted(address) { RcptError::NoSuchUser } else { RcptError::NotLocal });
        };
        let unavailable = |error: &dyn std::fmt::Display| RcptError::Unavailable(error.to_string());
        let view = self.peek();
        let found = recipient(&view, address.clone()).await.map_err(|error| unavailable(&error))?;
        let (account, used) = if let Some(found) = found {
            found
        } else {
            // Before a sender is told that there is no such user this node must be as new as its peer (rule N4).
            let view = self.show().await.map_err(|error| unavailable(&error))?;
            let found = recipient(&view, address).await.map_err(|error| unavailable(&error))?;
            found.ok_or(RcptError::NoSuchUser)?
        };
        if !account.enabled {
            return Err(RcptError::Disabled);
        }
        if account.quota_bytes.is_some_and(|quota| used.saturating_add(size_bytes) > quota) {
            return Err(RcptError::OverQuota);
        }
        Ok(account.id)
    }

    /// One message into the INBOX of each recipient, stored once. `Ok` when it is committed: SMTP answers `250`. An account
    /// that was deleted since it was resolved gets nothing.
    ///
    /// # Errors
    /// [`ChangeError`]; after [`ChangeError::Unknown`] close the connection without an answer (rule N6).
    pub async fn deliver(
        &self,
        recipients: &[AccountId],
        body: Bytes,
        received_at_seconds: i64,
    ) -> Result<(), ChangeError> {
        let start = Instant::now();
        let outcome = self.deliver_to(recipients, body, received_at_seconds).await;
        self.metrics().delivered(&outcome, start.elapsed());
        outcome
    }

    async fn deliver_to(
        &self,
        recipients: &[AccountId],
        body: Bytes,
        received_at_seconds: i64,
    ) -> Result<(), ChangeError> {
        if body.len() as u64 > self.settings().limits.message_max_bytes {
            return Err(ChangeError::TooLarge);
        }
        let mut recipients = recipients.to_vec();
        recipients.sort_unstable();
        recipients.dedup();
        let mut inboxes = inboxes_of(&self.peek(), recipients.clone()).await?;
        if inboxes.len() < recipients.len() {
            // An index that is being built anew knows nobody for a while: nobody is missing before a read point says so.
            let view = self.show().await.map_err(|error| ChangeError::Unavailable { why: error.to_string() })?;
            inboxes = inboxes_of(&view, recipients).await?;
        }
        if inboxes.is_empty() {
            return Err(ChangeError::Refused(Refusal::NoAccount));
        }
        let (id, size_bytes) = (identity_of(&body).await?, body.len() as u64);
        let adds = inboxes.into_iter().map(|mailbox| Add {
            mailbox,
            message: MessageId(rand::random()),
            body: id,
            size_bytes,
            internal_date_seconds: received_at_seconds,
            flags: Vec::new(),
        });
        let change = Change::Add { adds: adds.collect(), bodies: vec![BodyMeta { body: id, size_bytes }] };
        self.core().propose(change, vec![body]).await?.committed().await
    }

    fn is_hosted(&self, text: &str) -> bool {
        let domain = text.rsplit_once('@').map(|(_, domain)| domain.strip_suffix('.').unwrap_or(domain).to_lowercase());
        domain.is_none_or(|domain| self.settings().domains.contains(&domain))
    }
}

/// The INBOX of each account that is there.
async fn inboxes_of(view: &View, accounts: Vec<AccountId>) -> Result<Vec<MailboxId>, ReadError> {
    view.read(move |snapshot| {
        let mut found = Vec::with_capacity(accounts.len());
        for account in accounts {
            found.extend(snapshot.mailbox_by_name(account, "INBOX")?.map(|mailbox| mailbox.id));
        }
        Ok(found)
    })
    .await
}

/// The account with this address and the bytes that it holds.
async fn recipient(view: &View, address: Address) -> Result<Option<(Account, u64)>, ReadError> {
    view.read(move |snapshot| {
        let Some(id) = snapshot.account_by_address(address.as_str())? else { return Ok(None) };
        let Some(account) = snapshot.account(id)? else { return Ok(None) };
        let used = if account.quota_bytes.is_some() { snapshot.used_bytes(id)? } else { 0 };
        Ok(Some((account, used)))
    })
    .await
}

/// The identity of these bytes.
pub(super) async fn identity_of(body: &Bytes) -> Result<BodyId, ChangeError> {
    if body.len() <= HASH_INLINE_MAX_BYTES {
        return Ok(BodyId::of(body));
    }
    let body = body.clone();
    let hashing = tokio::task::spawn_blocking(move || BodyId::of(&body));
    hashing.await.map_err(|stopped| ChangeError::Internal(stopped.to_string()))
}
