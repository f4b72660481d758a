//! Which of several operators acts: a Lease by compare-and-swap. Others' clocks are not trusted: a leader counts as gone
//! when its Lease has not changed for the whole time on the clock here, and a leader stops acting when its own time,
//! counted from before the request was sent, has run out. The records of the pairs are safe even if two act at once.

use crate::act::{ActError, bounded};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use std::time::Duration;
use tokio::time::Instant;

/// How long a leader is believed without a word.
pub const TERM: Duration = Duration::from_secs(8);
/// How often it gives one, and how often the others look.
pub const PACE: Duration = Duration::from_secs(1);

/// A candidate.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    seen: Option<(String, Instant)>,
    valid_until: Option<Instant>,
}

impl Candidate {
    /// A candidate with an identity of its own.
    pub fn new(api: Api<Lease>, name: String, identity: String) -> Self {
        Self { api, name, identity, seen: None, valid_until: None }
    }

    /// Whether it leads now.
    pub fn leads(&self) -> bool {
        self.valid_until.is_some_and(|until| Instant::now() < until)
    }

    /// Waits until it leads.
    pub async fn win(&mut self) {
        loop {
            if let Err(error) = self.step().await {
                tracing::warn!(%error, "the election waits");
            }
            if self.leads() {
                return;
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Keeps leading; returns when it does not any more.
    pub async fn keep(&mut self) {
        loop {
            tokio::time::sleep(PACE).await;
            match tokio::time::timeout_at(self.valid_until.unwrap_or_else(Instant::now), self.step()).await {
                Err(_) => return,
                Ok(Err(error)) => tracing::warn!(%error, "the term was not prolonged"),
                Ok(Ok(())) => {}
            }
            if !self.leads() {
                return;
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait.
    pub async fn resign(&mut self) {
        if !self.leads() {
            return;
        }
        self.valid_until = None;
        let released = async {
            let Some(mut lease) = self.read().await? else { return Ok(()) };
            if holder(&lease) != Some(&self.identity) {
                return Ok(());
            }
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = Some(String::new());
            }
            bounded("release the election", self.api.replace(&self.name, &PostParams::default(), &lease))
                .await
                .map(drop)
        };
        let released: Result<(), ActError> = released.await;
        if let Err(error) = released {
            tracing::warn!(%error, "the next leader waits for the end of the term");
        }
    }

    /// Looks once, and takes or prolongs the term where that is right.
    async fn step(&mut self) -> Result<(), ActError> {
        let sent = Instant::now();
        let Some(lease) = self.read().await? else {
            let lease = self.mine(ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() }, 0);
            return self
                .settle(sent, bounded("create the election", self.api.create(&PostParams::default(), &lease)).await);
        };
        let version = lease.resource_version().unwrap_or_default();
        let mine = holder(&lease) == Some(&self.identity);
        let free = holder(&lease).is_none_or(String::is_empty);
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != version) {
            self.seen = Some((version, sent));
        }
        let expired = self.seen.as_ref().is_some_and(|(_, since)| since.elapsed() > TERM);
        if !(mine || free || expired) {
            self.valid_until = None;
            return Ok(());
        }
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let next = self.mine(lease.metadata, transitions + i32::from(!mine));
        let replaced = bounded("take the election", self.api.replace(&self.name, &PostParams::default(), &next)).await;
        self.settle(sent, replaced)
    }

    fn settle(&mut self, sent: Instant, result: Result<Lease, ActError>) -> Result<(), ActError> {
        match result {
            Ok(lease) => {
                self.seen = Some((lease.resource_version().unwrap_or_default(), sent));
                self.valid_until = Some(sent + TERM);
                Ok(())
            }
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn read(&self) -> Result<Option<Lease>, ActError> {
        bounded("read the election", self.api.get_opt(&self.name)).await
    }

    fn mine(&self, metadata: ObjectMeta, transitions: i32) -> Lease {
        let metadata = ObjectMeta { managed_fields: None, ..metadata };
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(TERM.as_secs()).ok(),
            renew_time: Some(MicroTime(jiff::Timestamp::now())),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref())
}
