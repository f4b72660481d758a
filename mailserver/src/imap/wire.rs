//! Commands in, responses out.

use std::time::Duration;

use bytes::Bytes;
use mailmirror_imap_proto::framing::{Frame, FrameEvent, FrameLimits, Framer};
use mailmirror_imap_proto::response::{Code, ResponseBuffer};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::answer::Stop;
use crate::net::{Connection, RoomShare};

/// Responses above this are sent before more are written.
const SPILL_BYTES: usize = 64 << 10;

/// The connection with its buffers.
pub(super) struct Wire {
    pub(super) connection: Connection,
    pub(super) framer: Framer,
    pub(super) out: ResponseBuffer,
    pub(super) share: RoomShare,
    pub(super) shutdown: CancellationToken,
}

/// How long to wait for input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a command to begin.
    pub(super) until: Instant,
    /// Between the pieces of one.
    pub(super) within: Duration,
}

impl Wire {
    pub(super) fn new(connection: Connection, share: RoomShare, shutdown: CancellationToken) -> Self {
        let framer = Framer::new(FrameLimits::UNAUTHENTICATED);
        Self { connection, framer, out: ResponseBuffer::new(), share, shutdown }
    }

    /// The next command.
    pub(super) async fn command(&mut self, patience: Patience) -> Result<Frame, Stop> {
        loop {
            match self.framer.next_event() {
                Ok(FrameEvent::Command(frame)) => return Ok(frame),
                Ok(FrameEvent::Continue) => self.out.continuation("go on"),
                Ok(FrameEvent::Refused { tag, limit_bytes, .. }) => self.out.refused(tag.as_ref(), limit_bytes),
                Ok(FrameEvent::NeedMore) => {
                    self.flush().await?;
                    self.read(patience).await?;
                }
                Err(error) => return Err(Stop::Bye(Some(Code::TooBig), error.to_string())),
            }
        }
    }

    /// The next line: within AUTHENTICATE.
    pub(super) async fn line(&mut self, patience: Patience) -> Result<Bytes, Stop> {
        loop {
            if let Some(line) = self.take_line()? {
                return Ok(line);
            }
            self.flush().await?;
            self.read(patience).await?;
        }
    }

    /// A line that is here already.
    pub(super) fn take_line(&mut self) -> Result<Option<Bytes>, Stop> {
        self.framer.next_line().map_err(|error| Stop::Bye(Some(Code::TooBig), error.to_string()))
    }

    async fn read(&mut self, patience: Patience) -> Result<(), Stop> {
        let begun = self.framer.is_mid_command();
        let deadline = if begun { Instant::now() + patience.within } else { patience.until };
        let octets = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Err(stopping()),
            read = timeout_at(deadline, self.connection.read()) => match read {
                Err(_) => return Err(Stop::Bye(None, "no command for too long".to_owned())),
                Ok(octets) => octets?,
            },
        };
        if octets.is_empty() {
            return Err(Stop::Gone);
        }
        self.framer.feed(octets);
        if self.share.set(self.framer.buffered_bytes()) {
            return Ok(());
        }
        let text = "too many messages are being received; try again later";
        Err(Stop::Bye(Some(Code::Unavailable), text.to_owned()))
    }

    /// Takes octets in while a session waits for something else too. May be cancelled without loss.
    pub(super) async fn read_idle(&mut self) -> Result<(), Stop> {
        let octets = self.connection.read().await?;
        if octets.is_empty() {
            return Err(Stop::Gone);
        }
        self.framer.feed(octets);
        Ok(())
    }

    /// Sends what was written.
    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        if !self.out.is_empty() {
            let octets = self.out.take();
            self.connection.send(&octets).await?;
        }
        Ok(self.connection.flush().await?)
    }

    /// Sends what was written if it is much.
    pub(super) async fn spill(&mut self) -> Result<(), Stop> {
        if self.out.len() < SPILL_BYTES {
            return Ok(());
        }
        let octets = self.out.take();
        Ok(self.connection.send(&octets).await?)
    }
}

pub(super) fn stopping() -> Stop {
    Stop::Bye(Some(Code::Unavailable), "server is stopping; come back soon".to_owned())
}
