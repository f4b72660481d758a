//! Read points (rule N4): a slave shows nothing older than what the master had committed when the client asked.

use crate::link::message::Message;
use crate::node::ShowState;
use crate::shared::{Inner, Shared};
use crate::ticket::ShowError;
use mailmirror_model::ids::Seq;
use std::time::Duration;
use tokio::sync::oneshot;

/// How soon a slave that is not in the set asks again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

impl Shared {
    /// Returns when what is applied here may be shown.
    pub async fn read_point(&self) -> Result<(), ShowError> {
        let deadline = tokio::time::Instant::now() + self.options.timing.hold;
        let waited = tokio::time::timeout_at(deadline, self.wait_for_read_point());
        tokio::select! {
            waited = waited => waited.map_err(|_| ShowError::Unavailable),
            () = self.stop.cancelled() => Err(ShowError::ShuttingDown),
        }
    }

    async fn wait_for_read_point(&self) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let (state, answer) = {
                let mut inner = self.lock();
                // A node in the middle of a rebase shows nothing (rule U2).
                let state = if inner.branches.is_open() { ShowState::Wait } else { inner.node.show(self.now()) };
                let answer = (state == ShowState::AskMaster).then(|| ask(&mut inner));
                (state, answer)
            };
            let from = match (state, answer) {
                (ShowState::From(seq), _) => Some(seq),
                (_, Some(answer)) => {
                    let Ok(Some(seq)) = answer.await else {
                        tokio::time::sleep(ASK_AGAIN).await;
                        continue;
                    };
                    Some(seq)
                }
                (_, None) => None,
            };
            if let Some(seq) = from {
                let mut applied = self.applied.subscribe();
                // The sender lives as long as this.
                let _reached = applied.wait_for(|applied| *applied >= seq).await;
                return;
            }
            // Leases and pauses end without an event.
            let _either = tokio::time::timeout(ASK_AGAIN, changed.changed()).await;
        }
    }
}

fn ask(inner: &mut Inner) -> oneshot::Receiver<Option<Seq>> {
    let (sender, receiver) = oneshot::channel();
    inner.reads.waiting.push(sender);
    if inner.reads.asked.is_none() {
        ask_next(inner);
    }
    receiver
}

fn ask_next(inner: &mut Inner) {
    if inner.reads.waiting.is_empty() {
        return;
    }
    let id = inner.reads.next_id;
    inner.reads.next_id += 1;
    let all = std::mem::take(&mut inner.reads.waiting);
    if crate::link::send(inner, Message::AskReadPoint { id }) {
        inner.reads.asked = Some((id, all));
    }
}

/// The master has answered: all who asked before the question was sent may use it, those who came later ask again.
pub(crate) fn answered(inner: &mut Inner, id: u64, from: Option<Seq>) {
    match inner.reads.asked.take() {
        Some((asked, all)) if asked == id => {
            for sender in all {
                // Whoever has gone needs no answer.
                let _gone = sender.send(from);
            }
            ask_next(inner);
        }
        other => inner.reads.asked = other,
    }
}
