//! Accounts, subscriptions and settings.

use super::{Decided, Run};
use crate::ids::AccountId;
use crate::operation::NewMailbox;
use crate::outcome::{Done, Refusal, Touched};
use crate::state::{Account, State};

impl<S: State> Run<'_, S> {
    pub(super) fn create_account(
        &mut self,
        id: AccountId,
        address: &str,
        password: &str,
        mailboxes: &[NewMailbox],
        quota_bytes: Option<u64>,
    ) -> Decided<S> {
        if self.state.account(id)?.is_some() || self.state.account_by_address(address)?.is_some() {
            return Ok(Err(Refusal::AddressTaken));
        }
        let plan = match self.plan_mailboxes(id, mailboxes)? {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.state.put_account(&Account {
            id,
            address: address.to_owned(),
            password: password.to_owned(),
            enabled: true,
            quota_bytes,
        })?;
        for mailbox in &plan {
            self.state.put_mailbox(mailbox)?;
        }
        self.touched.insert(Touched::Account(id));
        Ok(Ok(Done::Plain))
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one says whether it is given, the inner one whether there is a limit"
    )]
    pub(super) fn set_account(
        &mut self,
        id: AccountId,
        password: Option<&str>,
        enabled: Option<bool>,
        quota_bytes: Option<Option<u64>>,
    ) -> Decided<S> {
        let Some(mut account) = self.state.account(id)? else { return Ok(Err(Refusal::NoAccount)) };
        if let Some(password) = password {
            password.clone_into(&mut account.password);
        }
        account.enabled = enabled.unwrap_or(account.enabled);
        account.quota_bytes = quota_bytes.unwrap_or(account.quota_bytes);
        self.state.put_account(&account)?;
        self.touched.insert(Touched::Account(id));
        Ok(Ok(Done::Plain))
    }

    pub(super) fn delete_account(&mut self, id: AccountId) -> Decided<S> {
        if self.state.account(id)?.is_none() {
            return Ok(Err(Refusal::NoAccount));
        }
        for mailbox in self.state.mailboxes(id)? {
            self.state.remove_mailbox(mailbox.id)?;
            self.touched.insert(Touched::Mailbox(mailbox.id));
        }
        self.state.remove_account(id)?;
        self.touched.insert(Touched::Account(id));
        Ok(Ok(Done::Plain))
    }

    pub(super) fn subscribe(&mut self, id: AccountId, name: &str, subscribed: bool) -> Decided<S> {
        if self.state.account(id)?.is_none() {
            return Ok(Err(Refusal::NoAccount));
        }
        if self.state.subscribed(id, name)? != subscribed {
            self.state.set_subscribed(id, name, subscribed)?;
            self.touched.insert(Touched::Account(id));
        }
        Ok(Ok(Done::Plain))
    }

    pub(super) fn put_setting(&mut self, name: &str, values: &[String]) -> Decided<S> {
        if self.state.setting(name)? != values {
            self.state.put_setting(name, values)?;
            self.touched.insert(Touched::Settings);
        }
        Ok(Ok(Done::Plain))
    }
}
