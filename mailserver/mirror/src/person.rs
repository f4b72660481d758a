//! Plain hosts (rule A9): the nodes keep the record, and a person with `tellmail` is the authority.

use crate::engine::Engine;
use crate::link::message::Message;
use crate::options::Authority;
use crate::shared::Shared;
use mailmirror_control::record::{Member, Record, RecordRefusal, Wish};
use mailmirror_control::status::{ObeyRefusal, Role, SwapProgress};
use mailmirror_model::ids::{AuthorityId, Epoch};
use std::time::Duration;

/// How long a swap may take before it is given up.
pub const SWAP_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a person's order is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// An operator gives the roles.
    #[error("failed: an operator gives the roles of this pair; change `spec.master` of its MailMirrorPair instead")]
    Managed,
    /// There is no record yet.
    #[error("failed: this node has no record yet: start the master first, or connect the two nodes")]
    NoRecord,
    /// It might lose mail.
    #[error(
        "failed: {0}; what the other node has alone would be lost: give --accept-loss if the other node is stopped"
    )]
    MayLose(RecordRefusal),
    /// The record's rules forbid it.
    #[error("failed: {0}")]
    Refused(#[from] RecordRefusal),
    /// The node did not obey.
    #[error("failed: {0}")]
    Obey(#[from] ObeyRefusal),
    /// Only the master can be asked for this.
    #[error("failed: this node is not the master: ask the other one")]
    NotMaster,
    /// The slave is not there or not in sync.
    #[error("failed: the slave is not connected and in sync; the roles stay as they are")]
    NotReady,
}

impl Engine {
    /// Makes this node the master, which then answers alone until its slave is back. On a master that waits for a slave
    /// that is gone, `accept_loss` is the grant: the slave's own copy of the record does not know of it.
    ///
    /// # Errors
    /// See [`PersonError`].
    pub fn promote(&self, accept_loss: bool) -> Result<(), PersonError> {
        let shared = self.shared();
        let grants_itself = matches!(shared.options.authority, Authority::Person { alone: true, .. });
        let next = {
            let inner = shared.lock();
            let record = kept_record(shared, &inner)?;
            let identity = inner.node.identity();
            let me = Member { node: identity.node, store: identity.store };
            let above = inner.node.obeyed().map(|obeyed| obeyed.epoch);
            let base = match inner.node.wish(shared.now()) {
                Some(_) if accept_loss => record,
                _ => promoted(&record, me, above, grants_itself, accept_loss)?,
            };
            let wish = Wish {
                node: me.node,
                epoch: base.epoch,
                incarnation: identity.incarnation,
                store: me.store,
                seen: base.grant,
            };
            // Only `peer` has grants; under the other policies there is nothing to grant.
            base.grant(&wish).ok().flatten().unwrap_or(base)
        };
        shared.obey(&next)?;
        Ok(())
    }

    /// Swaps the roles without loss: hold, drain, seal, promote the slave (rule A10).
    ///
    /// # Errors
    /// See [`PersonError`]; the roles are as before then.
    pub async fn swap(&self) -> Result<(), PersonError> {
        let shared = self.shared();
        let record = {
            let inner = shared.lock();
            let record = kept_record(shared, &inner)?;
            if inner.node.role() != Role::Master {
                return Err(PersonError::NotMaster);
            }
            record
        };
        shared.obey(&record.begin_swap())?;
        let mut changed = shared.changed.subscribe();
        let sealed = async {
            loop {
                changed.borrow_and_update();
                {
                    let inner = shared.lock();
                    if let (Some(SwapProgress::Sealed { .. }), Some(peer)) = (inner.node.swap(), inner.node.peer()) {
                        return peer.store;
                    }
                }
                // The sender lives as long as this.
                let _changed = changed.changed().await;
            }
        };
        let Ok(store) = tokio::time::timeout(SWAP_TIMEOUT.min(shared.options.timing.hold), sealed).await else {
            let record = kept_record(shared, &shared.lock())?;
            shared.obey(&record.cancel_swap()?)?;
            return Err(PersonError::NotReady);
        };
        let record = kept_record(shared, &shared.lock())?;
        let slave = Member { node: record.holder.peer(), store };
        let next = match record.promote(slave, true) {
            Ok(next) => next,
            Err(refusal) => {
                // It may go on here: nothing was promoted.
                shared.obey(&record.cancel_swap()?)?;
                return Err(refusal.into());
            }
        };
        crate::link::send(&mut shared.lock(), Message::Record(Box::new(next.clone())));
        shared.obey(&next)?;
        Ok(())
    }
}

/// The record after a person has promoted `me`.
fn promoted(
    record: &Record,
    me: Member,
    above: Option<Epoch>,
    grants_itself: bool,
    accept_loss: bool,
) -> Result<Record, PersonError> {
    match record.promote(me, false) {
        Err(RecordRefusal::AlreadyHolder) => Err(RecordRefusal::AlreadyHolder.into()),
        Ok(_) | Err(_) if accept_loss => Ok(record.promote_accepting_loss(me, above)),
        // A master that grants itself may have gone on alone without this node knowing.
        Ok(_) if grants_itself => Err(PersonError::MayLose(RecordRefusal::NotMember)),
        Ok(next) => Ok(next),
        Err(refusal) => Err(PersonError::MayLose(refusal)),
    }
}

/// The record of the very first start, where the settings say that this node is the master.
pub(crate) fn begin(shared: &Shared) {
    let Authority::Person { first_role, policy, .. } = shared.options.authority else { return };
    let (kept, has_obeyed, me) = {
        let inner = shared.lock();
        let identity = inner.node.identity();
        let me = Member { node: identity.node, store: identity.store };
        (inner.meta.get().record.clone(), inner.node.obeyed().is_some(), me)
    };
    let record = match kept {
        Some(record) => Some(record),
        None if first_role == Some(Role::Master) && !has_obeyed => {
            Some(Record::first(authority(shared), policy, me, None))
        }
        None => None,
    };
    if let Some(record) = record
        && let Err(error) = shared.obey(&record)
    {
        tracing::warn!(error = error.to_string(), "the kept record is not obeyed");
    }
}

/// What the authority would do at once: on plain hosts the holder's node does it for the person.
pub(crate) fn tick(shared: &Shared) {
    let Authority::Person { policy, alone, .. } = shared.options.authority else { return };
    let mut inner = shared.lock();
    if inner.node.role() != Role::Master {
        return;
    }
    let Some(record) = inner.node.record() else { return };
    let wish = inner.node.wish(shared.now()).filter(|_| alone);
    let granted = wish.and_then(|wish| record.grant(&wish).ok().flatten());
    let expanded = inner.node.ready().and_then(|ready| record.expand(&ready).ok().flatten());
    let changed = (record.policy != policy && record.swap.is_none()).then(|| record.with_policy(policy));
    // In one go with what it was decided on: the record is changed by one at a time (rule A1).
    if let Some(record) = granted.or(expanded).or(changed) {
        if let Err(error) = shared.obey_locked(&mut inner, &record) {
            tracing::warn!(error = error.to_string(), "a record of this node is not obeyed");
            return;
        }
        crate::link::send(&mut inner, Message::Record(Box::new(record)));
    }
}

fn kept_record(shared: &Shared, inner: &crate::shared::Inner) -> Result<Record, PersonError> {
    if shared.is_managed() {
        return Err(PersonError::Managed);
    }
    inner.meta.get().record.clone().ok_or(PersonError::NoRecord)
}

/// Both nodes find the same authority, as they share the secret.
fn authority(shared: &Shared) -> AuthorityId {
    let secrets = shared.options.secrets.borrow();
    let key = secrets.first().map_or([0; 32], |secret| secret.key_for("mailmirror authority 1"));
    let mut half = [0; 16];
    half.copy_from_slice(&key[..16]);
    AuthorityId(u128::from_le_bytes(half))
}
