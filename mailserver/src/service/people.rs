//! Accounts: logging in, and what the administrator does with them.

use super::error::{AuthError, ChangeError, ReadError};
use super::mailboxes::new_mailbox_id;
use super::view::View;
use super::{AccountHandle, Service};
use crate::accounts::{Address, HashError};
use mailmirror_model::ids::AccountId;
use mailmirror_model::operation::{Change, NewMailbox, SpecialUse};
use mailmirror_model::outcome::Refusal;
use mailmirror_model::state::Account;

/// What every account begins with, all of it subscribed.
const FIRST_MAILBOXES: [(&str, Option<SpecialUse>); 6] = [
    ("INBOX", None),
    ("Drafts", Some(SpecialUse::Drafts)),
    ("Sent", Some(SpecialUse::Sent)),
    ("Junk", Some(SpecialUse::Junk)),
    ("Trash", Some(SpecialUse::Trash)),
    ("Archive", Some(SpecialUse::Archive)),
];

impl Service {
    /// Checks a name and a password. Needs no read point where they are right by what this node has; before somebody is
    /// denied it takes one, as the account or its password may be newer than that.
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn authenticate(&self, login: &str, password: &str) -> Result<AccountHandle, AuthError> {
        let outcome = self.authenticated(login, password).await;
        self.metrics().login(&outcome);
        outcome
    }

    async fn authenticated(&self, login: &str, password: &str) -> Result<AccountHandle, AuthError> {
        let unavailable = |error: &dyn std::fmt::Display| AuthError::Unavailable(error.to_string());
        let address = self.address(login);
        let seen = account_named(&self.peek(), address.as_ref()).await.map_err(|error| unavailable(&error))?;
        if let Some(handle) = self.check(login, password, seen.as_ref()).await? {
            return Ok(handle);
        }
        let view = self.show().await.map_err(|error| unavailable(&error))?;
        let now = account_named(&view, address.as_ref()).await.map_err(|error| unavailable(&error))?;
        if now == seen {
            return Err(AuthError::Denied);
        }
        self.check(login, password, now.as_ref()).await?.ok_or(AuthError::Denied)
    }

    async fn check(
        &self,
        login: &str,
        password: &str,
        account: Option<&Account>,
    ) -> Result<Option<AccountHandle>, AuthError> {
        let known_as = account.map_or(login, |account| account.address.as_str());
        let stored = account.map(|account| account.password.as_str());
        let holds = self.inner.hasher.verify(known_as, password, stored).await.map_err(|_| AuthError::Busy)?;
        let account = account.filter(|account| holds && account.enabled);
        Ok(account.map(|account| AccountHandle { id: account.id, address: account.address.clone() }))
    }

    /// Creates an account with its first mailboxes.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn create_account(&self, address: &str, password: &str) -> Result<AccountHandle, ChangeError> {
        let address = self.hosted_address(address)?;
        let known = account_named(&self.peek(), Some(&address)).await?;
        if known.is_some() {
            return Err(Refusal::AddressTaken.into());
        }
        let password = self.inner.hasher.hash(password).await?;
        let account = AccountId(rand::random());
        let mailboxes = FIRST_MAILBOXES.map(|(name, special_use)| NewMailbox {
            mailbox: new_mailbox_id(),
            name: name.to_owned(),
            special_use,
        });
        let change = Change::CreateAccount {
            account,
            address: address.to_string(),
            password,
            mailboxes: mailboxes.to_vec(),
            quota_bytes: self.settings().quota_default_bytes,
        };
        self.change(change, Vec::new()).await?;
        let handle = AccountHandle { id: account, address: address.to_string() };
        let subscribing = FIRST_MAILBOXES.map(|(name, _)| self.subscribe(&handle, name, true));
        for subscribed in futures::future::join_all(subscribing).await {
            // The account is there and works: a missing subscription is no reason to say that it is not.
            if let Err(error) = subscribed {
                tracing::warn!(account = handle.address, %error, "failed to subscribe a new account to a mailbox");
            }
        }
        Ok(handle)
    }

    /// Sets a password. The old one is not taken any more once this is answered.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn set_password(&self, address: &str, password: &str) -> Result<(), ChangeError> {
        let account = self.find_account(address).await?;
        let password = Some(self.inner.hasher.hash(password).await?);
        let change = Change::SetAccount { account: account.id, password, enabled: None, quota_bytes: None };
        self.change(change, Vec::new()).await.map(|_| ())
    }

    /// Deletes an account with all it holds.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn delete_account(&self, address: &str) -> Result<(), ChangeError> {
        let account = self.find_account(address).await?.id;
        self.change(Change::DeleteAccount { account }, Vec::new()).await.map(|_| ())
    }

    /// Accounts whose address contains `part`, by address, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn find_accounts(&self, part: &str, limit: usize) -> Result<Vec<Account>, ReadError> {
        let part = part.trim().to_lowercase();
        self.peek().read(move |snapshot| snapshot.find_accounts(&part, limit)).await
    }

    /// An account by its address.
    ///
    /// # Errors
    /// [`Refusal::NoAccount`], or the disk.
    pub async fn find_account(&self, address: &str) -> Result<Account, ChangeError> {
        let address = self.address(address).ok_or(Refusal::NoAccount)?;
        self.ask(move |snapshot| {
            let id = snapshot.account_by_address(address.as_str())?.ok_or(Refusal::NoAccount)?;
            Ok(snapshot.account(id)?.ok_or(Refusal::NoAccount)?)
        })
        .await
    }

    fn hosted_address(&self, text: &str) -> Result<Address, ChangeError> {
        self.address(text).ok_or_else(|| {
            let hosted = self.settings().domains.join(", ");
            ChangeError::BadName(format!("{text:?} is no address of a hosted domain ({hosted})"))
        })
    }
}

async fn account_named(view: &View, address: Option<&Address>) -> Result<Option<Account>, ReadError> {
    let Some(address) = address.map(ToString::to_string) else { return Ok(None) };
    view.read(move |snapshot| match snapshot.account_by_address(&address)? {
        Some(id) => snapshot.account(id),
        None => Ok(None),
    })
    .await
}

impl From<HashError> for ChangeError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::BadPassword => Self::BadName(error.to_string()),
            HashError::Busy => Self::Unavailable { why: error.to_string() },
            HashError::Function(_) => Self::Internal(error.to_string()),
        }
    }
}
