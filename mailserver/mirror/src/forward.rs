//! Changes that a client wants at a slave (rule N2): they go to the master with their identity, and come back in the
//! stream. One whose answer was lost is sent again, to whoever is master then, this node itself included.

use crate::link::message::{Forward, ForwardRefusal};
use crate::link::{Outgoing, send_out};
use crate::shared::{Inner, PendingForward, Shared};
use crate::ticket::{ProposeError, Waiter};
use bytes::{BufMut, Bytes, BytesMut};
use mailmirror_model::flags::When;
use mailmirror_model::ids::{Origin, Seq};
use mailmirror_model::operation::Change;
use mailmirror_model::outcome::Refusal;

impl Shared {
    /// Sends a change to the master; its waiter is told when it has come back.
    pub fn forward(
        &self,
        inner: &mut Inner,
        change: Change,
        bodies: &[Bytes],
        waiter: Waiter,
    ) -> Result<(), ProposeError> {
        let body_bytes: usize = bodies.iter().map(Bytes::len).sum();
        if inner.forward_bytes + body_bytes > self.options.forward_queue_max_bytes {
            return Err(ProposeError::QueueFull);
        }
        let (origin, when) = self.new_origin(inner);
        let frame = encode(origin, when, change, bodies)?;
        self.enqueue(inner, origin, frame, Some(waiter));
        send_pending(inner);
        Ok(())
    }

    /// Keeps a forward until it has its place in the log. An operation of a branch comes with its own identity.
    pub fn enqueue(&self, inner: &mut Inner, origin: Origin, frame: Bytes, waiter: Option<Waiter>) {
        inner.forward_bytes += frame.len();
        inner
            .forwards
            .insert(origin, PendingForward { frame, waiter, sent_on: None, was_sent: false, since: self.now() });
    }

    /// Time passes: forwards that were not taken are offered again, and after `g_mirror_hold` those who wait are told:
    /// that nothing was written, or that nobody knows (rule N6).
    pub fn tick_forwards(&self, inner: &mut Inner) {
        let now = self.now();
        let hold = self.options.timing.hold;
        let late: Vec<Origin> = inner
            .forwards
            .iter()
            .filter(|(_, forward)| forward.waiter.is_some() && now.since(forward.since) >= hold)
            .map(|(origin, _)| *origin)
            .collect();
        for origin in late {
            let Some(forward) = inner.forwards.get_mut(&origin) else { continue };
            let waiter = forward.waiter.take();
            if !forward.was_sent {
                if let Some(waiter) = waiter {
                    waiter.tell_refused(ProposeError::Holding);
                }
                remove(inner, origin);
            }
        }
        send_pending(inner);
    }

    /// A node that was promoted puts in order itself what it had forwarded.
    pub fn forward_to_self(&self, inner: &mut Inner) {
        let pending = std::mem::take(&mut inner.forwards);
        inner.forward_bytes = 0;
        for (origin, mut forward) in pending {
            let Ok((wanted, bodies)) = crate::link::read_forward(&forward.frame) else { continue };
            let Forward { when, change, .. } = wanted;
            match self.sequence(inner, change, &bodies, origin, when, forward.waiter.take()) {
                Ok(_) => {}
                Err((ProposeError::Refused(refusal), waiter)) => {
                    if let Some(waiter) = waiter {
                        waiter.tell_refused(ProposeError::Refused(refusal));
                    }
                }
                Err((_, waiter)) => {
                    forward.waiter = waiter;
                    inner.forward_bytes += forward.frame.len();
                    inner.forwards.insert(origin, forward);
                }
            }
        }
    }
}

/// Sends, in counter order, what was not sent on this connection.
pub(crate) fn send_pending(inner: &mut Inner) {
    let Some(session) = inner.session.as_ref().map(|session| session.id) else { return };
    if !inner.node.is_following() {
        return;
    }
    let unsent: Vec<(Origin, Bytes)> = inner
        .forwards
        .iter()
        .filter(|(_, forward)| forward.sent_on != Some(session))
        .map(|(origin, forward)| (*origin, forward.frame.clone()))
        .collect();
    for (origin, frame) in unsent {
        if !send_out(inner, Outgoing::Forward(frame)) {
            return;
        }
        if let Some(forward) = inner.forwards.get_mut(&origin) {
            forward.sent_on = Some(session);
            forward.was_sent = true;
        }
    }
}

/// A forward has its place in the log.
pub(crate) fn arrived(inner: &mut Inner, origin: Origin, seq: Seq) {
    if let Some(PendingForward { waiter: Some(waiter), .. }) = remove(inner, origin) {
        inner.waiters.insert(seq, waiter);
    }
}

/// A forward is in the master's log. One that somebody waits for comes in the stream; one of a branch is done.
pub(crate) fn known(inner: &mut Inner, origin: Origin) {
    if inner.forwards.get(&origin).is_some_and(|forward| forward.waiter.is_none()) {
        remove(inner, origin);
    }
}

/// The master has refused a forward before it wrote anything. One that came at a bad moment is offered again.
pub(crate) fn refused(inner: &mut Inner, origin: Origin, why: &ForwardRefusal) {
    let told = match why {
        ForwardRefusal::NotNow | ForwardRefusal::Unknown => {
            if let Some(forward) = inner.forwards.get_mut(&origin) {
                forward.sent_on = None;
                forward.was_sent = false;
            }
            return;
        }
        ForwardRefusal::NoSpace => ProposeError::NoSpace,
        ForwardRefusal::TooLarge => ProposeError::TooLarge,
        ForwardRefusal::Refused { refusal } => refusal_of(refusal).map_or(ProposeError::Holding, ProposeError::Refused),
    };
    if let Some(PendingForward { waiter: Some(waiter), .. }) = remove(inner, origin) {
        waiter.tell_refused(told);
    }
}

fn remove(inner: &mut Inner, origin: Origin) -> Option<PendingForward> {
    let forward = inner.forwards.remove(&origin)?;
    inner.forward_bytes -= forward.frame.len().min(inner.forward_bytes);
    Some(forward)
}

pub(crate) fn encode(origin: Origin, when: When, change: Change, bodies: &[Bytes]) -> Result<Bytes, ProposeError> {
    let forward = Forward { origin, when, change };
    let meta = postcard::to_stdvec(&forward).map_err(|error| ProposeError::Store(error.to_string()))?;
    let length = meta.len() + bodies.iter().map(Bytes::len).sum::<usize>();
    if length > mailmirror_model::entry::ENTRY_MAX_BYTES {
        return Err(ProposeError::TooLarge);
    }
    let mut frame = BytesMut::with_capacity(length);
    frame.put_slice(&meta);
    for body in bodies {
        frame.put_slice(body);
    }
    Ok(frame.freeze())
}

const REFUSALS: [(Refusal, &str); 9] = [
    (Refusal::NoAccount, "NoAccount"),
    (Refusal::AddressTaken, "AddressTaken"),
    (Refusal::NoMailbox, "NoMailbox"),
    (Refusal::NameTaken, "NameTaken"),
    (Refusal::Inbox, "Inbox"),
    (Refusal::BelowItself, "BelowItself"),
    (Refusal::SpecialUseTaken, "SpecialUseTaken"),
    (Refusal::OutOfUids, "OutOfUids"),
    (Refusal::NoBody, "NoBody"),
];

pub(crate) fn refusal_name(refusal: &Refusal) -> String {
    REFUSALS.iter().find(|(known, _)| known == refusal).map_or("Unknown", |(_, name)| name).to_owned()
}

fn refusal_of(name: &str) -> Option<Refusal> {
    REFUSALS.iter().find(|(_, known)| *known == name).map(|(refusal, _)| refusal.clone())
}
