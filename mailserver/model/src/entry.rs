//! An entry of the log as bytes (rule L1). The same bytes are on both disks and on the link.
//!
//! ```text
//! magic u32 | length u32 | epoch u64 | seq u64 | kind u8 | origin node u8 | reserved u16 | incarnation u64
//! | counter u64 | clock u64 | commit u64 | previous hash 16 | payload … | hash 16
//! ```
//! All numbers are little endian; `length` counts everything. The hash covers all bytes before it, and with them
//! the previous hash: it is the checksum of the entry and the link of the chain in one.

use crate::ids::{ChainHash, Epoch, Hlc, Incarnation, NodeId, Origin, Position, Seq, first_128_bits};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 80;
/// Bytes after the payload.
pub const TRAILER_BYTES: usize = 16;
/// The largest entry that is written or accepted, in bytes: one message of 128 MiB and its description.
pub const ENTRY_MAX_BYTES: usize = 130 * 1024 * 1024;

const MAGIC: u32 = 0x314d_4d4d;

/// What an entry is. The numbers are the format; a kind is never given a second meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A change of mail state: [`crate::operation::Operation`].
    Operation = 1,
    /// The first entry of an epoch: [`crate::operation::EpochStart`].
    Epoch = 2,
    /// A grant to answer alone (rules L1, A2): [`crate::operation::Grant`].
    Grant = 3,
    /// The last entry of an epoch that ends by a swap (rule A10): [`crate::operation::Seal`].
    Seal = 4,
    /// A place at which both nodes hash what follows from the log (rule R2): [`crate::operation::Mark`].
    Mark = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Operation, Self::Epoch, Self::Grant, Self::Seal, Self::Mark].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The fixed part of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where it stands.
    pub position: Position,
    /// What it is.
    pub kind: Kind,
    /// Who first wanted it.
    pub origin: Origin,
    /// When it was written.
    pub clock: Hlc,
    /// The commit position that its writer knew.
    pub commit: Seq,
    /// The hash of the entry before it.
    pub previous: ChainHash,
}

/// Why bytes are not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// More bytes are needed: this many in all.
    #[error("failed to read an entry: {0} bytes are needed")]
    Incomplete(usize),
    /// Not the start of an entry: the end of what was written, or damage.
    #[error("failed to read an entry: no entry starts here")]
    NoEntry,
    /// A length that no entry has.
    #[error("failed to read an entry: a length of {0} bytes is out of bounds")]
    Length(usize),
    /// The bytes are not those that were written.
    #[error("failed to read an entry: its hash does not match its bytes")]
    Damaged,
    /// A kind that this program does not know: it is older than what wrote the entry (rule L7).
    #[error("failed to read an entry of kind {0}: update this program")]
    UnknownKind(u8),
    /// A field holds a value that it cannot have.
    #[error("failed to read an entry: a field is out of range")]
    Field,
}

/// An entry in its written form, checked once when it was made from bytes. `B` is any container of bytes.
#[derive(Clone, Debug)]
pub struct Entry<B> {
    header: Header,
    hash: ChainHash,
    bytes: B,
}

impl Entry<Vec<u8>> {
    /// Writes an entry. The payload is given in parts, so that a message body is copied once.
    ///
    /// # Errors
    /// [`EntryError::Length`] when it would be larger than [`ENTRY_MAX_BYTES`].
    pub fn write(header: Header, payload: &[&[u8]]) -> Result<Self, EntryError> {
        let payload_bytes: usize = payload.iter().map(|part| part.len()).sum();
        let length = HEADER_BYTES + payload_bytes + TRAILER_BYTES;
        let written_length = u32::try_from(length).map_err(|_| EntryError::Length(length))?;
        if length > ENTRY_MAX_BYTES {
            return Err(EntryError::Length(length));
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&written_length.to_le_bytes());
        bytes.extend_from_slice(&header.position.epoch.0.to_le_bytes());
        bytes.extend_from_slice(&header.position.seq.0.to_le_bytes());
        bytes.extend_from_slice(&[header.kind as u8, u8::from(header.origin.node), 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&header.origin.incarnation.0.to_le_bytes());
        bytes.extend_from_slice(&header.origin.counter.to_le_bytes());
        bytes.extend_from_slice(&header.clock.0.to_le_bytes());
        bytes.extend_from_slice(&header.commit.0.to_le_bytes());
        bytes.extend_from_slice(&header.previous.0.to_le_bytes());
        debug_assert_eq!(bytes.len(), HEADER_BYTES, "the layout above is the format");
        for part in payload {
            bytes.extend_from_slice(part);
        }
        let hash = ChainHash(first_128_bits(blake3::hash(&bytes)));
        bytes.extend_from_slice(&hash.0.to_le_bytes());
        Ok(Self { header, hash, bytes })
    }
}

impl<B: AsRef<[u8]>> Entry<B> {
    /// Reads an entry that fills `bytes` exactly.
    ///
    /// # Errors
    /// See [`EntryError`]; nothing of a damaged entry is ever returned.
    pub fn read(bytes: B) -> Result<Self, EntryError> {
        let all = bytes.as_ref();
        let length = length(all)?;
        if all.len() < length {
            return Err(EntryError::Incomplete(length));
        }
        if all.len() > length {
            return Err(EntryError::Length(all.len()));
        }
        let (covered, trailer) = all.split_at(length - TRAILER_BYTES);
        let hash = ChainHash(first_128_bits(blake3::hash(covered)));
        if trailer != hash.0.to_le_bytes() {
            return Err(EntryError::Damaged);
        }
        let header = header(covered)?;
        Ok(Self { header, hash, bytes })
    }

    /// The fixed part.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Its chained hash: the identity of the log up to here.
    pub const fn hash(&self) -> ChainHash {
        self.hash
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        let all = self.bytes.as_ref();
        &all[HEADER_BYTES..all.len() - TRAILER_BYTES]
    }

    /// All bytes, as written and sent.
    pub fn bytes(&self) -> &B {
        &self.bytes
    }

    /// Gives the bytes back.
    pub fn into_bytes(self) -> B {
        self.bytes
    }

    /// The same entry in another container.
    pub fn map_bytes<C: AsRef<[u8]>>(self, convert: impl FnOnce(B) -> C) -> Entry<C> {
        Entry { header: self.header, hash: self.hash, bytes: convert(self.bytes) }
    }
}

/// The length of the entry that starts at `bytes`, in bytes, from its first eight bytes.
///
/// # Errors
/// [`EntryError::Incomplete`], [`EntryError::NoEntry`] or [`EntryError::Length`].
pub fn length(bytes: &[u8]) -> Result<usize, EntryError> {
    let (Some(magic), Some(length)) = (u32_at(bytes, 0), u32_at(bytes, 4)) else {
        return Err(EntryError::Incomplete(HEADER_BYTES));
    };
    if magic != MAGIC {
        return Err(EntryError::NoEntry);
    }
    let length = usize::try_from(length).map_err(|_| EntryError::Length(usize::MAX))?;
    if (HEADER_BYTES + TRAILER_BYTES..=ENTRY_MAX_BYTES).contains(&length) {
        Ok(length)
    } else {
        Err(EntryError::Length(length))
    }
}

fn header(bytes: &[u8]) -> Result<Header, EntryError> {
    let number = |at: usize| u64_at(bytes, at).ok_or(EntryError::Field);
    let kind_byte = *bytes.get(24).ok_or(EntryError::Field)?;
    let node_byte = *bytes.get(25).ok_or(EntryError::Field)?;
    let previous = bytes.get(64..80).and_then(|slice| slice.try_into().ok()).ok_or(EntryError::Field)?;
    Ok(Header {
        position: Position { epoch: Epoch(number(8)?), seq: Seq(number(16)?) },
        kind: Kind::from_byte(kind_byte).ok_or(EntryError::UnknownKind(kind_byte))?,
        origin: Origin {
            node: NodeId::try_from(node_byte).map_err(|_| EntryError::Field)?,
            incarnation: Incarnation(number(32)?),
            counter: number(40)?,
        },
        clock: Hlc(number(48)?),
        commit: Seq(number(56)?),
        previous: ChainHash(u128::from_le_bytes(previous)),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Header {
        Header {
            position: Position { epoch: Epoch(3), seq: Seq(17) },
            kind: Kind::Operation,
            origin: Origin { node: NodeId::One, incarnation: Incarnation(99), counter: 5 },
            clock: Hlc(1 << 40),
            commit: Seq(16),
            previous: ChainHash(7),
        }
    }

    #[test]
    fn an_unknown_kind_says_what_to_do() {
        let mut bytes = Entry::write(sample(), &[b"x"]).unwrap().into_bytes();
        bytes[24] = 200;
        let end = bytes.len() - TRAILER_BYTES;
        let hash = first_128_bits(blake3::hash(&bytes[..end])).to_le_bytes();
        bytes[end..].copy_from_slice(&hash);
        assert_eq!(Entry::read(bytes).unwrap_err(), EntryError::UnknownKind(200));
    }

    proptest! {
        #[test]
        fn l1_an_entry_reads_back_and_any_changed_bit_is_seen(
            payload in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0_u8..8,
        ) {
            let entry = Entry::write(sample(), &[&payload[..payload.len() / 2], &payload[payload.len() / 2..]]).unwrap();
            let read = Entry::read(entry.bytes().clone()).unwrap();
            prop_assert_eq!(read.header(), &sample());
            prop_assert_eq!(read.payload(), &payload[..]);
            prop_assert_eq!(read.hash(), entry.hash());
            let mut damaged = entry.into_bytes();
            let at = at.index(damaged.len());
            damaged[at] ^= 1 << bit;
            prop_assert!(Entry::read(damaged).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Entry::read(bytes);
        }
    }
}
