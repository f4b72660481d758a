//! Frames of the link: a length, a type, and bytes. All of them are bounded (DESIGN 3.6).
//!
//! ```text
//! length u32 (of what follows) | type u8 | payload
//! ```
//! Words of control are JSON: a few hundred bytes at a time, and an older program passes over fields and messages that
//! it does not know. Entries travel as they lie in the log. What is large comes in parts, so that words of control (and
//! with them the lease) get through between them.

use bytes::{Bytes, BytesMut};
use mailmirror_model::entry::ENTRY_MAX_BYTES;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest frame of control, in bytes.
pub const CONTROL_MAX_BYTES: usize = 256 * 1024;
/// Entries are put into one frame up to this size; a single larger one has a frame of its own.
pub const ENTRIES_TARGET_BYTES: usize = 1024 * 1024;
/// Larger frames come in parts of this size.
pub const PART_BYTES: usize = 256 * 1024;
/// The largest frame of all, put together, in bytes.
pub const FRAME_MAX_BYTES: usize = ENTRY_MAX_BYTES + 64 * 1024;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// One [`super::message::Message`].
    Control = 1,
    /// The commit position, and entries one after the other.
    Entries = 2,
    /// A change from the slave, with its bodies.
    Forward = 3,
    /// The next bytes of a frame whose type comes with its last bytes.
    Part = 4,
}

/// Why a frame could not be read or written. The connection ends; the process does not.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// Longer than any frame.
    #[error("a frame of {0} bytes is out of bounds")]
    Length(usize),
    /// Nothing came, not even the next byte of what had begun.
    #[error("the peer was silent for {0:?}")]
    Silent(Duration),
    /// A type that this program does not know.
    #[error("a frame of type {0} is not known: update the older program of the pair")]
    Type(u8),
}

/// Reads one frame. Memory is taken as bytes come, not as they are announced; it may take as long as it likes, as long
/// as something comes.
///
/// # Errors
/// See [`FrameError`].
pub async fn read<R: AsyncRead + Unpin>(
    reader: &mut R,
    silence_timeout: Duration,
) -> Result<(FrameType, Bytes), FrameError> {
    let length = within(silence_timeout, reader.read_u32_le()).await?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length == 0 || length > FRAME_MAX_BYTES {
        return Err(FrameError::Length(length));
    }
    let kind = match within(silence_timeout, reader.read_u8()).await? {
        1 => FrameType::Control,
        2 => FrameType::Entries,
        3 => FrameType::Forward,
        4 => FrameType::Part,
        other => return Err(FrameError::Type(other)),
    };
    let payload_bytes = length - 1;
    if kind == FrameType::Control && payload_bytes > CONTROL_MAX_BYTES {
        return Err(FrameError::Length(length));
    }
    let mut payload = BytesMut::with_capacity(payload_bytes.min(ENTRIES_TARGET_BYTES));
    let mut limited = reader.take(payload_bytes as u64);
    while payload.len() < payload_bytes {
        if within(silence_timeout, limited.read_buf(&mut payload)).await? == 0 {
            return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok((kind, payload.freeze()))
}

async fn within<T>(timeout: Duration, read: impl Future<Output = std::io::Result<T>>) -> Result<T, FrameError> {
    Ok(tokio::time::timeout(timeout, read).await.map_err(|_| FrameError::Silent(timeout))??)
}

/// Puts frames together that came in parts.
#[derive(Debug, Default)]
pub struct Parts {
    before: BytesMut,
}

impl Parts {
    /// Takes a frame as it came, and gives a whole one if this was the last part of it.
    ///
    /// # Errors
    /// [`FrameError::Length`] when the whole is out of bounds.
    pub fn take(&mut self, kind: FrameType, payload: Bytes) -> Result<Option<(FrameType, Bytes)>, FrameError> {
        let is_part = kind == FrameType::Part;
        if kind == FrameType::Control || !is_part && self.before.is_empty() {
            return Ok(Some((kind, payload)));
        }
        let length = self.before.len() + payload.len();
        if length > FRAME_MAX_BYTES {
            return Err(FrameError::Length(length));
        }
        self.before.extend_from_slice(&payload);
        Ok((!is_part).then(|| (kind, std::mem::take(&mut self.before).freeze())))
    }
}

/// Writes one frame from pieces; the caller flushes.
///
/// # Errors
/// See [`FrameError`].
pub async fn write<W: AsyncWrite + Unpin>(writer: &mut W, kind: FrameType, parts: &[&[u8]]) -> Result<(), FrameError> {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    if length > FRAME_MAX_BYTES {
        return Err(FrameError::Length(length));
    }
    let written = u32::try_from(length).map_err(|_| FrameError::Length(length))?;
    writer.write_u32_le(written).await?;
    writer.write_u8(kind as u8).await?;
    for part in parts {
        writer.write_all(part).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SILENCE: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn a_frame_reads_back_and_a_bad_one_is_an_error() {
        let mut wire = Vec::new();
        write(&mut wire, FrameType::Entries, &[b"ab", b"c"]).await.unwrap();
        let (kind, payload) = read(&mut wire.as_slice(), SILENCE).await.unwrap();
        assert_eq!((kind, &payload[..]), (FrameType::Entries, &b"abc"[..]));
        assert!(matches!(read(&mut &wire[..6], SILENCE).await, Err(FrameError::Io(_))));
        assert!(matches!(read(&mut &[0xff; 8][..], SILENCE).await, Err(FrameError::Length(_))));
        assert!(matches!(read(&mut &[1, 0, 0, 0, 99][..], SILENCE).await, Err(FrameError::Type(99))));
        let long = u32::try_from(CONTROL_MAX_BYTES + 2).unwrap().to_le_bytes();
        assert!(matches!(read(&mut &[&long[..], &[1]].concat()[..], SILENCE).await, Err(FrameError::Length(_))));
    }

    #[tokio::test]
    async fn a_slow_frame_is_read_to_its_end_and_a_silent_peer_is_not_waited_for() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let writing = tokio::spawn(async move {
            let mut wire = Vec::new();
            write(&mut wire, FrameType::Entries, &[&[7; 50]]).await.unwrap();
            for byte in wire {
                tokio::time::sleep(Duration::from_millis(15)).await;
                far.write_all(&[byte]).await.unwrap();
            }
            far
        });
        let (_, payload) = read(&mut near, SILENCE).await.unwrap();
        assert_eq!(payload.len(), 50);
        let _far = writing.await.unwrap();
        assert!(matches!(read(&mut near, SILENCE).await, Err(FrameError::Silent(_))));
    }

    #[test]
    fn a_frame_in_parts_is_put_together_while_control_gets_through_and_is_bounded() {
        let mut parts = Parts::default();
        let part = |byte: u8| Bytes::from(vec![byte; 3]);
        assert_eq!(parts.take(FrameType::Part, part(1)).unwrap(), None);
        assert_eq!(parts.take(FrameType::Control, part(9)).unwrap(), Some((FrameType::Control, part(9))));
        assert_eq!(parts.take(FrameType::Part, part(2)).unwrap(), None);
        let whole = Bytes::from_static(&[1, 1, 1, 2, 2, 2, 3, 3, 3]);
        assert_eq!(parts.take(FrameType::Entries, part(3)).unwrap(), Some((FrameType::Entries, whole)));
        assert_eq!(parts.take(FrameType::Entries, part(4)).unwrap(), Some((FrameType::Entries, part(4))));
        let large = Bytes::from(vec![0; FRAME_MAX_BYTES / 2 + 1]);
        assert_eq!(parts.take(FrameType::Part, large.clone()).unwrap(), None);
        assert!(matches!(parts.take(FrameType::Part, large), Err(FrameError::Length(_))));
    }
}
