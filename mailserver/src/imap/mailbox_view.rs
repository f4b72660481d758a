//! What a session knows of the selected mailbox: sequence numbers and UIDs, followed from change to change.
//!
//! Pure: it is told what changed and says what to tell the client.

use std::ops::Range;

use mailmirror_imap_proto::types::{NumberSet, SequenceSet};
use mailmirror_model::ids::{MailboxId, ModSeq, Uid};
use mailmirror_model::state::Mailbox;

use crate::service::MessageRow;

/// The selected mailbox as the client has been told of it. 4 bytes for each message.
#[derive(Debug)]
pub(super) struct MailboxView {
    pub(super) id: MailboxId,
    pub(super) read_only: bool,
    /// In ascending order; the message with sequence number n is the n-th.
    uids: Vec<u32>,
    /// Above every UID that was ever here.
    uid_max: u32,
    /// Changes are known up to here.
    modseq: ModSeq,
    /// UIDs that went and that the client still counts, in ascending order.
    gone: Vec<u32>,
}

/// What changed in a mailbox, as one moment of the store tells it.
#[derive(Debug)]
pub(super) struct Delta {
    pub(super) mailbox: Mailbox,
    /// New and changed messages in order of UID.
    pub(super) changed: Vec<MessageRow>,
    pub(super) went: Went,
}

/// Which messages went.
#[derive(Debug)]
pub(super) enum Went {
    /// These, in order.
    These(Vec<Uid>),
    /// All but these: the store does not remember.
    AllBut(Vec<u32>),
}

/// What the client has to be told now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// There are more messages than before.
    pub(super) more: bool,
    /// Known messages with other flags.
    pub(super) changed: Vec<MessageRow>,
}

/// The mailbox is not one that can follow from what the client knows.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("UID {0} appeared below others")]
pub(super) struct Diverged(pub(super) u32);

/// A sequence number above the number of messages: the client's error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoSuchNumber;

impl MailboxView {
    /// A mailbox that is being opened; `uids` in ascending order.
    pub(super) fn new(mailbox: &Mailbox, read_only: bool, uids: Vec<u32>) -> Self {
        let uid_max = uids.last().copied().unwrap_or(0);
        Self { id: mailbox.id, read_only, uids, uid_max, modseq: mailbox.highest_modseq, gone: Vec::new() }
    }

    pub(super) const fn modseq(&self) -> ModSeq {
        self.modseq
    }

    /// How many messages the client counts.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.uids.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn uids(&self) -> &[u32] {
        &self.uids
    }

    /// Whether messages went that the client still counts.
    pub(super) const fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// The sequence number of a UID.
    pub(super) fn sequence_of(&self, uid: u32) -> Option<u32> {
        let at = self.uids.binary_search(&uid).ok()?;
        u32::try_from(at + 1).ok()
    }

    /// Takes up what changed.
    pub(super) fn absorb(&mut self, delta: Delta) -> Result<News, Diverged> {
        let mut news = News::default();
        if delta.mailbox.highest_modseq < self.modseq {
            // A node in the middle of a rebase (rule U2): what it shows then is no news.
            return Ok(news);
        }
        let gone: Vec<u32> = match delta.went {
            Went::These(uids) => {
                uids.iter().map(|uid| uid.get()).filter(|uid| self.uids.binary_search(uid).is_ok()).collect()
            }
            Went::AllBut(present) => {
                self.uids.iter().copied().filter(|uid| present.binary_search(uid).is_err()).collect()
            }
        };
        if !gone.is_empty() {
            self.gone.extend(gone);
            self.gone.sort_unstable();
            self.gone.dedup();
        }
        for row in delta.changed {
            let uid = row.uid.get();
            if self.uids.binary_search(&uid).is_ok() {
                news.changed.push(row);
            } else if uid > self.uid_max {
                self.uids.push(uid);
                self.uid_max = uid;
                news.more = true;
            } else {
                return Err(Diverged(uid));
            }
        }
        self.modseq = delta.mailbox.highest_modseq;
        Ok(news)
    }

    /// Counts no longer what went: UIDs, and the sequence numbers for EXPUNGE responses in the order of sending.
    pub(super) fn release(&mut self) -> (NumberSet, Vec<u32>) {
        let gone = std::mem::take(&mut self.gone);
        let mut sequences = Vec::with_capacity(gone.len());
        for uid in &gone {
            let before = u32::try_from(sequences.len()).unwrap_or(u32::MAX);
            sequences.extend(self.sequence_of(*uid).map(|sequence| sequence - before));
        }
        if !gone.is_empty() {
            self.uids.retain(|uid| gone.binary_search(uid).is_err());
        }
        (gone.into_iter().collect(), sequences)
    }

    /// The messages that a set names, by sequence number or UID, as ranges of places.
    pub(super) fn find(&self, set: &SequenceSet, uid: bool) -> Result<Vec<Range<usize>>, NoSuchNumber> {
        if uid {
            return Ok(self.find_uids(&set.resolve(self.uids.last().copied())));
        }
        let count = self.count();
        if count == 0 && set.has_last() {
            return Ok(Vec::new());
        }
        if set.max_number().is_some_and(|number| number > count) {
            return Err(NoSuchNumber);
        }
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let numbers = set.resolve(Some(count));
        Ok(numbers.ranges().map(|range| place(*range.start()) - 1..place(*range.end())).collect())
    }

    /// The messages with these UIDs, as ranges of places.
    pub(super) fn find_uids(&self, uids: &NumberSet) -> Vec<Range<usize>> {
        let place = |range: std::ops::RangeInclusive<u32>| {
            let first = self.uids.partition_point(|uid| uid < range.start());
            first..first + self.uids[first..].partition_point(|uid| uid <= range.end())
        };
        uids.ranges().map(place).filter(|range| !range.is_empty()).collect()
    }

    /// The first and last UID of each range of places.
    pub(super) fn spans(&self, places: &[Range<usize>]) -> Vec<(Uid, Uid)> {
        let span = |range: &Range<usize>| {
            let places = self.uids.get(range.clone())?;
            Some((Uid::new(*places.first()?)?, Uid::new(*places.last()?)?))
        };
        places.iter().filter_map(span).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use mailmirror_model::ids::{AccountId, BodyId, MessageId, UidValidity};

    fn mailbox(modseq: u64) -> Mailbox {
        Mailbox {
            id: MailboxId(1),
            account: AccountId(1),
            name: "INBOX".to_owned(),
            special_use: None,
            uid_validity: UidValidity::new(1).unwrap(),
            uid_next: Uid::new(100),
            highest_modseq: ModSeq(modseq),
        }
    }

    fn row(uid: u32) -> MessageRow {
        MessageRow {
            uid: Uid::new(uid).unwrap(),
            id: MessageId(uid.into()),
            body: BodyId(0),
            size_bytes: 1,
            internal_date_seconds: 0,
            modseq: ModSeq(1),
            flags: Box::default(),
        }
    }

    fn delta(modseq: u64, changed: &[u32], went: &[u32]) -> Delta {
        let went = Went::These(went.iter().map(|uid| Uid::new(*uid).unwrap()).collect());
        Delta { mailbox: mailbox(modseq), changed: changed.iter().map(|uid| row(*uid)).collect(), went }
    }

    fn set(text: &str) -> SequenceSet {
        SequenceSet::parse(text.as_bytes(), 100).unwrap()
    }

    #[test]
    fn what_went_is_counted_until_it_is_told() {
        let mut view = MailboxView::new(&mailbox(5), false, vec![2, 4, 6, 8]);
        let news = view.absorb(delta(6, &[6, 9], &[2, 3, 6])).unwrap();
        assert!(news.more);
        assert_eq!(news.changed.len(), 1);
        assert_eq!((view.count(), view.sequence_of(8)), (5, Some(4)), "numbers stay what they were");
        let (uids, sequences) = view.release();
        assert_eq!((uids.to_string().as_str(), sequences.as_slice()), ("2,6", [1, 2].as_slice()));
        assert_eq!(view.uids(), [4, 8, 9]);
        assert_eq!(view.release().1, [] as [u32; 0]);
    }

    #[test]
    fn a_forgetful_store_tells_what_is_left() {
        let mut view = MailboxView::new(&mailbox(5), false, vec![2, 4, 6]);
        let went = Went::AllBut(vec![4, 7]);
        view.absorb(Delta { mailbox: mailbox(9), changed: vec![row(7)], went }).unwrap();
        assert_eq!(view.release().0.to_string(), "2,6");
        assert_eq!(view.uids(), [4, 7]);
        assert_eq!(view.modseq(), ModSeq(9));
    }

    #[test]
    fn u2_an_older_state_is_no_news_and_a_uid_out_of_order_is_never_hidden() {
        let mut view = MailboxView::new(&mailbox(5), false, vec![2, 4]);
        assert_eq!(view.absorb(delta(4, &[9], &[2])), Ok(News::default()));
        assert_eq!(view.uids(), [2, 4]);
        assert_eq!(view.absorb(delta(6, &[3], &[])), Err(Diverged(3)));
    }

    #[test]
    fn an_expunged_last_message_leaves_its_uid_used_up() {
        let mut view = MailboxView::new(&mailbox(5), false, vec![2, 4]);
        view.absorb(delta(6, &[], &[4])).unwrap();
        view.release();
        assert_eq!(view.absorb(delta(7, &[4], &[])), Err(Diverged(4)), "u4: it never means another message");
    }

    #[test]
    fn sets_become_places() {
        let view = MailboxView::new(&mailbox(5), false, vec![2, 4, 6, 8]);
        assert_eq!(view.find(&set("1:2,4"), false), Ok(vec![0..2, 3..4]));
        assert_eq!(view.find(&set("5"), false), Err(NoSuchNumber));
        assert_eq!(view.find(&set("1,3:*"), false), Ok(vec![0..1, 2..4]));
        assert_eq!(view.find(&set("1:5,9:*"), true), Ok(vec![0..2, 3..4]));
        assert_eq!(view.find(&set("5"), true), Ok(vec![]));
        let spans = view.spans(&[0..2, 3..4]);
        let spans: Vec<_> = spans.iter().map(|(first, last)| (first.get(), last.get())).collect();
        assert_eq!(spans, [(2, 4), (8, 8)]);
        let empty = MailboxView::new(&mailbox(5), false, vec![]);
        assert_eq!(empty.find(&set("1:*"), false), Ok(vec![]), "clients ask so without looking");
        assert_eq!(empty.find(&set("1"), false), Err(NoSuchNumber));
    }
}
