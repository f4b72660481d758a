//! What the one who wants a change holds in hand, and why a change or a look is refused.

use mailmirror_model::outcome::{Outcome, Refusal};
use tokio::sync::oneshot;

/// A change that is on its way.
#[derive(Debug)]
pub struct Ticket {
    committed: Option<oneshot::Receiver<Result<(), ProposeError>>>,
    applied: oneshot::Receiver<Result<Outcome, ProposeError>>,
}

/// The other end of a [`Ticket`].
#[derive(Debug)]
pub(crate) struct Waiter {
    committed: Option<oneshot::Sender<Result<(), ProposeError>>>,
    applied: oneshot::Sender<Result<Outcome, ProposeError>>,
}

/// Why a change that was on its way is not known to be committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Nobody knows what became of the change: it may be carried out later. The client gets no answer (rule N6).
    #[error("failed to learn what became of the change: it is in the log and may be carried out later")]
    Lost,
    /// The master refused it before anything was written.
    #[error(transparent)]
    Refused(#[from] ProposeError),
}

/// Why a change was refused before anything was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The node has no role.
    #[error("failed to take the change: this node has no role yet")]
    NoRole,
    /// The node waits for its peer or for the authority, longer than `g_mirror_hold` (rule N6).
    #[error("failed to take the change: this node waits for its peer")]
    Holding,
    /// The disk of the node that puts changes in order is full.
    #[error("failed to take the change: no space left")]
    NoSpace,
    /// Too much is on its way already.
    #[error("failed to take the change: too many changes are on their way")]
    QueueFull,
    /// It would be refused when it is applied.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Larger than any entry.
    #[error("failed to take the change: it is larger than {} bytes", mailmirror_model::entry::ENTRY_MAX_BYTES)]
    TooLarge,
    /// The index or the log failed.
    #[error("failed to take the change: {0}")]
    Store(String),
    /// The node is about to stop.
    #[error("failed to take the change: this node is shutting down")]
    ShuttingDown,
}

/// Why state is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShowError {
    /// A stale view would make clients delete their own copies (rule N5).
    #[error("failed to show the mailbox: this node is not sure to be up to date")]
    Unavailable,
    /// The node is about to stop.
    #[error("failed to show the mailbox: this node is shutting down")]
    ShuttingDown,
}

impl Ticket {
    pub(crate) fn new() -> (Self, Waiter) {
        let (committed_tx, committed) = oneshot::channel();
        let (applied_tx, applied) = oneshot::channel();
        (Self { committed: Some(committed), applied }, Waiter { committed: Some(committed_tx), applied: applied_tx })
    }

    /// Returns when the change is committed (rule N3): what is answered now is kept.
    ///
    /// # Errors
    /// See [`TicketError`].
    pub async fn committed(&mut self) -> Result<(), TicketError> {
        let Some(receiver) = self.committed.as_mut() else { return Ok(()) };
        let answer = receiver.await.map_err(|_| TicketError::Lost)?;
        self.committed = None;
        answer.map_err(TicketError::from)
    }

    /// Returns when the change is committed and applied here, with what became of it.
    ///
    /// # Errors
    /// See [`TicketError`].
    pub async fn applied(self) -> Result<Outcome, TicketError> {
        let answer = self.applied.await.map_err(|_| TicketError::Lost)?;
        answer.map_err(TicketError::from)
    }
}

impl Waiter {
    pub(crate) fn tell_committed(&mut self) {
        if let Some(sender) = self.committed.take() {
            // The one who asked may have gone: then nobody is told.
            let _gone = sender.send(Ok(()));
        }
    }

    pub(crate) fn tell_applied(mut self, outcome: Outcome) {
        self.tell_committed();
        let _gone = self.applied.send(Ok(outcome));
    }

    pub(crate) fn tell_refused(self, why: ProposeError) {
        if let Some(sender) = self.committed {
            let _gone = sender.send(Err(why.clone()));
        }
        let _gone = self.applied.send(Err(why));
    }
}
