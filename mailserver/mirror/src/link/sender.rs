//! The writing half of a connection: words of control first, then entries as they lie in the log. The peer gets an
//! entry while this node's disk is still flushing it (DESIGN 3.2).

use super::Outgoing;
use super::frame::{self, ENTRIES_TARGET_BYTES, FrameError, FrameType, PART_BYTES};
use super::message::Message;
use crate::shared::Shared;
use mailmirror_log::LogError;
use mailmirror_model::ids::Seq;
use std::collections::VecDeque;
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("failed to read the log: {0}")]
    Log(#[from] LogError),
    #[error("failed to write a message: {0}")]
    Json(#[from] serde_json::Error),
}

/// Writes until the queue is closed or the connection breaks.
pub(super) async fn run<W: AsyncWrite + Unpin>(
    shared: &Shared,
    writer: W,
    queue: mpsc::Receiver<Outgoing>,
) -> Result<(), SendError> {
    let mut tail = shared.tail.subscribe();
    let mut committed = shared.committed.subscribe();
    let mut writing = Writing {
        writer: BufWriter::with_capacity(64 * 1024, writer),
        queue,
        behind: VecDeque::new(),
        next: None,
        told: Seq::ZERO,
    };
    loop {
        while let Some(out) = writing.behind.pop_front() {
            writing.out(out).await?;
        }
        loop {
            match writing.queue.try_recv() {
                Ok(out) => writing.out(out).await?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return writing.finish().await,
            }
        }
        if !writing.behind.is_empty() {
            continue;
        }
        let commit = *committed.borrow_and_update();
        let end = *tail.borrow_and_update();
        if writing.next.is_some_and(|next| next <= end) {
            writing.entries(shared, commit).await?;
            continue;
        }
        writing.commit(commit).await?;
        writing.writer.flush().await.map_err(FrameError::Io)?;
        tokio::select! {
            out = writing.queue.recv() => match out {
                Some(out) => writing.out(out).await?,
                None => return writing.finish().await,
            },
            // The engine holds the other ends; when it goes, so does the queue.
            _ = tail.changed() => {}
            _ = committed.changed() => {}
        }
    }
}

struct Writing<W: AsyncWrite> {
    writer: BufWriter<W>,
    queue: mpsc::Receiver<Outgoing>,
    /// What was queued while something large was written, and has to wait for its end.
    behind: VecDeque<Outgoing>,
    /// The next entry to send; `None` while nobody follows.
    next: Option<Seq>,
    /// The commit position that the peer was told.
    told: Seq,
}

impl<W: AsyncWrite + Unpin> Writing<W> {
    async fn out(&mut self, out: Outgoing) -> Result<(), SendError> {
        match out {
            Outgoing::Message(message) => self.control(&message).await?,
            Outgoing::Forward { round, frame } => {
                self.in_parts(FrameType::Forward, &[&round.to_le_bytes(), &frame]).await?;
            }
            Outgoing::Stream(after) => {
                self.next = Some(after.next());
                self.told = Seq::ZERO;
            }
        }
        Ok(())
    }

    /// Writes a frame; between the parts of a large one, words of control that have come meanwhile.
    async fn in_parts(&mut self, kind: FrameType, pieces: &[&[u8]]) -> Result<(), SendError> {
        let mut left: usize = pieces.iter().map(|piece| piece.len()).sum();
        if left <= ENTRIES_TARGET_BYTES + PART_BYTES {
            return Ok(frame::write(&mut self.writer, kind, pieces).await?);
        }
        for piece in pieces {
            for part in piece.chunks(PART_BYTES) {
                left -= part.len();
                let kind = if left == 0 { kind } else { FrameType::Part };
                frame::write(&mut self.writer, kind, &[part]).await?;
                while let Ok(out) = self.queue.try_recv() {
                    match out {
                        Outgoing::Message(message) => self.control(&message).await?,
                        other => self.behind.push_back(other),
                    }
                }
            }
        }
        Ok(())
    }

    async fn control(&mut self, message: &Message) -> Result<(), SendError> {
        let text = serde_json::to_vec(message)?;
        Ok(frame::write(&mut self.writer, FrameType::Control, &[&text]).await?)
    }

    async fn commit(&mut self, commit: Seq) -> Result<(), SendError> {
        if self.next.is_some() && commit > self.told {
            self.control(&Message::Commit { seq: commit }).await?;
            self.told = commit;
        }
        Ok(())
    }

    async fn entries(&mut self, shared: &Shared, commit: Seq) -> Result<(), SendError> {
        let Some(from) = self.next else { return Ok(()) };
        let log = shared.log.clone();
        let read = tokio::task::spawn_blocking(move || log.read(from, ENTRIES_TARGET_BYTES)).await;
        let entries = match read {
            Ok(entries) => entries?,
            Err(_cancelled) => return Ok(()),
        };
        let commit_bytes = commit.0.to_le_bytes();
        let mut parts: Vec<&[u8]> = vec![&commit_bytes];
        parts.extend(entries.iter().map(|entry| entry.bytes().as_ref()));
        self.in_parts(FrameType::Entries, &parts).await?;
        self.told = self.told.max(commit);
        self.next = entries.last().map(|entry| entry.header().position.seq.next()).or(self.next);
        Ok(())
    }

    /// What was queued goes out, if it still can: a last word may be among it.
    async fn finish(&mut self) -> Result<(), SendError> {
        Ok(self.writer.flush().await.map_err(FrameError::Io)?)
    }
}
