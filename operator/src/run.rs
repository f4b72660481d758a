//! The operator as a process: election, watches, passes, health; and its orderly end.

use crate::election::Candidate;
use crate::observe::{Answers, Clock, PairKey, World};
use crate::reconcile::{Context, Guarded, reconcile};
use crate::telemetry::{Metrics, router};
use anyhow::Context as _;
use futures::{Stream, StreamExt};
use kube::runtime::controller::{Action, Config as ControllerConfig, Controller};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{Predicate, WatchStreamExt, predicates, watcher};
use kube::{Api, Client, Config, ResourceExt};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How many pairs are worked on at once.
const CONCURRENCY: u16 = 8;
/// How many triggers may wait.
const TRIGGERS_MAX: usize = 4096;
/// How often is looked for what is gone.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How it runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The one namespace that is served; `None`: all.
    pub namespace: Option<String>,
    /// The image of pairs that name none.
    pub image: String,
    /// Where the election is held.
    pub lease_namespace: String,
    /// Its name.
    pub lease_name: String,
    /// The name of this candidate.
    pub identity: String,
    /// Where health and metrics are served.
    pub listen: SocketAddr,
}

/// Runs until it is told to stop.
///
/// # Errors
/// When it cannot start, or loses the election: then it has to be started anew.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut config = Config::infer().await.context("failed to find a cluster: set KUBECONFIG, or run in one")?;
    // A request that is repeated by the client cannot be told from another's, and takes minutes to fail.
    config.default_retry = false;
    let agent = concat!("mailmirror-operator/", env!("CARGO_PKG_VERSION"));
    config.headers.push((axum::http::header::USER_AGENT, axum::http::HeaderValue::from_static(agent)));
    let client = Client::try_from(config).context("failed to make a client")?;
    let (stop, stopped) = watch::channel(false);
    let (world, writers) = World::new();
    let metrics = Arc::new(Metrics::new(Arc::clone(&world.watch_failures)));
    let listener = tokio::net::TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("failed to listen on {}", options.listen))?;
    let server = axum::serve(listener, router(Arc::clone(&metrics)));
    tokio::spawn(async move { server.await });
    tokio::spawn(async move {
        let signal = until_told_to_stop().await;
        tracing::info!(signal, "told to stop");
        // The receivers live as long as the process.
        let _ = stop.send(true);
    });

    let leases = Api::namespaced(client.clone(), &options.lease_namespace);
    let mut candidate = Candidate::new(leases, options.lease_name.clone(), options.identity.clone());
    // A standby is ready: it can take over.
    metrics.is_ready();
    tracing::info!(identity = options.identity, "stands for election");
    tokio::select! {
        () = candidate.win() => {}
        () = told(stopped.clone()) => return Ok(()),
    }
    tracing::info!(identity = options.identity, "leads");
    metrics.leads(true);

    let (trigger, triggers) = mpsc::channel(TRIGGERS_MAX);
    let keeper = {
        let (world, client, namespace, trigger) =
            (world.clone(), client.clone(), options.namespace.clone(), trigger.clone());
        tokio::spawn(async move { world.keep(client, namespace.as_deref(), writers, trigger).await })
    };
    let work = work(client, &options, world, metrics, trigger, triggers, stopped.clone());
    let lost = tokio::select! {
        () = work => false,
        () = candidate.keep() => true,
    };
    keeper.abort();
    candidate.resign().await;
    anyhow::ensure!(!lost, "failed to keep the election: another operator leads");
    Ok(())
}

async fn work(
    client: Client,
    options: &Options,
    world: World,
    metrics: Arc<Metrics>,
    trigger: mpsc::Sender<PairKey>,
    triggers: mpsc::Receiver<PairKey>,
    stopped: watch::Receiver<bool>,
) {
    world.wait_until_ready().await;
    let clock = Clock::start();
    let answers = Answers::new(clock, trigger);
    let (image, identity) = (options.image.clone(), options.identity.as_str());
    let context = Arc::new(Context::new(client.clone(), world, answers, clock, image, identity, metrics));
    let api: Api<Guarded> = match &options.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let (reader, writer) = store();
    let changes = predicates::generation.combine(predicates::annotations);
    let pairs = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|pair| pair.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(changes, kube::runtime::PredicateConfig::default());
    let sweeper = tokio::spawn(sweep(Arc::clone(&context), reader.clone()));
    Controller::for_stream(pairs, reader)
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
        .reconcile_on(references(triggers))
        .graceful_shutdown_on(told(stopped))
        .run(reconcile, |_, never, _| -> Action { match *never {} }, context)
        .for_each(|result| {
            if let Err(error) = result {
                tracing::debug!(%error, "a trigger led nowhere");
            }
            std::future::ready(())
        })
        .await;
    sweeper.abort();
}

fn references(triggers: mpsc::Receiver<PairKey>) -> impl Stream<Item = ObjectRef<Guarded>> {
    futures::stream::unfold(triggers, |mut triggers| async move {
        let key = triggers.recv().await?;
        Some((ObjectRef::new(&key.name).within(&key.namespace), triggers))
    })
}

/// Forgets pairs that are gone: they have no finalizer, so nobody says goodbye.
async fn sweep(context: Arc<Context>, pairs: Store<Guarded>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let key = |pair: &Guarded| PairKey { namespace: pair.namespace().unwrap_or_default(), name: pair.name_any() };
        let alive: Vec<_> = pairs.state().iter().map(|pair| (key(pair), pair.uid().unwrap_or_default())).collect();
        context.retain(&alive);
    }
}

async fn told(mut stopped: watch::Receiver<bool>) {
    // An error means that nobody can say it any more, which is the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn until_told_to_stop() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without a handler the signal ends the process as it is.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = tokio::signal::ctrl_c() => "SIGINT",
    }
}
