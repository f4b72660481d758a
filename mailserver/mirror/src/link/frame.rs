//! Frames of the link: a length, a type, and bytes. All of them are bounded (DESIGN 3.6).
//!
//! ```text
//! length u32 (of what follows) | type u8 | payload
//! ```
//! Words of control are JSON: a few hundred bytes at a time, and an older program passes over fields and messages that
//! it does not know. Entries travel as they lie in the log.

use bytes::{Bytes, BytesMut};
use mailmirror_model::entry::ENTRY_MAX_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest frame of control, in bytes.
pub const CONTROL_MAX_BYTES: usize = 256 * 1024;
/// Entries are put into one frame up to this size; a single larger one has a frame of its own.
pub const ENTRIES_TARGET_BYTES: usize = 1024 * 1024;
/// The largest frame of all, in bytes.
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
    /// A type that this program does not know.
    #[error("a frame of type {0} is not known: update the older program of the pair")]
    Type(u8),
}

/// Reads one frame. Memory is taken as bytes come, not as they are announced.
///
/// # Errors
/// See [`FrameError`].
pub async fn read<R: AsyncRead + Unpin>(reader: &mut R) -> Result<(FrameType, Bytes), FrameError> {
    let length = usize::try_from(reader.read_u32_le().await?).unwrap_or(usize::MAX);
    if length == 0 || length > FRAME_MAX_BYTES {
        return Err(FrameError::Length(length));
    }
    let kind = match reader.read_u8().await? {
        1 => FrameType::Control,
        2 => FrameType::Entries,
        3 => FrameType::Forward,
        other => return Err(FrameError::Type(other)),
    };
    let payload_bytes = length - 1;
    if kind == FrameType::Control && payload_bytes > CONTROL_MAX_BYTES {
        return Err(FrameError::Length(length));
    }
    let mut payload = BytesMut::with_capacity(payload_bytes.min(ENTRIES_TARGET_BYTES));
    let mut limited = reader.take(payload_bytes as u64);
    while payload.len() < payload_bytes {
        if limited.read_buf(&mut payload).await? == 0 {
            return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok((kind, payload.freeze()))
}

/// Writes one frame from parts; the caller flushes.
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

    #[tokio::test]
    async fn a_frame_reads_back_and_a_bad_one_is_an_error() {
        let mut wire = Vec::new();
        write(&mut wire, FrameType::Entries, &[b"ab", b"c"]).await.unwrap();
        let (kind, payload) = read(&mut wire.as_slice()).await.unwrap();
        assert_eq!((kind, &payload[..]), (FrameType::Entries, &b"abc"[..]));
        assert!(matches!(read(&mut &wire[..6]).await, Err(FrameError::Io(_))));
        assert!(matches!(read(&mut &[0xff; 8][..]).await, Err(FrameError::Length(_))));
        assert!(matches!(read(&mut &[1, 0, 0, 0, 99][..]).await, Err(FrameError::Type(99))));
        let long = u32::try_from(CONTROL_MAX_BYTES + 2).unwrap().to_le_bytes();
        assert!(matches!(read(&mut &[&long[..], &[1]].concat()[..]).await, Err(FrameError::Length(_))));
    }
}
