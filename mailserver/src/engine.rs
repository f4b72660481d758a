//! The mirror engine behind the door, and under the administrator's hands.

use crate::admin::{Compared, Control};
use crate::service::{
    BodyError, ChangeError, Core, Counts, MessageRow, Pending, ReadError, ShowError, Snapshot, Source, Vanished,
};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mailmirror_control::record::Record;
use mailmirror_control::status::{NodeStatus, RecordAnswer};
use mailmirror_mirror::{Engine, ProposeError, Ticket, TicketError};
use mailmirror_model::ids::{AccountId, BodyId, MailboxId, ModSeq, Uid};
use mailmirror_model::operation::Change;
use mailmirror_model::outcome::{Outcome, Touched};
use mailmirror_model::state::{Account, Mailbox, View as _};
use mailmirror_store::{Reader, Scope, StoreError};
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

/// Accounts that are read at once while one is looked for.
const ACCOUNTS_PAGE: u32 = 1000;

/// The engine of this node.
#[derive(Clone)]
pub struct Mirrored(pub Engine);

struct OnItsWay(Ticket);

struct Index(Reader);

impl Core for Mirrored {
    fn propose(&self, change: Change, bodies: Vec<Bytes>) -> BoxFuture<'_, Result<Box<dyn Pending>, ChangeError>> {
        async move {
            let ticket = self.0.propose(change, bodies).await.map_err(refused)?;
            Ok(Box::new(OnItsWay(ticket)) as Box<dyn Pending>)
        }
        .boxed()
    }

    fn read_point(&self) -> BoxFuture<'_, Result<Arc<dyn Source>, ShowError>> {
        async move {
            let reader = self.0.read_point().await;
            let reader = reader.map_err(|error| ShowError::Unavailable { why: error.to_string() })?;
            Ok(Arc::new(Index(reader)) as Arc<dyn Source>)
        }
        .boxed()
    }

    fn reader(&self) -> Arc<dyn Source> {
        Arc::new(Index(self.0.reader()))
    }

    fn body(&self, body: BodyId) -> BoxFuture<'_, Result<Bytes, BodyError>> {
        async move {
            self.0.body(body).await.map_err(|error| match error {
                mailmirror_mirror::BodyError::Gone => BodyError::Gone,
                other => BodyError::Read(other.to_string()),
            })
        }
        .boxed()
    }

    fn touched(&self) -> broadcast::Receiver<Arc<[Touched]>> {
        self.0.touched()
    }

    fn status(&self) -> watch::Receiver<Arc<NodeStatus>> {
        self.0.status()
    }
}

impl Control for Mirrored {
    fn status(&self) -> watch::Receiver<Arc<NodeStatus>> {
        self.0.status()
    }

    fn obey(&self, record: Record) -> BoxFuture<'_, RecordAnswer> {
        async move {
            let late =
                |refusal| RecordAnswer { refused: Some(refusal), status: self.0.status().borrow().as_ref().clone() };
            self.0.obey(record).await.unwrap_or_else(late)
        }
        .boxed()
    }

    fn promote(&self, accept_loss: bool) -> BoxFuture<'_, Result<(), String>> {
        async move { tokio::task::block_in_place(|| self.0.promote(accept_loss)).map_err(|error| error.to_string()) }
            .boxed()
    }

    fn swap(&self) -> BoxFuture<'_, Result<(), String>> {
        async move { self.0.swap().await.map_err(|error| error.to_string()) }.boxed()
    }

    fn compare(&self) -> BoxFuture<'_, Result<Compared, String>> {
        async move {
            let found = self.0.compare().await.map_err(|error| error.to_string())?;
            let hex = |digest: u128| format!("{digest:032x}");
            Ok(Compared { position: found.position, ours: hex(found.ours), theirs: hex(found.theirs) })
        }
        .boxed()
    }

    fn rebuild_index(&self) -> BoxFuture<'_, Result<u64, String>> {
        async move { self.0.rebuild_index().await.map_err(|error| error.to_string()) }.boxed()
    }
}

impl Pending for OnItsWay {
    fn committed(&mut self) -> BoxFuture<'_, Result<(), ChangeError>> {
        async move { self.0.committed().await.map_err(ended) }.boxed()
    }

    fn applied(self: Box<Self>) -> BoxFuture<'static, Result<Outcome, ChangeError>> {
        async move { self.0.applied().await.map_err(ended) }.boxed()
    }
}

fn refused(error: ProposeError) -> ChangeError {
    match error {
        ProposeError::NoSpace => ChangeError::NoSpace,
        ProposeError::TooLarge => ChangeError::TooLarge,
        ProposeError::Refused(refusal) => ChangeError::Refused(refusal),
        ProposeError::Store(why) => ChangeError::Internal(why),
        ProposeError::NoRole | ProposeError::Holding | ProposeError::QueueFull | ProposeError::ShuttingDown => {
            ChangeError::Unavailable { why: error.to_string() }
        }
    }
}

fn ended(error: TicketError) -> ChangeError {
    match error {
        TicketError::Lost => ChangeError::Unknown,
        TicketError::Refused(error) => refused(error),
    }
}

impl Source for Index {
    fn look(&self, question: &mut dyn FnMut(&dyn Snapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        let mut answer = Ok(());
        let read = self.0.snapshot(|snapshot| {
            answer = question(&Moment(snapshot));
            Ok(())
        });
        read.map_err(failed).and(answer)
    }
}

struct Moment<'a>(&'a mailmirror_store::Snapshot);

#[allow(clippy::needless_pass_by_value)] // as `map_err` wants it
fn failed(error: StoreError) -> ReadError {
    ReadError(error.to_string())
}

impl Moment<'_> {
    /// What an entry was set aside for is not served on this node (rule L4).
    fn check_thawed(&self, mailbox: MailboxId) -> Result<(), ReadError> {
        if self.0.is_frozen(Scope::Mailbox(mailbox)).map_err(failed)? {
            return Err(ReadError(format!("an entry for mailbox {mailbox} was set aside: run `tellmail resync_fast`")));
        }
        Ok(())
    }
}

impl Snapshot for Moment<'_> {
    fn account(&self, id: AccountId) -> Result<Option<Account>, ReadError> {
        self.0.account(id).map_err(failed)
    }

    fn account_by_address(&self, address: &str) -> Result<Option<AccountId>, ReadError> {
        self.0.account_by_address(address).map_err(failed)
    }

    fn find_accounts(&self, part: &str, limit: usize) -> Result<Vec<Account>, ReadError> {
        let mut found = Vec::new();
        let mut after = String::new();
        while found.len() < limit {
            let page = self.0.accounts_after(&after, ACCOUNTS_PAGE).map_err(failed)?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.address);
            found.extend(page.into_iter().filter(|account| account.address.contains(part)));
        }
        found.truncate(limit);
        Ok(found)
    }

    fn used_bytes(&self, account: AccountId) -> Result<u64, ReadError> {
        self.0.usage(account).map(|(_, bytes)| bytes).map_err(failed)
    }

    fn mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>, ReadError> {
        self.0.mailbox(id).map_err(failed)
    }

    fn mailbox_by_name(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, ReadError> {
        self.0.mailbox_by_name(account, name).map_err(failed)
    }

    fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, ReadError> {
        self.0.mailboxes(account).map_err(failed)
    }

    fn subscriptions(&self, account: AccountId) -> Result<Vec<String>, ReadError> {
        self.0.subscriptions(account).map_err(failed)
    }

    fn counts(&self, mailbox: MailboxId) -> Result<Counts, ReadError> {
        let found = self.0.mailbox_status(mailbox).map_err(failed)?;
        Ok(found.map_or_else(Counts::default, |status| Counts {
            messages: status.messages,
            unseen: status.unseen,
            deleted: status.deleted,
            size_bytes: status.size_bytes,
        }))
    }

    fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<MessageRow>, ReadError> {
        self.check_thawed(mailbox)?;
        let found = self.0.rows_between(mailbox, uid, uid.get(), 1).map_err(failed)?;
        Ok(found.first().map(row))
    }

    fn messages(&self, mailbox: MailboxId) -> Result<Vec<MessageRow>, ReadError> {
        self.check_thawed(mailbox)?;
        Ok(self.0.rows(mailbox).map_err(failed)?.iter().map(row).collect())
    }

    fn messages_between(
        &self,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
        limit: usize,
    ) -> Result<Vec<MessageRow>, ReadError> {
        self.check_thawed(mailbox)?;
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        Ok(self.0.rows_between(mailbox, first, last.get(), limit).map_err(failed)?.iter().map(row).collect())
    }

    fn changed_since(&self, mailbox: MailboxId, since: ModSeq) -> Result<Vec<MessageRow>, ReadError> {
        self.check_thawed(mailbox)?;
        let changes = self.0.changes_since(mailbox, since).map_err(failed)?;
        Ok(changes.map(|changes| changes.changed.iter().map(row).collect()).unwrap_or_default())
    }

    fn vanished_since(&self, mailbox: MailboxId, since: ModSeq) -> Result<Vanished, ReadError> {
        let changes = self.0.changes_since(mailbox, since).map_err(failed)?;
        Ok(match changes.map(|changes| changes.vanished) {
            Some(mailmirror_store::Vanished::These(uids)) => Vanished::Uids(uids),
            Some(mailmirror_store::Vanished::AllAbsent) | None => Vanished::AllAbsent,
        })
    }
}

fn row(found: &mailmirror_store::MessageRow) -> MessageRow {
    let flags = found.flags().cloned().collect();
    MessageRow {
        uid: found.uid,
        id: found.id,
        body: found.body,
        size_bytes: found.size_bytes,
        internal_date_seconds: found.internal_date_seconds,
        modseq: found.modseq,
        flags,
    }
}
