//! The master puts changes in order (rule N1): numbers, an entry, the end of the log.

use crate::shared::{Inner, Shared};
use crate::ticket::{ProposeError, Waiter};
use bytes::Bytes;
use mailmirror_log::AppendError;
use mailmirror_model::allocate::AllocateError;
use mailmirror_model::entry::{Entry, Header, Kind};
use mailmirror_model::flags::When;
use mailmirror_model::ids::{Origin, Position, Seq};
use mailmirror_model::operation::{self, Change};
use serde::Serialize;
use std::time::Duration;

/// How long an entry that a role needs waits for the disk.
const CONTROL_WAIT_MAX: Duration = Duration::from_secs(10);
const CONTROL_PAUSE: Duration = Duration::from_millis(1);

impl Shared {
    /// Puts one change in order; what it becomes is known when it is applied.
    pub fn sequence(
        &self,
        inner: &mut Inner,
        change: Change,
        bodies: &[Bytes],
        origin: Origin,
        when: When,
        waiter: Option<Waiter>,
    ) -> Result<Seq, (ProposeError, Option<Waiter>)> {
        let seq = inner.node.tail().seq.next();
        let now_seconds = self.clock.wall_millis() / 1000;
        let allocated = self.reader.snapshot(|view| Ok(inner.allocator.allocate(view, seq, change, when, now_seconds)));
        let operation = match allocated {
            Ok(Ok(operation)) => operation,
            Ok(Err(AllocateError::Refused(refusal))) => return Err((refusal.into(), waiter)),
            Ok(Err(AllocateError::View(error))) | Err(error) => {
                return Err((ProposeError::Store(error.to_string()), waiter));
            }
        };
        let meta = match operation::encode(&operation) {
            Ok(meta) => meta,
            Err(error) => return Err((ProposeError::Store(error.to_string()), waiter)),
        };
        let mut payload: Vec<&[u8]> = vec![&meta];
        payload.extend(bodies.iter().map(AsRef::as_ref));
        match self.append(inner, Kind::Operation, origin, &payload) {
            Ok(seq) => {
                if let Some(waiter) = waiter {
                    inner.waiters.insert(seq, waiter);
                }
                inner.origins.insert(origin, seq);
                Ok(seq)
            }
            Err(error) => Err((error, waiter)),
        }
    }

    /// A new identity for a change that is wanted here (rule L1).
    pub fn new_origin(&self, inner: &mut Inner) -> (Origin, When) {
        let counter = inner.next_counter;
        inner.next_counter += 1;
        inner.hlc = inner.hlc.tick(self.clock.wall_millis());
        let node = self.options.node;
        let incarnation = inner.node.identity().incarnation;
        (Origin { node, incarnation, counter }, When { clock: inner.hlc, node })
    }

    /// An entry that a role needs. It waits for the disk where the queue of the log is full; where that does not help the
    /// node cannot play its role, and stops.
    pub(crate) fn write_control<T: Serialize>(&self, inner: &mut Inner, kind: Kind, value: &T) {
        let begun = std::time::Instant::now();
        let written = loop {
            match self.try_write_control(inner, kind, value) {
                Err(ProposeError::QueueFull) if begun.elapsed() < CONTROL_WAIT_MAX => {
                    // The thread of the log needs nothing that is locked here.
                    std::thread::sleep(CONTROL_PAUSE);
                }
                written => break written,
            }
        };
        if let Err(error) = written {
            self.fail(inner, "LogFailed", &format!("failed to write an entry that a role needs: {error}"));
        }
    }

    pub(crate) fn try_write_control<T: Serialize>(
        &self,
        inner: &mut Inner,
        kind: Kind,
        value: &T,
    ) -> Result<Seq, ProposeError> {
        let payload = operation::encode(value).map_err(|error| ProposeError::Store(error.to_string()))?;
        let (origin, _) = self.new_origin(inner);
        self.append(inner, kind, origin, &[&payload])
    }

    fn append(&self, inner: &mut Inner, kind: Kind, origin: Origin, payload: &[&[u8]]) -> Result<Seq, ProposeError> {
        inner.hlc = inner.hlc.tick(self.clock.wall_millis());
        let tail = inner.node.tail();
        let epoch = inner.node.obeyed().map_or(tail.epoch, |obeyed| obeyed.epoch);
        let header = Header {
            position: Position { epoch, seq: tail.seq.next() },
            kind,
            origin,
            clock: inner.hlc,
            commit: inner.node.committed(),
            previous: inner.tail_hash,
        };
        let entry = Entry::write(header, payload).map_err(|_| ProposeError::TooLarge)?.map_bytes(Bytes::from);
        let hash = entry.hash();
        self.log.append(vec![entry]).map_err(|error| match error {
            AppendError::NoSpace => ProposeError::NoSpace,
            AppendError::QueueFull => ProposeError::QueueFull,
            AppendError::Gap { .. } | AppendError::Closed => ProposeError::Store(error.to_string()),
        })?;
        inner.tail_hash = hash;
        let now = self.now();
        inner.node.on_appended(header.position, now);
        self.publish(inner);
        Ok(header.position.seq)
    }
}
