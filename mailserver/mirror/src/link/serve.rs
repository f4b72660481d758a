//! What a master does on the link: finds what both logs have in common, streams, and puts forwards in order.

use super::message::{Forward, ForwardRefusal, Message, Sample};
use super::session::{Reading, SessionError, serves};
use super::{Outgoing, send, send_out};
use crate::node::AcceptState;
use crate::shared::{Inner, Shared};
use crate::ticket::ProposeError;
use bytes::{Buf, Bytes};
use mailmirror_model::ids::{Origin, Seq};
use mailmirror_model::operation::Change;
use std::sync::Arc;

/// Samples of one question.
const SAMPLES_MAX: usize = 512;

/// A slave asks which of these places are the same here (rule R1).
pub(super) fn probe(shared: &Shared, inner: &mut Inner, samples: &[Sample]) -> Result<(), SessionError> {
    if samples.len() > SAMPLES_MAX {
        return Err(SessionError::Refused(format!("{} samples in one question are too many", samples.len())));
    }
    let mut common = Seq::ZERO;
    let mut differs = None;
    for sample in samples {
        let here = shared.log.header_hash_at(sample.seq).map_err(|error| SessionError::Refused(error.to_string()))?;
        if here.is_some_and(|(_, hash)| hash == sample.hash) {
            common = sample.seq;
            break;
        }
        differs = Some(sample.seq);
    }
    let first = shared.log.first_seq();
    send(inner, Message::Probed { common, differs, first });
    Ok(())
}

/// A slave has everything up to `after`; from there on it gets the log.
pub(super) fn follow(
    shared: &Shared,
    inner: &mut Inner,
    reading: &Reading,
    after: Seq,
    flushed: Seq,
    busy: bool,
) -> Result<(), SessionError> {
    let Some(peer) = reading.peer.as_ref().filter(|peer| serves(inner, peer)) else {
        return Err(SessionError::Refused("a node that does not obey this master cannot follow it".to_owned()));
    };
    if after > inner.node.tail().seq || after.next() < shared.log.first_seq() {
        return Err(SessionError::Refused(format!("entries after {after} are not in this log")));
    }
    inner.node.on_peer(peer.store, peer.incarnation, flushed, busy, shared.now());
    send_out(inner, Outgoing::Stream(after));
    shared.publish(inner);
    tracing::info!(%after, "the slave follows");
    Ok(())
}

/// A change that a client wanted at the slave (rule N2). What is known already is not done again; the slave finds it
/// in the stream.
pub(super) fn forward(shared: &Arc<Shared>, reading: &mut Reading, mut payload: Bytes) -> Result<(), SessionError> {
    if payload.len() < 8 {
        return Err(SessionError::Forward("its frame is too short".to_owned()));
    }
    let round = payload.get_u64_le();
    if reading.refused_round.is_some_and(|refused| round <= refused) {
        // It comes again, after the one that was refused.
        return Ok(());
    }
    let (forward, bodies) = read_forward(&payload).map_err(SessionError::Forward)?;
    let Forward { origin, when, change } = forward;
    let now = shared.now();
    let mut guard = shared.lock();
    let inner = &mut *guard;
    // One that this node had forwarded may come back from the branch of the one that was master then (rule U2), as may
    // one of an earlier run that this node's disk has lost. What waits to be put in order here is not taken twice.
    if inner.forwards.contains_key(&origin) {
        reading.refused_round = Some(round);
        send(inner, Message::ForwardRefused { origin, round, why: ForwardRefusal::NotNow });
        return Ok(());
    }
    super::session::see_clock(inner, when.clock);
    if is_known(shared, inner, origin) {
        send(inner, Message::ForwardKnown { origin });
        return Ok(());
    }
    let refused = match inner.node.accept(now) {
        AcceptState::Here => match shared.sequence(inner, change, &bodies, origin, when, None) {
            Ok(_) => return Ok(()),
            Err((ProposeError::Refused(refusal), _)) => {
                ForwardRefusal::Refused { refusal: crate::forward::refusal_name(&refusal) }
            }
            Err((ProposeError::NoSpace, _)) => ForwardRefusal::NoSpace,
            Err((ProposeError::TooLarge, _)) => ForwardRefusal::TooLarge,
            Err(_) => ForwardRefusal::NotNow,
        },
        AcceptState::Forward | AcceptState::Wait | AcceptState::Holding | AcceptState::NoRole => ForwardRefusal::NotNow,
    };
    if matches!(refused, ForwardRefusal::NotNow | ForwardRefusal::NoSpace) {
        reading.refused_round = Some(round);
    }
    send(inner, Message::ForwardRefused { origin, round, why: refused });
    Ok(())
}

fn is_known(shared: &Shared, inner: &Inner, origin: Origin) -> bool {
    use mailmirror_model::state::View;
    let applied = || shared.reader.snapshot(|view| view.origin(origin)).is_ok_and(|known| known.is_some());
    inner.origins.contains_key(&origin) || applied()
}

/// A forwarded change and its bodies; or what is wrong with it.
pub(crate) fn read_forward(payload: &Bytes) -> Result<(Forward, Vec<Bytes>), String> {
    let bad = |what: &dyn std::fmt::Display| what.to_string();
    let (forward, rest) = postcard::take_from_bytes::<Forward>(payload).map_err(|error| bad(&error))?;
    let mut at = payload.len() - rest.len();
    let mut bodies = Vec::new();
    if let Change::Add { bodies: metas, .. } = &forward.change {
        for meta in metas {
            let size = usize::try_from(meta.size_bytes).map_err(|error| bad(&error))?;
            let end = at.checked_add(size).filter(|end| *end <= payload.len());
            let end = end.ok_or_else(|| bad(&"its bodies are shorter than they were said to be"))?;
            bodies.push(payload.slice(at..end));
            at = end;
        }
    }
    Ok((forward, bodies))
}
