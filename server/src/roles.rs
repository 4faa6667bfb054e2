//! One role in this process, on servers that all roles share: `mirastack gateway`, `scheduler`, `worker`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use async_trait::async_trait;
use engine::id::{Shard, Tenant};
use engine::registry::Health;
use gateway::{AgentHealth, Gateway, HealthFailure, Parts};
use scheduler::{Janitor, Owners, Start};
use store::Backend;
use store::clock::{Drift, ProcessClock, SystemRandom};
use store::cluster::broker::Role;
use store::cluster::{self, Cluster};
use store::seal::{RootKey, Seal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::Worker;

use crate::agents::{self, Here};
use crate::args;
use crate::clock::{self, Clock};
use crate::descriptors::Connections;
use crate::doors::Doors;
use crate::safety::{Exposed, Unsafe};
use crate::settings::{Place, Servers, Telling};
use crate::signals::Signals;
use crate::{backup, bootstrap, dev, files, incoming, log, metrics, supervisor};

/// Over how many shards the runs of a new installation are spread.
const SHARDS: u16 = 8;

pub(crate) fn gateway(role: &args::Gateway) -> anyhow::Result<()> {
    let exposed = Exposed::of(&role.place).servers(&role.servers);
    let exposed = exposed.web(&role.web, &role.tls);
    run(&role.telling, &exposed, |safety, stop| {
        serve_gateway(role, safety, stop)
    })
}

pub(crate) fn scheduler(role: &args::Scheduler) -> anyhow::Result<()> {
    let exposed = Exposed::default().servers(&role.servers);
    run(&role.telling, &exposed, |_, stop| {
        serve_scheduler(role, stop)
    })
}

pub(crate) fn worker(role: &args::Worker) -> anyhow::Result<()> {
    let exposed = Exposed::of(&role.place).servers(&role.servers);
    let exposed = exposed.agents(&role.agents, &role.tls);
    run(&role.telling, &exposed, |_, stop| serve_worker(role, stop))
}

/// Serves until a signal asks for the end.
fn run<F>(
    telling: &Telling,
    exposed: &Exposed,
    serve: impl FnOnce(Unsafe, CancellationToken) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    log::begin(telling)?;
    let safety = Unsafe::accept(telling, &exposed.judged())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads")?;
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut helpers = JoinSet::new();
        helpers.spawn(Signals::listen()?.obey(stop.clone()));
        helpers.spawn(supervisor::live());
        Box::pin(serve(safety, stop)).await
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    if result.is_ok() {
        tracing::info!("ended in good order");
    }
    result
}

/// Where the servers are, and what this process is to them.
pub(crate) fn options(servers: &Servers, role: Role, lists: Option<PathBuf>) -> cluster::Options {
    let name = &servers.installation;
    cluster::Options {
        broker: cluster::broker::Options {
            servers: servers.nats.clone(),
            name: name.clone(),
            replicas: servers.replicas,
            role,
        },
        shards: SHARDS,
        registry: cluster::registry::Options {
            endpoints: servers.registry.clone(),
            root: format!("/{name}/"),
        },
        memory: cluster::memory::Options {
            url: servers.valkey.clone(),
            root: format!("{name}/"),
        },
        lists,
        clock: Arc::new(ProcessClock::start()),
        random: Arc::new(SystemRandom),
    }
}

/// Looks at the servers, and connects.
async fn connect(
    servers: &Servers,
    telling: &Telling,
    role: Role,
    lists: Option<PathBuf>,
) -> anyhow::Result<(Cluster, Unsafe)> {
    let options = options(servers, role, lists);
    let found = Box::pin(cluster::check(&options)).await;
    let safety = Unsafe::accept(telling, &found)?;
    let opened = Box::pin(cluster::open(&options)).await;
    let cluster = opened.context("the servers that all roles share")?;
    Ok((cluster, safety))
}

/// The key that all gateways and workers of the installation have.
pub(crate) fn root_key(place: &Place) -> anyhow::Result<RootKey> {
    let Some((text, place)) = bootstrap::known_root_key(place.data.as_deref()) else {
        bail!(
            "the root key of the installation is missing: set MIRASTACK_ROOT_KEY, or write root.key into the folder of \
             the data; the same for all gateways and workers. `openssl rand -hex 32` makes a new one"
        );
    };
    RootKey::parse(text.trim()).context(place)
}

/// A name that no other process has.
fn own_name(backend: &Backend) -> String {
    let node = rustix::system::uname();
    let node = node.nodename().to_string_lossy().into_owned();
    format!("{node}-{:08x}", backend.random.bits() & 0xffff_ffff)
}

fn folder(place: &Place) -> anyhow::Result<PathBuf> {
    let dir = dev::data_folder(place.data.as_deref())?;
    files::folder(&dir)?;
    Ok(dir)
}

/// A gateway calls no agents.
struct NoAgents;

#[async_trait]
impl AgentHealth for NoAgents {
    async fn check(&self, _: &Tenant, _: &str) -> Result<Health, HealthFailure> {
        let why = "this process has none; `miractl agent get` shows what workers said of it";
        Err(HealthFailure::Unreachable(why.to_owned()))
    }
}

async fn serve_gateway(
    role: &args::Gateway,
    safety: Unsafe,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let dir = folder(&role.place)?;
    let http = dev::bind(role.web.http, "--http").await?;
    let address = http.local_addr()?;
    let doors = Doors::open(&role.tls, &[])?;
    let root_key = root_key(&role.place)?;
    let lists = Some(dir.join("lists.db"));
    let connected = connect(&role.servers, &role.telling, Role::Gateway, lists).await?;
    let (Cluster { backend, shards }, more) = connected;
    let safety = safety.and(more);
    let life = backup::life(&backend).await?;
    let metrics = metrics::keep()?;
    let drift = Arc::new(Drift::default());
    let mut helpers = JoinSet::new();
    helpers.spawn(clock::watch(Arc::clone(&drift)));
    let scheme = if doors.is_some() { "https" } else { "http" };
    let public_url = role.web.public_url.clone();
    let public_url = public_url.unwrap_or_else(|| format!("{scheme}://{address}"));
    let defaults = gateway::Edge::default();
    let config = gateway::Config {
        edge: gateway::Edge {
            connections: defaults.connections.min(Connections::make_room().http),
            ..defaults
        },
        life: life.clone(),
        public_url,
        shards,
        ..gateway::Config::default()
    };
    let parts = Parts {
        root_key,
        previous_root_keys: Vec::new(),
        agent_health: Arc::new(NoAgents),
        components: vec![Arc::new(safety), Arc::new(Clock(drift))],
        metrics: Some(metrics),
        life_began: scheduler::life_began(&life),
        door: doors.map(|doors| doors.http),
    };
    // Before the gateway reads the keys: it is told of later ones a moment after they are stored.
    let admin = bootstrap::admin(&dir, &backend).await?;
    if let Some(admin) = admin {
        admin.at(address, None).write(&dir)?;
    }
    let gateway = Gateway::new(config, backend, parts);
    let mut serving = JoinSet::new();
    let (serves, stops) = (gateway.clone(), stop.clone());
    serving.spawn(async move { serves.serve(http, stops).await });
    tokio::select! { biased;
        () = gateway.ready() => log::ready(Some((scheme, address)), None, None),
        () = stop.cancelled() => {}
    }
    ended(serving.join_next().await, &stop, "gateway")
}

async fn serve_scheduler(role: &args::Scheduler, stop: CancellationToken) -> anyhow::Result<()> {
    let figures = metrics::Port::take(role.figures.metrics).await?;
    let shown = figures.as_ref().map(metrics::Port::at);
    let connected = connect(&role.servers, &role.telling, Role::Scheduler, None).await?;
    let (Cluster { backend, shards }, _) = connected;
    let config = scheduler::Config {
        keep: role.retention.keep,
        keep_runs: role.retention.keep_runs,
        ..scheduler::Config::default()
    };
    let place = scheduler::Place {
        shards: Vec::new(),
        of: shards,
        start: Start::Listening,
        // Workers do not end with the scheduler, and neither do the calls that they made.
        agents_outlive: true,
        not_requester: true,
        url_base: "/api/v1/runs".to_owned(),
    };
    let name = own_name(&backend);
    let owners = Owners::new(config.clone(), place, backend.clone(), &name, shards);
    let janitor = Janitor::new(config, backend);
    let mut beside = metrics::show(figures);
    beside.spawn(clock::watch(Arc::default()));
    let mut parts = JoinSet::new();
    parts.spawn(owners.run(stop.clone()));
    parts.spawn(janitor.run(stop.clone()));
    log::ready(None, None, shown);
    while let Some(part) = parts.join_next().await {
        ended(Some(part), &stop, "scheduler")?;
    }
    Ok(())
}

async fn serve_worker(role: &args::Worker, stop: CancellationToken) -> anyhow::Result<()> {
    let dir = folder(&role.place)?;
    let grpc = dev::bind(role.agents.grpc, "--grpc").await?;
    let address = grpc.local_addr()?;
    let doors = Doors::open(&role.tls, &role.agents.agent_networks)?;
    let figures = metrics::Port::take(role.figures.metrics).await?;
    let shown = figures.as_ref().map(metrics::Port::at);
    let root_key = root_key(&role.place)?;
    let connected = connect(&role.servers, &role.telling, Role::Worker, None).await?;
    let (Cluster { backend, shards }, _) = connected;
    let name = own_name(&backend);
    let connections = Connections::make_room();
    let here = Here {
        worker: &name,
        alone: false,
        pool: role.work.pool.clone(),
        dir: &dir,
        grpc: address,
        connections,
    };
    let plugins = agents::open((&role.agents, &role.tls), &here, (&backend, &root_key)).await?;
    let plugins = Arc::new(plugins);
    let place = worker::Place {
        name,
        shards: (0..shards).map(Shard).collect(),
    };
    let config = worker::Config {
        pool: role.work.pool.clone(),
        slots: role.work.slots.into(),
        ..worker::Config::default()
    };
    let worker = Worker::new(
        config,
        place,
        backend,
        Seal::new(&root_key),
        plugins.clone(),
    );
    // Agents are called back until the last job is done.
    let last = CancellationToken::new();
    let mut calls = JoinSet::new();
    let (serving, until) = (Arc::clone(&plugins), last.clone());
    let seats = agents::seats(connections);
    calls.spawn(async move {
        match doors {
            Some(doors) => {
                let incoming = incoming::through(grpc, doors.grpc, seats);
                serving.run_on(incoming, until).await
            }
            None => serving.run(grpc, until).await,
        }
    });
    let mut beside = metrics::show(figures);
    beside.spawn(clock::watch(Arc::default()));
    let mut working = JoinSet::new();
    working.spawn(worker.run(stop.clone()));
    log::ready(None, Some(address), shown);
    tokio::select! { biased;
        done = working.join_next() => ended(done, &stop, "worker")?,
        Some(broken) = calls.join_next() => {
            bail!("the port for agents is closed: {broken:?}")
        }
    }
    last.cancel();
    match calls.join_next().await {
        Some(Ok(Err(error))) => Err(error).context("the port for agents"),
        _ => Ok(()),
    }
}

/// What the end of a part means.
fn ended(
    ended: Option<Result<(), tokio::task::JoinError>>,
    stop: &CancellationToken,
    name: &str,
) -> anyhow::Result<()> {
    match ended {
        Some(Err(error)) => bail!("a part of the {name} broke: {error}"),
        _ if stop.is_cancelled() => Ok(()),
        _ => bail!("the {name} ended by itself"),
    }
}
