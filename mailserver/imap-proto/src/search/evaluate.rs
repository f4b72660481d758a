//! Evaluation of a search program.

use super::text::MessageText;
use super::{SearchKey, SearchProgram};
use crate::types::{Flag, InternalDate, ModSeq, NumberSet, SequenceSet};

/// What is known of a message without its bytes.
pub trait SearchTarget {
    /// Its sequence number in this session.
    fn sequence(&self) -> u32;
    /// Its UID.
    fn uid(&self) -> u32;
    /// Is the flag set?
    fn has_flag(&self, flag: &Flag) -> bool;
    /// Is it `\Recent` in this session?
    fn is_recent(&self) -> bool;
    /// Its internal date.
    fn internal_date(&self) -> InternalDate;
    /// Its size in octets.
    fn size(&self) -> u64;
    /// Its modification sequence.
    fn mod_seq(&self) -> ModSeq;
}

/// A program, bound to the state of a mailbox.
#[derive(Debug)]
pub struct BoundProgram<'p> {
    keys: Vec<BoundKey<'p>>,
}

/// Sets are resolved once, not per message.
#[derive(Debug)]
enum BoundKey<'p> {
    And(Vec<BoundKey<'p>>),
    Or(Box<BoundKey<'p>>, Box<BoundKey<'p>>),
    Not(Box<BoundKey<'p>>),
    Sequence(NumberSet),
    Uid(NumberSet),
    Plain(&'p SearchKey),
}

impl<'p> BoundProgram<'p> {
    pub(super) fn new(program: &'p SearchProgram, last_sequence: Option<u32>, last_uid: Option<u32>) -> Self {
        let bounds = Bounds { last_sequence, last_uid };
        let keys = program.keys.iter().map(|key| bounds.bind(key)).collect();
        Self { keys }
    }

    /// What can be said without the bytes of the message; `None` when it depends on them. Then fetch them and ask
    /// [`Self::matches`].
    pub fn matches_without_message(&self, target: &impl SearchTarget) -> Option<bool> {
        all(&self.keys, |key| key.evaluate(target, None))
    }

    /// Does the message match?
    pub fn matches(&self, target: &impl SearchTarget, message: &MessageText<'_>) -> bool {
        all(&self.keys, |key| key.evaluate(target, Some(message))).unwrap_or(false)
    }
}

struct Bounds {
    last_sequence: Option<u32>,
    last_uid: Option<u32>,
}

impl Bounds {
    fn bind<'p>(&self, key: &'p SearchKey) -> BoundKey<'p> {
        let resolve = |set: &SequenceSet, last| set.resolve(last);
        match key {
            SearchKey::And(keys) => BoundKey::And(keys.iter().map(|key| self.bind(key)).collect()),
            SearchKey::Or(left, right) => BoundKey::Or(Box::new(self.bind(left)), Box::new(self.bind(right))),
            SearchKey::Not(key) => BoundKey::Not(Box::new(self.bind(key))),
            SearchKey::Sequence(set) => BoundKey::Sequence(resolve(set, self.last_sequence)),
            SearchKey::Uid(set) => BoundKey::Uid(resolve(set, self.last_uid)),
            plain => BoundKey::Plain(plain),
        }
    }
}

/// Three-valued AND: one `false` decides, else one unknown makes it unknown.
fn all<T>(keys: &[T], mut evaluate: impl FnMut(&T) -> Option<bool>) -> Option<bool> {
    let mut known = true;
    for key in keys {
        match evaluate(key) {
            Some(false) => return Some(false),
            Some(true) => {}
            None => known = false,
        }
    }
    known.then_some(true)
}

impl BoundKey<'_> {
    fn evaluate(&self, target: &impl SearchTarget, message: Option<&MessageText<'_>>) -> Option<bool> {
        match self {
            Self::And(keys) => all(keys, |key| key.evaluate(target, message)),
            Self::Or(left, right) => match left.evaluate(target, message) {
                Some(true) => Some(true),
                Some(false) => right.evaluate(target, message),
                None => (right.evaluate(target, message) == Some(true)).then_some(true),
            },
            Self::Not(key) => key.evaluate(target, message).map(|holds| !holds),
            Self::Sequence(set) => Some(set.contains(target.sequence())),
            Self::Uid(set) => Some(set.contains(target.uid())),
            Self::Plain(key) => plain(key, target).or_else(|| message.map(|message| in_message(key, message))),
        }
    }
}

/// The keys that need no bytes.
fn plain(key: &SearchKey, target: &impl SearchTarget) -> Option<bool> {
    Some(match key {
        SearchKey::All => true,
        SearchKey::Flag(flag) => target.has_flag(flag),
        SearchKey::Recent => target.is_recent(),
        SearchKey::Before(day) => target.internal_date().date() < *day,
        SearchKey::On(day) => target.internal_date().date() == *day,
        SearchKey::Since(day) => target.internal_date().date() >= *day,
        SearchKey::Larger(size) => target.size() > *size,
        SearchKey::Smaller(size) => target.size() < *size,
        SearchKey::ModSeq(mod_seq) => target.mod_seq() >= *mod_seq,
        _ => return None,
    })
}

/// The keys that need them.
fn in_message(key: &SearchKey, message: &MessageText<'_>) -> bool {
    match key {
        SearchKey::SentBefore(day) => message.sent_date().is_some_and(|sent| sent < *day),
        SearchKey::SentOn(day) => message.sent_date().is_some_and(|sent| sent == *day),
        SearchKey::SentSince(day) => message.sent_date().is_some_and(|sent| sent >= *day),
        SearchKey::Header { field, value } => message.header_has(field, value),
        SearchKey::Body(text) => message.body_has(text),
        SearchKey::Text(text) => message.any_header_has(text) || message.body_has(text),
        _ => false,
    }
}
