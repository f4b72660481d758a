//! Creating, deleting, renaming and subscribing.

use mailmirror_imap_proto::response::Code;
use mailmirror_imap_proto::types::{MailboxName, SpecialUse};
use mailmirror_model::outcome::Refusal;

use super::answer::{Done, Stop};
use super::convert::use_from_wire;
use super::session::Session;
use crate::service::ChangeError;

impl Session {
    pub(super) async fn create(&mut self, mailbox: &MailboxName, special_use: &[SpecialUse]) -> Result<Done, Stop> {
        let account = self.account()?;
        let special_use = match special_use {
            [] => None,
            [one] => {
                let refused = || Stop::no(Code::UseAttr, "this special use is not supported");
                Some(use_from_wire(*one).ok_or_else(refused)?)
            }
            _ => return Err(Stop::no(Code::UseAttr, "a mailbox can have one special use")),
        };
        self.show_for_change().await?;
        self.service().create_mailbox(&account, mailbox.as_str(), special_use).await?;
        Ok(Done::new("created"))
    }

    pub(super) async fn delete(&mut self, mailbox: &MailboxName) -> Result<Done, Stop> {
        let account = self.account()?;
        let view = self.show_for_change().await?;
        let found = view.mailbox(account.id, mailbox.as_str()).await?.ok_or_else(Stop::no_mailbox)?;
        match self.service().delete_mailbox(&account, mailbox.as_str()).await {
            Ok(()) => {}
            Err(ChangeError::Refused(Refusal::Inbox)) => return Err(Stop::no(Code::Cannot, "INBOX stays")),
            Err(error) => return Err(error.into()),
        }
        if self.selected().is_ok_and(|selected| selected.id == found.id) {
            self.unselect();
        }
        Ok(Done::new("deleted"))
    }

    pub(super) async fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<Done, Stop> {
        let account = self.account()?;
        self.show_for_change().await?;
        self.service().rename_mailbox(&account, from.as_str(), to.as_str()).await?;
        Ok(Done::new("renamed"))
    }

    pub(super) async fn subscribe(&mut self, mailbox: &MailboxName, subscribed: bool) -> Result<Done, Stop> {
        let account = self.account()?;
        self.show_for_change().await?;
        self.service().subscribe(&account, mailbox.as_str(), subscribed).await?;
        Ok(Done::new(if subscribed { "subscribed" } else { "unsubscribed" }))
    }
}
