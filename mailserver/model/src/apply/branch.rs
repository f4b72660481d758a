//! What a rebase writes (rules U2, U3, U6).

use super::{ApplyError, Decided, Run};
use crate::ids::{AccountId, MailboxId, MessageId, Seq, Uid};
use crate::outcome::{Done, Refusal, Touched};
use crate::state::{Mailbox, State};
use std::collections::BTreeSet;

impl<S: State> Run<'_, S> {
    /// A UID that is in use is passed over: it means something. UIDNEXT is put above all of them (rule U4).
    pub(super) fn tombstone(&mut self, id: MailboxId, uids: &[Uid]) -> Decided<S> {
        let Some(mut mailbox) = self.state.mailbox(id)? else { return Ok(Err(Refusal::NoMailbox)) };
        let stamp = self.stamp(id)?;
        let mut changed = false;
        for &uid in uids {
            if self.state.message(id, uid)?.is_some() {
                continue;
            }
            self.state.put_tombstone(id, uid, stamp.modseq)?;
            if mailbox.uid_next.is_some_and(|next| uid >= next) {
                mailbox.uid_next = uid.plus(1);
            }
            changed = true;
        }
        if changed {
            self.raise(mailbox, stamp.modseq)?;
        }
        Ok(Ok(Done::Plain))
    }

    pub(super) fn touch(&mut self, id: MailboxId, items: &[MessageId]) -> Decided<S> {
        let Some(mailbox) = self.state.mailbox(id)? else { return Ok(Err(Refusal::NoMailbox)) };
        let stamp = self.stamp(id)?;
        let mut changed = false;
        for &item in items {
            let Some(mut message) = self.state.message_by_id(id, item)? else { continue };
            message.modseq = stamp.modseq;
            self.state.put_message(&message)?;
            changed = true;
        }
        if changed {
            self.raise(mailbox, stamp.modseq)?;
        }
        Ok(Ok(Done::Plain))
    }

    pub(super) fn branch_delete(
        &mut self,
        id: AccountId,
        mailbox: Option<MailboxId>,
        through: Seq,
        items: &[MessageId],
    ) -> Decided<S> {
        let Some(mut account) = self.state.account(id)? else { return Ok(Err(Refusal::NoAccount)) };
        let mut mailboxes = self.state.mailboxes(id)?;
        if let Some(wanted) = mailbox {
            mailboxes.retain(|mailbox| mailbox.id == wanted);
            match mailboxes.first() {
                None => return Ok(Err(Refusal::NoMailbox)),
                Some(mailbox) if mailbox.name == "INBOX" => return Ok(Err(Refusal::Inbox)),
                Some(_) => {}
            }
        }
        let items: BTreeSet<_> = items.iter().copied().collect();
        let mut known = Vec::with_capacity(mailboxes.len());
        let mut newer_mail = false;
        for mailbox in mailboxes {
            let messages = self.state.messages(mailbox.id)?;
            let uids: Vec<Uid> = messages
                .iter()
                .filter(|message| message.added <= through || items.contains(&message.id))
                .map(|message| message.uid)
                .collect();
            newer_mail |= uids.len() < messages.len();
            known.push((mailbox, uids));
        }
        if newer_mail {
            self.remove_known(known)?;
            if mailbox.is_none() {
                account.enabled = false;
                self.state.put_account(&account)?;
            }
        } else if mailbox.is_none() {
            return self.delete_account(id);
        } else {
            for (mailbox, _) in known {
                self.state.remove_mailbox(mailbox.id)?;
                self.touched.insert(Touched::Mailbox(mailbox.id));
            }
        }
        self.touched.insert(Touched::Account(id));
        Ok(Ok(Done::Plain))
    }

    fn remove_known(&mut self, known: Vec<(Mailbox, Vec<Uid>)>) -> Result<(), ApplyError<S::Error>> {
        let with_messages = known.into_iter().filter(|(_, uids)| !uids.is_empty());
        let stamped = with_messages.map(|(mailbox, uids)| Ok((self.stamp(mailbox.id)?.modseq, mailbox, uids)));
        // All numbers are looked up before anything is written.
        for (modseq, mailbox, uids) in stamped.collect::<Result<Vec<_>, ApplyError<S::Error>>>()? {
            for uid in uids {
                self.state.remove_message(mailbox.id, uid)?;
                self.state.put_tombstone(mailbox.id, uid, modseq)?;
            }
            self.raise(mailbox, modseq)?;
        }
        Ok(())
    }
}
