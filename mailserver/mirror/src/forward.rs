//! Changes that a client wants at a slave (rule N2): they go to the master with their identity, and come back in the
//! stream. One whose answer was lost is sent again, to whoever is master then, this node itself included.

use crate::link::message::{Forward, ForwardRefusal};
use crate::link::{Outgoing, send_out};
use crate::node::Time;
use crate::shared::{Inner, PendingForward, Shared};
use crate::ticket::{ProposeError, Waiter};
use bytes::{BufMut, Bytes, BytesMut};
use mailmirror_model::flags::When;
use mailmirror_model::ids::{Origin, Seq};
use mailmirror_model::operation::Change;
use mailmirror_model::outcome::Refusal;
use std::time::Duration;

/// How soon a master that took nothing is offered something again.
const OFFER_AGAIN_AFTER: Duration = Duration::from_millis(100);

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
        send_pending(inner, self.now());
        Ok(())
    }

    /// Keeps a forward until it has its place in the log. An operation of a branch comes with its own identity.
    pub fn enqueue(&self, inner: &mut Inner, origin: Origin, frame: Bytes, waiter: Option<Waiter>) {
        inner.forward_bytes += frame.len();
        let number = inner.next_forward;
        inner.next_forward += 1;
        let since = self.now();
        let forward = PendingForward { number, frame, waiter, sent_on: None, was_sent: false, in_doubt: false, since };
        inner.forwards.insert(origin, forward);
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
        send_pending(inner, self.now());
    }

    /// A node that was promoted puts in order itself what it had forwarded.
    pub fn forward_to_self(&self, inner: &mut Inner) {
        let mut pending: Vec<_> = std::mem::take(&mut inner.forwards).into_iter().collect();
        pending.sort_unstable_by_key(|(_, forward)| forward.number);
        inner.forward_bytes = 0;
        for (origin, mut forward) in pending {
            let Ok((wanted, bodies)) = crate::link::read_forward(&forward.frame) else { continue };
            let Forward { when, change, .. } = wanted;
            match self.sequence(inner, change, &bodies, origin, when, forward.waiter.take()) {
                Ok(seq) => inner.branches.note_place(origin, seq),
                Err((ProposeError::Refused(refusal), Some(waiter))) => {
                    waiter.tell_refused(ProposeError::Refused(refusal));
                }
                Err((ProposeError::Refused(refusal), None)) => note_conflict(inner, &forward.frame, &refusal),
                Err((_, waiter)) => {
                    forward.waiter = waiter;
                    inner.forward_bytes += forward.frame.len();
                    inner.forwards.insert(origin, forward);
                }
            }
        }
    }
}

/// Sends, in the order in which they are wanted, what was not sent on this connection.
pub(crate) fn send_pending(inner: &mut Inner, now: Time) {
    let Some(session) = inner.session.as_ref().map(|session| session.id) else { return };
    if !inner.node.is_following() {
        return;
    }
    let mut unsent: Vec<(u64, Origin, Bytes)> = inner
        .forwards
        .iter()
        .filter(|(_, forward)| forward.sent_on != Some(session))
        .map(|(origin, forward)| (forward.number, *origin, forward.frame.clone()))
        .collect();
    unsent.sort_unstable_by_key(|(number, ..)| *number);
    if let Some(not_before) = inner.forward_pause {
        let is_offered = inner.forwards.values().any(|forward| forward.sent_on == Some(session));
        unsent.truncate(usize::from(now >= not_before && !is_offered));
    }
    for (_, origin, frame) in unsent {
        let round = inner.forward_round;
        if !send_out(inner, Outgoing::Forward { round, frame }) {
            return;
        }
        if let Some(forward) = inner.forwards.get_mut(&origin) {
            forward.in_doubt |= forward.was_sent;
            forward.sent_on = Some(session);
            forward.was_sent = true;
        }
    }
}

/// A forward has its place in the log.
pub(crate) fn arrived(inner: &mut Inner, origin: Origin, seq: Seq) {
    inner.branches.note_place(origin, seq);
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

/// The master has refused a forward before it wrote anything. One that came at a bad moment is offered again, and those
/// after it too, so that the order stays.
pub(crate) fn refused(inner: &mut Inner, origin: Origin, round: u64, why: &ForwardRefusal, now: Time) {
    let is_awaited = inner.forwards.get(&origin).is_some_and(|forward| forward.waiter.is_some());
    let told = match why {
        ForwardRefusal::NotNow | ForwardRefusal::Unknown => return offer_again(inner, origin, round, now),
        ForwardRefusal::NoSpace => {
            offer_again(inner, origin, round, now);
            if !is_awaited {
                // What a branch had acknowledged waits until there is space.
                return;
            }
            ProposeError::NoSpace
        }
        ForwardRefusal::TooLarge => ProposeError::TooLarge,
        ForwardRefusal::Refused { refusal } => refusal_of(refusal).map_or(ProposeError::Holding, ProposeError::Refused),
    };
    match remove(inner, origin) {
        Some(PendingForward { waiter: Some(waiter), .. }) => waiter.tell_refused(told),
        Some(PendingForward { waiter: None, frame, .. }) => note_conflict(inner, &frame, &told),
        None => {}
    }
}

fn offer_again(inner: &mut Inner, origin: Origin, round: u64, now: Time) {
    if round < inner.forward_round {
        return;
    }
    let Some(from) = inner.forwards.get(&origin).map(|forward| forward.number) else { return };
    inner.forward_round += 1;
    inner.forward_pause = Some(now.plus(OFFER_AGAIN_AFTER));
    for forward in inner.forwards.values_mut().filter(|forward| forward.number >= from) {
        forward.sent_on = None;
        forward.was_sent = forward.in_doubt;
    }
}

fn note_conflict(inner: &mut Inner, frame: &Bytes, why: &dyn std::fmt::Display) {
    // Flags and expunges of what is gone at the master are no loss.
    let is_addition = |change: &Change| matches!(change, Change::Add { .. } | Change::Move { .. });
    if !inner.branches.is_open()
        || crate::link::read_forward(frame).is_ok_and(|(forward, _)| !is_addition(&forward.change))
    {
        return;
    }
    let message = format!(
        "an operation of a branch could not be carried out again: {why}; the whole branch stays in the folder \
         `branches` of this node's store"
    );
    Shared::note_problem(inner, "BranchConflicts", message);
}

fn remove(inner: &mut Inner, origin: Origin) -> Option<PendingForward> {
    let forward = inner.forwards.remove(&origin)?;
    inner.forward_pause = None;
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
