//! The words of the protocol as types: nodes, stores, positions, and the numbers that IMAP clients see.
//!
//! None of them converts silently into another one, and none has a value that means "unknown": where
//! something may be unknown the type is an `Option`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// One of the two nodes of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum NodeId {
    /// Node 0: takes even epochs only (rule A1).
    Zero,
    /// Node 1: takes odd epochs only (rule A1).
    One,
}

impl NodeId {
    /// Both nodes, in order.
    pub const BOTH: [Self; 2] = [Self::Zero, Self::One];

    /// The other node of the pair.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Zero => Self::One,
            Self::One => Self::Zero,
        }
    }

    /// 0 or 1, for arrays of two.
    pub const fn index(self) -> usize {
        match self {
            Self::Zero => 0,
            Self::One => 1,
        }
    }
}

impl From<NodeId> for u8 {
    fn from(node: NodeId) -> Self {
        match node {
            NodeId::Zero => 0,
            NodeId::One => 1,
        }
    }
}

/// A number that is neither 0 nor 1 was given for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a node of a pair: give 0 or 1")]
pub struct NotANode(pub u8);

impl TryFrom<u8> for NodeId {
    type Error = NotANode;
    fn try_from(value: u8) -> Result<Self, NotANode> {
        match value {
            0 => Ok(Self::Zero),
            1 => Ok(Self::One),
            other => Err(NotANode(other)),
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", u8::from(*self))
    }
}

/// An identity was not 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an identity: 32 hexadecimal digits were expected")]
pub struct NotAnId(pub String);

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    u128::from_str_radix(text, 16).map(Self).map_err(|_| NotAnId(text.to_owned()))
                } else {
                    Err(NotAnId(text.to_owned()))
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    u128::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

id128! {
    /// What is on a node's disk: random, new when the store is created or found to be rolled back (rule A5).
    StoreId
}
id128! {
    /// Who gives roles (rules A1, A7). A re-created record has a new one.
    AuthorityId
}
id128! {
    /// An account, whatever its address is today.
    AccountId
}
id128! {
    /// A mailbox, whatever its name is today (rule U5).
    MailboxId
}
id128! {
    /// One message in one mailbox; a copy is another message.
    MessageId
}
id128! {
    /// The bytes of a message: the first 16 bytes of their BLAKE3 hash.
    BodyId
}
id128! {
    /// Chained hash of an entry: the first 16 bytes of BLAKE3 over the previous hash and the entry (rule L1).
    ChainHash
}

impl BodyId {
    /// The identity of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(first_128_bits(blake3::hash(bytes)))
    }
}

impl ChainHash {
    /// The hash before the first entry.
    pub const ORIGIN: Self = Self(0);
}

pub(crate) fn first_128_bits(hash: blake3::Hash) -> u128 {
    let mut first = [0_u8; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(first)
}

macro_rules! number64 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number64! {
    /// One run of the process: random.
    Incarnation
}
number64! {
    /// Grows at each promotion; its parity is its holder's node number (rule A1).
    Epoch
}
number64! {
    /// Place of an entry in the log: 1 for the first entry, then without holes, across epochs.
    Seq
}
number64! {
    /// Grants of the authority, counted through all epochs (rule A2).
    GrantNumber
}
number64! {
    /// Mod-sequence of RFC 7162. At least 1 once a mailbox exists, at most 2^63 - 1.
    ModSeq
}
number64! {
    /// Hybrid logical clock: 48 bits of milliseconds since 1970, 16 bits of counter.
    Hlc
}

impl Epoch {
    /// The node that may hold this epoch (rule A1).
    pub const fn parity(self) -> NodeId {
        if self.0.is_multiple_of(2) { NodeId::Zero } else { NodeId::One }
    }

    /// The lowest epoch above this one that `node` may hold.
    #[must_use]
    pub fn next_for(self, node: NodeId) -> Self {
        let next = Self(self.0 + 1);
        if next.parity() == node { next } else { Self(self.0 + 2) }
    }
}

impl Seq {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl ModSeq {
    /// The mod-sequence after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Hlc {
    /// The wall clock part, in milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// The clock after an event at `now_millis`: never less than what was seen before, whatever the wall clock does.
    #[must_use]
    pub fn tick(self, now_millis: u64) -> Self {
        Self((self.0 + 1).max(now_millis << 16))
    }

    /// The clock after having seen `other`.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

/// A place in the log: epoch first, as an entry of a later epoch is later whatever its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The epoch whose master wrote the entry.
    pub epoch: Epoch,
    /// Its place.
    pub seq: Seq,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.seq)
    }
}

/// Who first wanted an operation; what is applied twice under one origin is applied once (rules L1, N2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The node that a client asked.
    pub node: NodeId,
    /// The run of its process.
    pub incarnation: Incarnation,
    /// Counted by that run, from 1.
    pub counter: u64,
}

/// Unique identifier of RFC 3501 section 2.3.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub NonZeroU32);

/// UIDVALIDITY of RFC 3501: born with the mailbox, never changed (rule U4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UidValidity(pub NonZeroU32);

impl Uid {
    /// The first UID of a mailbox.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// `None` for 0.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The plain number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// This UID plus `count`; `None` when the mailbox has run out of UIDs.
    #[must_use]
    pub fn plus(self, count: u32) -> Option<Self> {
        self.0.checked_add(count).map(Self)
    }
}

impl UidValidity {
    /// `None` for 0.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The plain number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for UidValidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a1_epochs_have_the_parity_of_their_holder() {
        for epoch in 0..20 {
            for node in NodeId::BOTH {
                let next = Epoch(epoch).next_for(node);
                assert!(next > Epoch(epoch) && next.0 <= epoch + 2);
                assert_eq!(next.parity(), node);
            }
        }
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_take_the_hlc_with_it() {
        let later = Hlc(0).tick(1_000_000);
        let after_jump = later.tick(10);
        assert!(after_jump > later);
        assert_eq!(after_jump.millis(), 1_000_000);
    }

    #[test]
    fn identities_read_back_and_bad_ones_are_refused() {
        let id = StoreId(0xabcd);
        assert_eq!(id.to_string().parse::<StoreId>().unwrap(), id);
        assert!("abcd".parse::<StoreId>().is_err());
        assert!("+000000000000000000000000000abcd".parse::<StoreId>().is_err());
    }
}
