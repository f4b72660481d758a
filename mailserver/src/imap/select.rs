//! Opening and closing a mailbox.

use std::collections::BTreeSet;

use mailmirror_imap_proto::command::{QResync, Select};
use mailmirror_imap_proto::response::{Code, Status};
use mailmirror_imap_proto::types::{Flag as WireFlag, NumberSet};
use mailmirror_model::flags::Flag;
use mailmirror_model::ids::{AccountId, ModSeq, Uid};
use mailmirror_model::state::Mailbox;

use super::answer::{Done, Stop};
use super::convert::{flags_of, to_wire};
use super::mailbox_view::MailboxView;
use super::rows::for_each_row;
use super::session::Session;
use super::sync::Told;
use crate::service::{MessageRow, ReadError, Snapshot, Vanished};

/// Keywords of a mailbox that are told when it is opened; new ones can always be made.
const KEYWORDS_TOLD_MAX: usize = 100;

/// A mailbox as SELECT shows it.
struct Opening {
    mailbox: Mailbox,
    uids: Vec<u32>,
    first_unseen: Option<u32>,
    keywords: BTreeSet<Flag>,
    missed: Option<Missed>,
}

/// What a client has missed since it was here (RFC 7162 section 3.2.5).
struct Missed {
    changed: Vec<MessageRow>,
    vanished: Vanished,
}

impl Session {
    pub(super) async fn select(&mut self, select: Select) -> Result<Done, Stop> {
        let account = self.account()?.id;
        if select.qresync.is_some() && !self.enabled.qresync {
            return Err(Stop::bad("enable QRESYNC first"));
        }
        let was_open = self.user.as_mut().and_then(|user| user.selected.take()).is_some();
        if was_open && self.enabled.qresync {
            self.wire.out.untagged(Status::Ok, Some(&Code::Closed), "the other mailbox is closed");
        }
        self.enabled.condstore |= select.condstore;
        let (name, knows) = (
            select.mailbox.as_str().to_owned(),
            select.qresync.as_ref().map(|known| (known.uid_validity.get(), ModSeq(known.mod_seq))),
        );
        let view = self.service().show().await?;
        let opening = view.read(move |snapshot| open(snapshot, account, &name, knows)).await;
        // One mailbox that cannot be read is no reason to end a session that can open others.
        let opening = opening.map_err(|error| {
            tracing::error!(%error, "a mailbox cannot be opened");
            Stop::no(Code::Unavailable, "the mailbox cannot be opened now; see the log of the server")
        })?;
        let opening = opening.ok_or_else(Stop::no_mailbox)?;
        self.tell_opening(&opening, select.read_only);
        let missed = opening.missed;
        let opened = MailboxView::new(&opening.mailbox, select.read_only, opening.uids);
        if let (Some(missed), Some(known)) = (missed, &select.qresync) {
            self.tell_missed(&opened, &opening.mailbox, known, missed).await?;
        }
        if let Some(user) = &mut self.user {
            user.selected = Some(opened);
        }
        let (code, text) = if select.read_only { (Code::ReadOnly, "examined") } else { (Code::ReadWrite, "selected") };
        Ok(Done::coded(code, text))
    }

    fn tell_opening(&mut self, opening: &Opening, read_only: bool) {
        let out = &mut self.wire.out;
        let mailbox = &opening.mailbox;
        let flags: Vec<WireFlag> =
            WireFlag::SYSTEM.into_iter().chain(opening.keywords.iter().filter_map(to_wire)).collect();
        out.flags(&flags);
        let changeable: &[WireFlag] = if read_only { &[] } else { &flags };
        let permanent = Code::PermanentFlags { flags: changeable, new_keywords: !read_only };
        out.untagged(Status::Ok, Some(&permanent), "flags that can be changed");
        out.exists(u32::try_from(opening.uids.len()).unwrap_or(u32::MAX));
        out.recent(0);
        if let Some(sequence) = opening.first_unseen {
            out.untagged(Status::Ok, Some(&Code::Unseen(sequence)), "first unseen message");
        }
        out.untagged(Status::Ok, Some(&Code::UidValidity(mailbox.uid_validity.get())), "UIDs are valid");
        out.untagged(Status::Ok, Some(&Code::UidNext(uid_next(mailbox))), "next UID");
        out.untagged(Status::Ok, Some(&Code::HighestModSeq(mailbox.highest_modseq.0)), "highest so far");
    }

    async fn tell_missed(
        &mut self,
        opened: &MailboxView,
        mailbox: &Mailbox,
        known: &QResync,
        missed: Missed,
    ) -> Result<(), Stop> {
        let last = uid_next(mailbox).saturating_sub(1);
        let all = || NumberSet::from_range(1..=last);
        let known_uids = known.known_uids.as_ref().map_or_else(all, |known| known.resolve(None).clipped(last));
        let vanished = match missed.vanished {
            Vanished::Uids(uids) => known_uids.intersection(&uids.iter().map(|uid| uid.get()).collect()),
            Vanished::AllAbsent => {
                let same = NumberSet::from_range(1..=known.same_up_to(opened.uids()));
                known_uids.difference(&same).difference(&opened.uids().iter().copied().collect())
            }
        };
        self.wire.out.vanished(true, &vanished);
        for row in missed.changed.iter().filter(|row| known_uids.contains(row.uid.get())) {
            let Some(sequence) = opened.sequence_of(row.uid.get()) else { continue };
            self.wire.out.fetch(sequence, |items| {
                items.uid(row.uid.get());
                items.flags(&flags_of(row), false);
                items.mod_seq(row.modseq.0);
            });
            self.wire.spill().await?;
        }
        Ok(())
    }

    /// NOOP and CHECK: a good time to look.
    pub(super) async fn noop(&mut self) -> Result<Done, Stop> {
        if self.user.as_ref().is_some_and(|user| user.selected.is_some()) {
            let view = self.service().show().await?;
            self.follow(&view, &Told::default()).await?;
            self.tell_expunged().await?;
        }
        Ok(Done::new("done"))
    }

    pub(super) async fn close(&mut self) -> Result<Done, Stop> {
        if !self.selected()?.read_only {
            self.expunge_deleted(None).await?;
        }
        Ok(self.unselect())
    }

    pub(super) fn unselect(&mut self) -> Done {
        if let Some(user) = &mut self.user {
            user.selected = None;
        }
        Done::new("closed")
    }
}

/// The UID that the next message will have at least. The highest one is told where all are used up.
pub(super) fn uid_next(mailbox: &Mailbox) -> u32 {
    mailbox.uid_next.map_or(u32::MAX, Uid::get)
}

fn open(
    snapshot: &dyn Snapshot,
    account: AccountId,
    name: &str,
    knows: Option<(u32, ModSeq)>,
) -> Result<Option<Opening>, ReadError> {
    let Some(mailbox) = snapshot.mailbox_by_name(account, name)? else { return Ok(None) };
    let (mut uids, mut first_unseen, mut keywords) = (Vec::new(), None, BTreeSet::new());
    for_each_row(snapshot, mailbox.id, |row| {
        uids.push(row.uid.get());
        if first_unseen.is_none() && !row.has(&Flag::Seen) {
            first_unseen = u32::try_from(uids.len()).ok();
        }
        if keywords.len() < KEYWORDS_TOLD_MAX {
            keywords.extend(row.flags.iter().filter(|flag| matches!(flag, Flag::Keyword(_))).cloned());
        }
    })?;
    uids.shrink_to_fit();
    let missed = match knows {
        // With another UIDVALIDITY the client knows nothing.
        Some((uid_validity, since)) if uid_validity == mailbox.uid_validity.get() => {
            Some(missed_since(snapshot, &mailbox, since)?)
        }
        _ => None,
    };
    Ok(Some(Opening { mailbox, uids, first_unseen, keywords, missed }))
}

fn missed_since(snapshot: &dyn Snapshot, mailbox: &Mailbox, since: ModSeq) -> Result<Missed, ReadError> {
    if since > mailbox.highest_modseq {
        // Nobody here ever said so: the client is told everything.
        return Ok(Missed { changed: snapshot.changed_since(mailbox.id, ModSeq(0))?, vanished: Vanished::AllAbsent });
    }
    Ok(Missed {
        changed: snapshot.changed_since(mailbox.id, since)?,
        vanished: snapshot.vanished_since(mailbox.id, since)?,
    })
}
