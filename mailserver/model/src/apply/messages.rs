//! Messages: adding, flags, expunge and move.

use super::{ApplyError, Decided, Run, Uids};
use crate::flags::FlagSet;
use crate::ids::{MailboxId, MessageId, ModSeq, Uid};
use crate::operation::{Add, FlagItem, MessageRef, MoveItem, Stamp};
use crate::outcome::{Done, Placed, Refusal, Touched};
use crate::state::{Mailbox, Message, State};
use std::collections::BTreeSet;

/// A mailbox that an [`crate::operation::Change::Add`] adds to.
struct Target {
    mailbox: Mailbox,
    stamp: Stamp,
    uids: Uids,
    changed: bool,
}

impl<S: State> Run<'_, S> {
    pub(super) fn add(&mut self, adds: &[Add]) -> Decided<S> {
        for add in adds {
            let carried = self.bodies.iter().any(|place| place.body == add.body);
            if !carried && !self.state.has_body(add.body)? {
                return Ok(Err(Refusal::NoBody));
            }
        }
        let Some(mut targets) = self.targets(adds)? else { return Ok(Err(Refusal::OutOfUids)) };
        let mut placed = Vec::with_capacity(adds.len());
        for add in adds {
            let target = targets.iter_mut().find(|target| target.mailbox.id == add.mailbox);
            placed.push(match target {
                Some(target) => Some(self.add_one(target, add)?),
                None => None,
            });
        }
        for target in targets.iter_mut().filter(|target| target.changed) {
            target.mailbox.highest_modseq = target.stamp.modseq;
            self.state.put_mailbox(&target.mailbox)?;
            self.touched.insert(Touched::Mailbox(target.mailbox.id));
        }
        Ok(Ok(Done::Added(placed)))
    }

    /// The mailboxes that are there, each with UIDs for all that it gets; `None` where one has not enough.
    fn targets(&self, adds: &[Add]) -> Result<Option<Vec<Target>>, ApplyError<S::Error>> {
        let mut targets: Vec<Target> = Vec::new();
        for (at, add) in adds.iter().enumerate() {
            if adds[..at].iter().any(|earlier| earlier.mailbox == add.mailbox) {
                continue;
            }
            let Some(mailbox) = self.state.mailbox(add.mailbox)? else { continue };
            let stamp = self.stamp(mailbox.id)?;
            let count = adds[at..].iter().filter(|other| other.mailbox == mailbox.id).count();
            let Some(uids) = Uids::reserve(&mailbox, &stamp, count)? else { return Ok(None) };
            targets.push(Target { mailbox, stamp, uids, changed: false });
        }
        Ok(Some(targets))
    }

    fn add_one(&mut self, target: &mut Target, add: &Add) -> Result<Placed, ApplyError<S::Error>> {
        let known = self.state.message_by_id(add.mailbox, add.message)?;
        let uid = if let Some(known) = known {
            // The same message under another origin: what is there stays as it is.
            known.uid
        } else {
            if let Some(place) = self.bodies.iter().find(|place| place.body == add.body) {
                self.state.put_body(place)?;
            }
            let uid = target.uids.take(&mut target.mailbox)?;
            target.changed = true;
            self.state.put_message(&Message {
                mailbox: add.mailbox,
                uid,
                id: add.message,
                body: add.body,
                size_bytes: add.size_bytes,
                internal_date_seconds: add.internal_date_seconds,
                flags: FlagSet::new(add.flags.iter().cloned(), self.operation.when),
                modseq: target.stamp.modseq,
                added: self.seq,
            })?;
            uid
        };
        Ok(Placed { mailbox: add.mailbox, uid_validity: target.mailbox.uid_validity, uid })
    }

    pub(super) fn flags(&mut self, id: MailboxId, items: &[FlagItem], unchanged_since: Option<ModSeq>) -> Decided<S> {
        let Some(mailbox) = self.state.mailbox(id)? else { return Ok(Err(Refusal::NoMailbox)) };
        let stamp = self.stamp(id)?;
        let when = self.operation.when;
        let mut modified = Vec::new();
        let mut changed = false;
        for item in items {
            let Some(mut message) = self.find(id, item.target)? else { continue };
            // A mod-sequence of this very operation does not count: it was checked the first time.
            let later = unchanged_since.is_some_and(|limit| message.modseq > limit && message.modseq != stamp.modseq);
            if later {
                modified.push(message.uid);
                continue;
            }
            let before = message.flags.clone();
            let mut different = false;
            for flag in &item.clear {
                different |= message.flags.change(flag, false, when);
            }
            for flag in &item.set {
                different |= message.flags.change(flag, true, when);
            }
            if different {
                message.modseq = stamp.modseq;
                changed = true;
            }
            // The time of a flag counts even where its value stays (rule U7).
            if message.flags != before {
                self.state.put_message(&message)?;
            }
        }
        if changed {
            self.raise(mailbox, stamp.modseq)?;
        }
        Ok(Ok(Done::Flagged { modified }))
    }

    pub(super) fn expunge(&mut self, id: MailboxId, items: &[MessageRef]) -> Decided<S> {
        let Some(mailbox) = self.state.mailbox(id)? else { return Ok(Err(Refusal::NoMailbox)) };
        let stamp = self.stamp(id)?;
        let mut changed = false;
        for item in items {
            let Some(message) = self.find(id, *item)? else { continue };
            self.state.remove_message(id, message.uid)?;
            self.state.put_tombstone(id, message.uid, stamp.modseq)?;
            changed = true;
        }
        if changed {
            self.raise(mailbox, stamp.modseq)?;
        }
        Ok(Ok(Done::Plain))
    }

    pub(super) fn move_messages(&mut self, from: MailboxId, to: MailboxId, items: &[MoveItem]) -> Decided<S> {
        let (Some(mut source), Some(mut target)) = (self.state.mailbox(from)?, self.state.mailbox(to)?) else {
            return Ok(Err(Refusal::NoMailbox));
        };
        let (out, into) = (self.stamp(from)?, self.stamp(to)?);
        let sources = self.find_sources(from, to, items)?;
        let Some(uids) = Uids::reserve(&target, &into, sources.len())? else {
            return Ok(Err(Refusal::OutOfUids));
        };
        if sources.is_empty() {
            return Ok(Ok(Done::Moved(Vec::new())));
        }
        let pairs = self.carry_over((&mut source, out.modseq), (&mut target, into.modseq), sources, uids)?;
        if from != to {
            self.state.put_mailbox(&source)?;
        }
        self.state.put_mailbox(&target)?;
        Ok(Ok(Done::Moved(pairs)))
    }

    /// The messages of a move that are still there, each once, with their new identities. Where the new identity is
    /// there already the message stays where it is.
    pub(super) fn find_sources(
        &self,
        from: MailboxId,
        to: MailboxId,
        items: &[MoveItem],
    ) -> Result<Vec<(Message, MessageId)>, ApplyError<S::Error>> {
        let mut sources: Vec<(Message, MessageId)> = Vec::with_capacity(items.len());
        let (mut old, mut new) = (BTreeSet::new(), BTreeSet::new());
        for item in items {
            let Some(message) = self.find(from, item.source)? else { continue };
            if self.state.message_by_id(to, item.message)?.is_none()
                && !new.contains(&item.message)
                && old.insert(message.uid)
            {
                new.insert(item.message);
                sources.push((message, item.message));
            }
        }
        Ok(sources)
    }

    /// Moves messages that were found, and raises the numbers of both mailboxes; the caller writes those.
    pub(super) fn carry_over(
        &mut self,
        (source, out_modseq): (&mut Mailbox, ModSeq),
        (target, in_modseq): (&mut Mailbox, ModSeq),
        messages: Vec<(Message, MessageId)>,
        mut uids: Uids,
    ) -> Result<Vec<(Uid, Placed)>, ApplyError<S::Error>> {
        let mut pairs = Vec::with_capacity(messages.len());
        for (message, new_id) in messages {
            let old_uid = message.uid;
            let uid = uids.take(target)?;
            // Added before the old one goes: the body has a message at every moment.
            self.state.put_message(&Message {
                mailbox: target.id,
                uid,
                id: new_id,
                modseq: in_modseq,
                added: self.seq,
                ..message
            })?;
            self.state.remove_message(source.id, old_uid)?;
            self.state.put_tombstone(source.id, old_uid, out_modseq)?;
            pairs.push((old_uid, Placed { mailbox: target.id, uid_validity: target.uid_validity, uid }));
        }
        if !pairs.is_empty() {
            source.highest_modseq = out_modseq;
            target.highest_modseq = in_modseq;
            self.touched.extend([Touched::Mailbox(source.id), Touched::Mailbox(target.id)]);
        }
        Ok(pairs)
    }

    /// The UID finds a message, its identity says whether it is the one that was meant. One that a rebase gave another
    /// UID is found by its identity (rule U2).
    fn find(&self, mailbox: MailboxId, wanted: MessageRef) -> Result<Option<Message>, ApplyError<S::Error>> {
        let by_uid = self.state.message(mailbox, wanted.uid)?;
        if let Some(message) = by_uid.filter(|message| message.id == wanted.message) {
            return Ok(Some(message));
        }
        Ok(self.state.message_by_id(mailbox, wanted.message)?)
    }

    pub(super) fn raise(&mut self, mut mailbox: Mailbox, modseq: ModSeq) -> Result<(), ApplyError<S::Error>> {
        mailbox.highest_modseq = modseq;
        self.state.put_mailbox(&mailbox)?;
        self.touched.insert(Touched::Mailbox(mailbox.id));
        Ok(())
    }
}
