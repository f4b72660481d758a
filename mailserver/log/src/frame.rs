//! The bytes around the entries: the head of a segment, and a frame before each entry.
//!
//! ```text
//! segment: head 128 | frame 24 | entry … padding to 8 | frame 24 | entry … | zeros
//! head:    magic 8 | format u32 | reserved u32 | first seq u64 | salt 16 | epoch, seq, hash, clock, commit before
//!          the first entry 8+8+16+8+8 | zeros | crc32c u32
//! frame:   check u64 | seq u64 | unflushed u32 | length u32
//! ```
//! All numbers are little endian. `unflushed` says how far before this entry the flushed part of the log ended when it
//! was written: entries up to `seq - unflushed` were on stable storage. That is what tells a torn write (nothing after
//! it claims that it was flushed) from damage (something does). `check` is keyed with a secret of the segment, so that
//! the bytes of a message are never taken for a frame, whoever wrote the message. A frame of length 0 is written when
//! the log is closed: it says that everything before it was flushed.

use crate::Tail;
use mailmirror_model::ids::{ChainHash, Epoch, Hlc, Position, Seq};
use std::hash::{BuildHasher, RandomState};

/// Length of the head of a segment in memory.
pub(crate) const HEAD_LENGTH: usize = 128;
/// Length of a frame in memory.
pub(crate) const FRAME_LENGTH: usize = 24;
/// Bytes of the head of a segment.
pub(crate) const HEAD_BYTES: u64 = HEAD_LENGTH as u64;
/// Bytes of the frame before each entry.
pub(crate) const FRAME_BYTES: u64 = FRAME_LENGTH as u64;
/// Frames begin at multiples of this, in memory too.
pub(crate) const ALIGN_LENGTH: usize = 8;
/// Frames begin at multiples of this.
pub(crate) const ALIGN_BYTES: u64 = ALIGN_LENGTH as u64;

const MAGIC: [u8; 8] = *b"MMSEGMT\n";
const FORMAT: u32 = 1;
const KEY_CONTEXT: &str = "mailmirror log 2026-11 segment frame";

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    /// The log as it ended before the first entry of the segment.
    pub before: Tail,
    /// Makes the checks of this file's frames unlike those of any other.
    pub salt: [u8; 16],
}

/// Why a segment's head cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    Damaged(&'static str),
    UnknownFormat(u32),
}

impl SegmentHead {
    /// A head with a new salt.
    pub fn new(before: Tail) -> Self {
        // The keys of a RandomState are random and never leave the process.
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&RandomState::new().hash_one(before.hash.0).to_le_bytes());
        salt[8..].copy_from_slice(&RandomState::new().hash_one(std::time::SystemTime::now()).to_le_bytes());
        Self { before, salt }
    }

    /// The first entry of the segment.
    pub fn first(&self) -> Seq {
        self.before.position.seq.next()
    }

    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_LENGTH);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.first().0.to_le_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.before.position.epoch.0.to_le_bytes());
        bytes.extend_from_slice(&self.before.position.seq.0.to_le_bytes());
        bytes.extend_from_slice(&self.before.hash.0.to_le_bytes());
        bytes.extend_from_slice(&self.before.clock.0.to_le_bytes());
        bytes.extend_from_slice(&self.before.commit.0.to_le_bytes());
        bytes.resize(124, 0);
        let sum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub fn read(bytes: &[u8], first: Seq) -> Result<Self, HeadError> {
        let Some((covered, sum)) = bytes.split_at_checked(124) else {
            return Err(HeadError::Damaged("it is shorter than its head"));
        };
        if covered[..8] != MAGIC {
            return Err(HeadError::Damaged("it does not begin like a segment"));
        }
        if sum.get(..4) != Some(&crc32c::crc32c(covered).to_le_bytes()[..]) {
            return Err(HeadError::Damaged("the checksum of its head does not match"));
        }
        let format = u32_at(covered, 8);
        if format != FORMAT {
            return Err(HeadError::UnknownFormat(format));
        }
        let mut salt = [0; 16];
        salt.copy_from_slice(&covered[24..40]);
        let mut hash = [0; 16];
        hash.copy_from_slice(&covered[56..72]);
        let before = Tail {
            position: Position { epoch: Epoch(u64_at(covered, 40)), seq: Seq(u64_at(covered, 48)) },
            hash: ChainHash(u128::from_le_bytes(hash)),
            clock: Hlc(u64_at(covered, 72)),
            commit: Seq(u64_at(covered, 80)),
        };
        let head = Self { before, salt };
        if u64_at(covered, 16) != first.0 || head.first() != first {
            return Err(HeadError::Damaged("its name does not match its head"));
        }
        Ok(head)
    }

    /// The key of the segment's frames.
    pub fn key(&self) -> FrameKey {
        let mut material = self.salt.to_vec();
        material.extend_from_slice(&self.first().0.to_le_bytes());
        FrameKey(blake3::derive_key(KEY_CONTEXT, &material))
    }
}

/// The secret that the frames of one segment are checked with.
#[derive(Clone, Debug)]
pub(crate) struct FrameKey([u8; 32]);

impl FrameKey {
    fn check(&self, at: u64, covered: &[u8; 16]) -> [u8; 8] {
        let mut message = [0; 24];
        message[..8].copy_from_slice(&at.to_le_bytes());
        message[8..].copy_from_slice(covered);
        let hash = blake3::keyed_hash(&self.0, &message);
        let mut check = [0; 8];
        check.copy_from_slice(&hash.as_bytes()[..8]);
        check
    }
}

/// The frame before an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The entry that follows.
    pub seq: Seq,
    /// Entries up to `seq - unflushed` were flushed when this was written.
    pub unflushed: u32,
    /// Bytes of the entry, without padding; 0 when the log was closed here.
    pub length: u32,
}

impl Frame {
    pub fn write(&self, key: &FrameKey, at: u64) -> [u8; FRAME_LENGTH] {
        let mut covered = [0; 16];
        covered[..8].copy_from_slice(&self.seq.0.to_le_bytes());
        covered[8..12].copy_from_slice(&self.unflushed.to_le_bytes());
        covered[12..].copy_from_slice(&self.length.to_le_bytes());
        let mut bytes = [0; FRAME_LENGTH];
        bytes[..8].copy_from_slice(&key.check(at, &covered));
        bytes[8..].copy_from_slice(&covered);
        bytes
    }

    /// `None` when no frame that was written to byte `at` of this segment begins there.
    pub fn read(key: &FrameKey, at: u64, bytes: &[u8]) -> Option<Self> {
        let frame = Self::unchecked(bytes)?;
        let covered: &[u8; 16] = bytes.get(8..FRAME_LENGTH)?.try_into().ok()?;
        (bytes[..8] == key.check(at, covered)).then_some(frame)
    }

    /// What a frame would say here; to be refused cheaply before its check is computed.
    pub fn unchecked(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FRAME_LENGTH)?;
        Some(Self { seq: Seq(u64_at(bytes, 8)), unflushed: u32_at(bytes, 16), length: u32_at(bytes, 20) })
    }

    /// The last entry that was flushed when this was written.
    pub fn flushed(&self) -> Seq {
        Seq(self.seq.0.saturating_sub(u64::from(self.unflushed)))
    }
}

/// Bytes that an entry takes in a segment, with its frame and padding.
pub(crate) const fn framed_bytes(entry_bytes: u64) -> u64 {
    (FRAME_BYTES + entry_bytes).next_multiple_of(ALIGN_BYTES)
}

/// Reads a little endian number; the caller has checked the length.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn head() -> SegmentHead {
        SegmentHead::new(Tail {
            position: Position { epoch: Epoch(4), seq: Seq(41) },
            hash: ChainHash(77),
            clock: Hlc(5),
            commit: Seq(40),
        })
    }

    #[test]
    fn a_head_reads_back_and_every_changed_bit_is_seen() {
        let head = head();
        let bytes = head.write();
        assert_eq!(bytes.len() as u64, HEAD_BYTES);
        assert_eq!(SegmentHead::read(&bytes, Seq(42)).unwrap(), head);
        assert!(SegmentHead::read(&bytes, Seq(43)).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHead::read(&damaged, Seq(42)).is_err(), "bit {bit}");
        }
        assert!(SegmentHead::read(&bytes[..100], Seq(42)).is_err());
    }

    #[test]
    fn a_head_of_a_newer_format_says_so() {
        let mut bytes = head().write();
        bytes[8] = 9;
        let sum = crc32c::crc32c(&bytes[..124]).to_le_bytes();
        bytes[124..].copy_from_slice(&sum);
        assert_eq!(SegmentHead::read(&bytes, Seq(42)), Err(HeadError::UnknownFormat(9)));
    }

    #[test]
    fn a_frame_counts_only_at_its_place_and_in_its_segment() {
        let key = head().key();
        let frame = Frame { seq: Seq(42), unflushed: 3, length: 100 };
        let bytes = frame.write(&key, 128);
        assert_eq!(Frame::read(&key, 128, &bytes), Some(frame));
        assert_eq!(frame.flushed(), Seq(39));
        assert_eq!(Frame::read(&key, 136, &bytes), None, "moved");
        assert_eq!(Frame::read(&head().key(), 128, &bytes), None, "of a file with another salt");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Frame::read(&key, 128, &damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn entries_are_padded_to_the_alignment() {
        assert_eq!(framed_bytes(96), 120);
        assert_eq!(framed_bytes(97), 128);
        assert_eq!(HEAD_BYTES % ALIGN_BYTES, 0);
    }
}
