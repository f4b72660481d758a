//! One pass over one pair: observe, decide, act, until nothing follows any more; then the status.

mod prepare;
mod telling;

use crate::act::{ActError, Children, Events, Pods};
use crate::api::{MailMirrorPair, MailMirrorPairStatus};
use crate::authority::{Found, Leases};
use crate::decide::{Event, Finding, Input, Plan, decide};
use crate::observe::{Answers, Clock, Millis, NodeView, Observed, PairKey, World, pod_view, volume_view};
use crate::pair::ValidatedPair;
use crate::reason::Reason;
use crate::telemetry::Metrics;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Resource, ResourceExt};
use mailmirror_control::auth::Secret;
use mailmirror_model::ids::{AuthorityId, NodeId};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The object as it comes from the watch: one that cannot be read does not stop the others.
pub type Guarded = DeserializeGuard<MailMirrorPair>;

/// A pass ends after so many rounds at the latest; the next one goes on.
const ROUNDS_MAX: usize = 8;
/// Without anything that happens, a pair is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// A node that answers and could not be told the record is told again after this time.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// After a failure it is looked at again after this time, doubled each time.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What every pass uses.
pub struct Context {
    client: Client,
    leases: Leases,
    pods: Pods,
    children: Children,
    events: Events,
    world: World,
    answers: Answers,
    clock: Clock,
    default_image: String,
    metrics: Arc<Metrics>,
    memos: Mutex<HashMap<PairKey, Memo>>,
}

/// What is kept of a pair between passes. All of it can be lost.
#[derive(Default)]
struct Memo {
    failures: u32,
    secrets: Vec<Secret>,
    secrets_read: Option<Millis>,
    status: Option<Written>,
}

/// A status that was written.
struct Written {
    version: u64,
    at: Millis,
    status: MailMirrorPairStatus,
}

/// What is in the way of a pass.
#[derive(Default)]
struct Trouble {
    stalled: Option<Finding>,
    pending: Option<Finding>,
}

impl Trouble {
    fn stall(&mut self, reason: Reason, message: impl Into<String>) {
        self.stalled.get_or_insert(Finding { reason, message: message.into() });
    }

    fn pend(&mut self, message: impl Into<String>) {
        self.pending.get_or_insert(Finding { reason: Reason::ChildrenPending, message: message.into() });
    }
}

impl Context {
    /// Everything that a pass uses.
    pub fn new(
        client: Client,
        world: World,
        answers: Answers,
        clock: Clock,
        default_image: String,
        instance: &str,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            leases: Leases::new(client.clone()),
            pods: Pods::new(client.clone()),
            children: Children::new(client.clone()),
            events: Events::new(client.clone(), instance),
            client,
            world,
            answers,
            clock,
            default_image,
            metrics,
            memos: Mutex::default(),
        }
    }

    /// Forgets the pairs that are gone.
    pub fn retain(&self, alive: &[(PairKey, String)]) {
        let known = |pair: &PairKey| alive.iter().any(|(key, _)| key == pair);
        self.answers.retain(known);
        self.memos().retain(|pair, _| known(pair));
        self.children.retain(|owner| alive.iter().any(|(_, uid)| uid == owner));
        self.metrics.retain(known);
    }

    fn memos(&self) -> MutexGuard<'_, HashMap<PairKey, Memo>> {
        self.memos.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One pass. It never fails: what went wrong stands in the status and is tried again.
///
/// # Errors
/// None.
pub async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Infallible> {
    let started = Instant::now();
    let key = PairKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() };
    let pass = context.metrics.begin_pass();
    let validated = match &object.0 {
        Ok(pair) => ValidatedPair::new(pair).map(|valid| (valid, pair)).map_err(|error| error.to_string()),
        Err(invalid) => Err(format!("failed to read the object: {}", invalid.error)),
    };
    let (action, result) = match validated {
        Ok((pair, _)) if pair.deleting => (Action::await_change(), "deleting"),
        Ok((pair, object)) => context.pass(&key, &pair, object).await,
        Err(why) => {
            context.report_invalid(&object, &key, &why).await;
            (Action::requeue(RETRY_MAX), "invalid")
        }
    };
    context.metrics.end_pass(pass, result, started.elapsed());
    Ok(action)
}

impl Context {
    async fn pass(&self, key: &PairKey, pair: &ValidatedPair, object: &MailMirrorPair) -> (Action, &'static str) {
        let mut trouble = Trouble::default();
        let secrets = self.secrets(key, pair, &mut trouble).await;
        self.follow(key, pair, &secrets);
        // The roles first: a Service that some webhook holds up must not hold up a failover.
        let (found, plan) = self.rounds(key, pair, object, &mut trouble).await;
        if !pair.policy.paused {
            self.apply_children(pair, object, &mut trouble).await;
        }
        let observed = self.observe(key, pair);
        let memory = found.as_ref().and_then(|found| found.memory.as_ref());
        let troubled = trouble.stalled.is_some() || trouble.pending.is_some();
        let facts = crate::status::Facts {
            pair,
            observed: &observed,
            memory,
            plan: &plan,
            stalled: trouble.stalled.take(),
            pending: trouble.pending.take(),
        };
        let reported = self.report(key, object, &facts).await;
        self.metrics.pair(key, &facts);
        let failed = troubled || found.is_none() || !reported;
        (self.next_look(key, &plan, failed), if failed { "failed" } else { "ok" })
    }

    /// Decides and acts until nothing follows. `None`: the record could not be read.
    async fn rounds(
        &self,
        key: &PairKey,
        pair: &ValidatedPair,
        object: &MailMirrorPair,
        trouble: &mut Trouble,
    ) -> (Option<Found>, Plan) {
        let mut plan = Plan::default();
        let mut found: Option<Found> = None;
        for _ in 0..ROUNDS_MAX {
            let ground = match found.take() {
                Some(ground) => ground,
                None => match self.leases.read(pair).await {
                    Ok(ground) => ground,
                    Err(ActError::Content { why, .. }) => {
                        trouble.stall(Reason::RecordUnreadable, format!("{} ({why})", Reason::RecordUnreadable.text()));
                        return (None, plan);
                    }
                    Err(error) => {
                        trouble.pend(error.to_string());
                        return (None, plan);
                    }
                },
            };
            let observed = self.observe(key, pair);
            plan = decide(&Input {
                namespace: &pair.namespace,
                name: &pair.name,
                observed: &observed,
                memory: ground.memory.as_ref(),
                policy: &pair.policy,
                now: self.clock.now(),
                fresh: AuthorityId(rand::random()),
            });
            match self.carry_out(key, pair, object, &ground, &plan, &observed).await {
                Ok(Outcome::Nothing) => return (Some(ground), plan),
                Ok(Outcome::Done) => found = Some(ground),
                Ok(Outcome::Written(next)) => found = Some(*next),
                Err(error) if error.is_conflict() => tracing::debug!(pair = key.name, %error, "read again"),
                Err(error) => {
                    tracing::warn!(pair = key.name, namespace = key.namespace, %error, "a plan was not carried out");
                    trouble.pend(error.to_string());
                    return (Some(ground), plan);
                }
            }
        }
        (found, plan)
    }

    async fn carry_out(
        &self,
        key: &PairKey,
        pair: &ValidatedPair,
        object: &MailMirrorPair,
        ground: &Found,
        plan: &Plan,
        observed: &Observed,
    ) -> Result<Outcome, ActError> {
        let mut outcome = Outcome::Nothing;
        for node in &plan.unroute {
            if let Some(pod) = &observed.node(*node).pod {
                self.pods.label(&self.world, &pair.namespace, &pair.pod(*node), &pod.uid, None).await?;
                outcome = Outcome::Done;
            }
        }
        if let Some(memory) = &plan.write {
            let next = self.leases.write(pair, ground, memory).await?;
            for event in &plan.events {
                tracing::info!(pair = key.name, namespace = key.namespace, reason = %event.reason, "{}", event.note);
                self.metrics.decided(event.reason);
            }
            self.publish(object, plan.events.clone());
            return Ok(Outcome::Written(Box::new(next)));
        }
        if let Some(memory) = &ground.memory
            && self.tell(key, pair, object, &plan.tell, &memory.record).await
        {
            outcome = Outcome::Done;
        }
        for (node, role) in &plan.route {
            if let Some(pod) = &observed.node(*node).pod {
                self.pods.label(&self.world, &pair.namespace, &pair.pod(*node), &pod.uid, Some(*role)).await?;
                outcome = Outcome::Done;
            }
        }
        for node in &plan.restart {
            if let Some(pod) = &observed.node(*node).pod {
                self.pods.restart(&pair.namespace, &pair.pod(*node), &pod.uid).await?;
                let note = format!("{} is of an old revision", pair.pod(*node));
                self.publish(object, vec![Event { reason: Reason::PodRestarted, note, warning: false }]);
            }
        }
        Ok(outcome)
    }

    /// Events do not hold up anything.
    fn publish(&self, object: &MailMirrorPair, events: Vec<Event>) {
        let (publisher, reference) = (self.events.clone(), object.object_ref(&()));
        tokio::spawn(async move {
            for event in events {
                publisher.publish(&reference, &event).await;
            }
        });
    }

    fn observe(&self, key: &PairKey, pair: &ValidatedPair) -> Observed {
        let set = self.world.sets.get(&ObjectRef::new(&pair.name).within(&pair.namespace));
        let update_revision = set.and_then(|set| {
            let status = set.status.as_ref()?;
            (status.observed_generation == set.metadata.generation).then(|| status.update_revision.clone())?
        });
        let nodes = NodeId::BOTH.map(|node| {
            let pod = self.world.pod(&pair.namespace, &pair.pod(node));
            let claim = self.world.claims.get(&ObjectRef::new(&pair.claim(node)).within(&pair.namespace));
            let (answer, told) = self.answers.get(key, node);
            NodeView {
                pod: pod.map(|pod| pod_view(&pod, self.host(&pod).as_deref())),
                volume: volume_view(claim.as_deref(), self.world.claims_synced()),
                answer,
                told,
            }
        });
        Observed { nodes, update_revision }
    }

    fn host(&self, pod: &Pod) -> Option<Arc<Node>> {
        self.world.hosts.get(&ObjectRef::new(pod.spec.as_ref()?.node_name.as_ref()?))
    }

    fn next_look(&self, key: &PairKey, plan: &Plan, failed: bool) -> Action {
        let mut memos = self.memos();
        let memo = memos.entry(key.clone()).or_default();
        memo.failures = if failed { memo.failures.saturating_add(1) } else { 0 };
        let retry = if failed {
            let doubled = RETRY_FIRST.saturating_mul(1 << memo.failures.min(10)).min(RETRY_MAX);
            doubled.mul_f64(rand::random_range(0.75..1.25))
        } else if plan.tell.is_empty() {
            LOOK_EVERY
        } else {
            TELL_AGAIN
        };
        let wake = plan.wake_at.map(|at| Duration::from_millis(at.saturating_sub(self.clock.now()).saturating_add(1)));
        Action::requeue(wake.map_or(retry, |wake| wake.min(retry)))
    }
}

enum Outcome {
    Nothing,
    Done,
    Written(Box<Found>),
}
