//! `mirastack dev`: every role in one process, on the embedded store.
//!
//! The order of ending is the reverse of the order of starting: no more requests, then no more jobs, then no more
//! decisions, then the store.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use engine::duration::Duration;
use engine::id::Shard;
use gateway::{Component, Gateway, Parts};
use metrics_exporter_prometheus::PrometheusHandle;
use scheduler::{Janitor, Scheduler, Start};
use store::Backend;
use store::clock::Drift;
use store::embedded::{Embedded, Handle, Options};
use store::seal::{RootKey, Seal};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::Worker;
use worker::plugins::Plugins;

use crate::agents::Here;
use crate::args::Dev;
use crate::bootstrap::{self, Bootstrap};
use crate::clock::{self, Clock};
use crate::components::{self, Agents, Disk, LeftOut};
use crate::descriptors::Connections;
use crate::doors::Doors;
use crate::log::Form;
use crate::safety::{Exposed, Unsafe};
use crate::signals::Signals;
use crate::{agents, backup, context, files, hello, incoming, log, supervisor};

/// Over how many shards the runs of one process are spread.
pub(crate) const SHARDS: u16 = 4;

pub(crate) fn run(dev: &Dev) -> anyhow::Result<()> {
    log::begin(&dev.telling)?;
    let exposed = Exposed::of(&dev.place)
        .web(&dev.web, &dev.tls)
        .agents(&dev.agents, &dev.tls);
    let safety = Unsafe::accept(&dev.telling, &exposed.judged())?;
    let dir = data_folder(dev.place.data.as_deref())?;
    files::folder(&dir)?;
    let (backend, handle) = Embedded::open(&dir, options(Form::of(&dev.telling)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads")?;
    let shown: Vec<Arc<dyn Component>> = vec![Arc::new(safety), Arc::new(Disk(handle.room()))];
    let result = runtime.block_on(serve(dev, &dir, backend, shown));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    close(&handle);
    result
}

/// What cannot be stored any more ends the process: the next start reads what is really there.
fn options(form: Form) -> Options {
    Options {
        fatal: Arc::new(move |why| {
            log::complain(
                form,
                &anyhow::anyhow!("{why}; what was answered before is safe"),
            );
            std::process::exit(1);
        }),
        ..Options::default()
    }
}

fn close(handle: &Handle) {
    handle.close();
    tracing::info!("ended in good order");
}

/// The folder of the data: the one that is named, else the user's.
pub(crate) fn data_folder(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(dir) = named {
        return Ok(dir.to_owned());
    }
    if let Some(data) = std::env::var_os("XDG_DATA_HOME").filter(|d| !d.is_empty()) {
        return Ok(PathBuf::from(data).join("mirastack/dev"));
    }
    let home = std::env::home_dir().context("no home folder: name one with --data DIR")?;
    Ok(home.join(".local/share/mirastack/dev"))
}

/// The tokens that end the parts, one after the other.
#[derive(Clone, Default)]
struct Stops {
    requests: CancellationToken,
    jobs: CancellationToken,
    decisions: CancellationToken,
}

/// The parts, each with its name and how it ends.
type Running = JoinSet<(&'static str, anyhow::Result<()>)>;

/// What the parts are made of.
struct Ground {
    backend: Backend,
    key: RootKey,
    /// Which life of the data this is.
    life: String,
    http: SocketAddr,
    public_url: Option<String>,
    metrics: PrometheusHandle,
    plugins: Arc<Plugins>,
    doors: Option<Doors>,
    retention: (Duration, u64),
    connections: Connections,
    /// Whether there are agents that nobody here started and that may change systems.
    agents_outlive: bool,
    /// What else is shown of how the program is.
    components: Vec<Arc<dyn Component>>,
}

impl Ground {
    /// As clients from elsewhere are told.
    fn url(&self) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        format!("{}://{}", self.scheme(), self.http)
    }

    /// How others speak with us. Who is on this machine may do without TLS.
    fn scheme(&self) -> &'static str {
        match self.doors {
            Some(_) => "https",
            None => "http",
        }
    }
}

async fn serve(
    dev: &Dev,
    dir: &Path,
    backend: Backend,
    mut shown: Vec<Arc<dyn Component>>,
) -> anyhow::Result<()> {
    let stops = Stops::default();
    let mut helpers = JoinSet::new();
    helpers.spawn(Signals::listen()?.obey(stops.requests.clone()));
    helpers.spawn(supervisor::live());
    let drift = Arc::new(Drift::default());
    helpers.spawn(clock::watch(drift.clone()));
    shown.push(Arc::new(Clock(drift)));
    let mut parts = JoinSet::new();
    // Whoever wants it to end does not wait until it is ready.
    let starting = begin(dev, dir, (backend, shown), &stops, &mut parts);
    if let Some(started) = stops.requests.run_until_cancelled(starting).await {
        started?;
    }
    end_in_order(&stops, parts).await
}

/// Starts everything, and says so.
async fn begin(
    dev: &Dev,
    dir: &Path,
    (backend, mut components): (Backend, Vec<Arc<dyn Component>>),
    stops: &Stops,
    parts: &mut Running,
) -> anyhow::Result<()> {
    let http = bind(dev.web.http, "--http").await?;
    let grpc = bind(dev.agents.grpc, "--grpc").await?;
    let addresses = (http.local_addr()?, grpc.local_addr()?);
    let doors = Doors::open(&dev.tls, &dev.agents.agent_networks)?;
    let key = bootstrap::root_key(dir, &backend).await?;
    let life = backup::life(&backend).await?;
    let connections = Connections::make_room();
    let metrics = crate::metrics::keep()?;
    let agents_outlive =
        components::agents_outlive(&backend, !dev.agents.trust_agents.is_empty()).await?;
    let here = Here {
        worker: "dev",
        alone: true,
        pool: engine::pool::Pool::default(),
        dir,
        grpc: addresses.1,
        connections,
    };
    let plugins = agents::open((&dev.agents, &dev.tls), &here, (&backend, &key)).await?;
    let plugins = Arc::new(plugins);
    components.push(Arc::new(LeftOut(plugins.problems().len())));
    let ground = Ground {
        backend,
        key,
        life,
        http: addresses.0,
        public_url: dev.web.public_url.clone(),
        metrics,
        plugins,
        doors,
        retention: (dev.retention.keep, dev.retention.keep_runs),
        connections,
        agents_outlive,
        components,
    };

    // Before the gateway reads the keys: it is told of later ones a moment after they are stored.
    let known = bootstrap::admin(dir, &ground.backend).await?;
    start(&ground, stops, parts, grpc);
    let gateway = make_gateway(&ground);
    let serving = gateway.clone();
    let stop = stops.requests.clone();
    parts.spawn(async move {
        serving.serve(http, stop).await;
        ("gateway", Ok(()))
    });
    tokio::select! { biased;
        () = gateway.ready() => {}
        Some(ended) = parts.join_next() => return told(ended),
    }
    let admin = make_admin(dir, known, addresses).await?;
    let flag = context_flag(dev, admin.as_ref());
    log::ready(
        Some((ground.scheme(), addresses.0)),
        Some(addresses.1),
        None,
    );
    welcome(dev, dir, flag);
    Ok(())
}

/// The admin's key with the addresses of this start; at the first start, the first workflow too.
async fn make_admin(
    dir: &Path,
    known: Option<Bootstrap>,
    (http, grpc): (SocketAddr, SocketAddr),
) -> anyhow::Result<Option<Bootstrap>> {
    let Some(known) = known else {
        return Ok(None);
    };
    let is_new = known.is_new();
    let admin = known.at(http, Some(grpc));
    if is_new {
        hello::load(&admin).await?;
    }
    // Only now: a start that was cut short before is new still.
    admin.write(dir)?;
    Ok(Some(admin))
}

fn start(ground: &Ground, stops: &Stops, parts: &mut Running, grpc: TcpListener) {
    let shards: Vec<Shard> = (0..SHARDS).map(Shard).collect();
    let (keep, keep_runs) = ground.retention;
    let config = scheduler::Config {
        keep,
        keep_runs,
        ..scheduler::Config::default()
    };
    let place = scheduler::Place {
        shards: shards.clone(),
        of: SHARDS,
        start: Start::Alone,
        agents_outlive: ground.agents_outlive,
        // Whoever tries the product is alone: one may approve one's own request here, and only here.
        not_requester: false,
        url_base: format!("{}/api/v1/runs", ground.url()),
    };
    let scheduler = Scheduler::new(config.clone(), place, ground.backend.clone());
    let stop = stops.decisions.clone();
    parts.spawn(async move {
        (
            "scheduler",
            scheduler.run(stop).await.map_err(anyhow::Error::from),
        )
    });
    let janitor = Janitor::new(config, ground.backend.clone());
    let stop = stops.decisions.clone();
    parts.spawn(async move {
        janitor.run(stop).await;
        ("janitor", Ok(()))
    });
    let place = worker::Place {
        name: "dev".to_owned(),
        shards,
    };
    let seal = Seal::new(&ground.key);
    let worker = Worker::new(
        worker::Config::default(),
        place,
        ground.backend.clone(),
        seal,
        ground.plugins.clone(),
    );
    let stop = stops.jobs.clone();
    parts.spawn(async move {
        worker.run(stop).await;
        ("worker", Ok(()))
    });
    let (plugins, stop) = (ground.plugins.clone(), stops.decisions.clone());
    let door = ground.doors.as_ref().map(|doors| doors.grpc.clone());
    let seats = agents::seats(ground.connections);
    parts.spawn(async move {
        let ended = match door {
            Some(door) => {
                let incoming = incoming::through(grpc, door, seats);
                plugins.run_on(incoming, stop).await
            }
            None => plugins.run(grpc, stop).await,
        };
        ("plugins", ended.map_err(anyhow::Error::from))
    });
}

/// Ends one part after the other once `requests` is cancelled, or as soon as one of them ends by itself.
async fn end_in_order(stops: &Stops, mut parts: Running) -> anyhow::Result<()> {
    let mut result = Ok(());
    while let Some(ended) = parts.join_next().await {
        let asked = stops.requests.is_cancelled();
        match &ended {
            Ok(("gateway", Ok(()))) if asked => stops.jobs.cancel(),
            Ok(("worker", Ok(()))) if asked => stops.decisions.cancel(),
            Ok((_, Ok(()))) if asked => {}
            _ => {
                result = result.and(told(ended));
                stops.requests.cancel();
                stops.jobs.cancel();
                stops.decisions.cancel();
            }
        }
    }
    result
}

/// What the end of a part means when nobody asked for it.
fn told(
    ended: Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>,
) -> anyhow::Result<()> {
    match ended {
        Ok((name, Ok(()))) => bail!("the {name} ended by itself"),
        Ok((name, Err(error))) => Err(error.context(format!("the {name} failed"))),
        Err(error) => bail!("a part of the program broke: {error}"),
    }
}

pub(crate) async fn bind(addr: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(addr).await;
    bound.with_context(|| {
        format!("cannot listen on {addr}: choose another address with {flag}, or port 0 for any")
    })
}

fn make_gateway(ground: &Ground) -> Gateway {
    let defaults = gateway::Edge::default();
    let config = gateway::Config {
        edge: gateway::Edge {
            connections: defaults.connections.min(ground.connections.http),
            ..defaults
        },
        life: ground.life.clone(),
        public_url: ground.url(),
        shards: SHARDS,
        ..gateway::Config::default()
    };
    let parts = Parts {
        root_key: ground.key.clone(),
        previous_root_keys: Vec::new(),
        agent_health: Arc::new(Agents(ground.plugins.clone())),
        components: components::roles()
            .chain(ground.components.iter().cloned())
            .collect(),
        metrics: Some(ground.metrics.clone()),
        life_began: scheduler::life_began(&ground.life),
        door: ground.doors.as_ref().map(|doors| doors.http.clone()),
    };
    Gateway::new(config, ground.backend.clone(), parts)
}

/// Writes the context for `miractl`, and answers what names it where it is not the current one.
fn context_flag(dev: &Dev, admin: Option<&Bootstrap>) -> &'static str {
    const FLAG: &str = " --context dev";
    match admin.map(context::add) {
        Some(Ok(true)) => "",
        Some(Ok(false)) | None => FLAG,
        Some(Err(error)) => {
            let told = format!("no miractl context was written: {error:#}");
            log::tell(Form::of(&dev.telling), &told);
            FLAG
        }
    }
}

fn welcome(dev: &Dev, dir: &Path, flag: &str) {
    let text = format!(
        "\ndata: {}\nIn this mode you may approve your own requests; elsewhere not. Try:\n\n  \
         miractl{flag} agent list\n  \
         miractl{flag} workflow run hello --input value=world --follow\n  \
         miractl{flag} approval list\n",
        dir.display()
    );
    log::tell(Form::of(&dev.telling), &text);
}
