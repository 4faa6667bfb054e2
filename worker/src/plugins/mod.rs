//! Plugins: those on the worker's machine, found, started when they are first needed, called, watched, stopped; and
//! those that run by themselves and register.
//!
//! This is the only module that talks to plugins. One of our own is called over one warm connection to a process that
//! this worker started itself and handed a secret; a process that is gone is known to be dead, and none is ever taken
//! for another. One that registered proves nothing, and gets less. Nothing here decides what a lost call means.
//!
//! Start reading at [`Plugins`]; `plugin.rs` is the life of one that we start, `remote.rs` how one that
//! registers is let in, `tending.rs` the rest of its life, `call.rs` one call, `call_back.rs` what plugins may ask of us.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use engine::id::Tenant;
use engine::job::Job;
use engine::pool::Pool;
use engine::registry::Health;
use futures::Stream;
use futures::future::join_all;
use proto::engine_server::EngineServer;
use store::Backend;
use store::seal::Seal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpIncoming};
use tracing::{info, warn};

use crate::caller::{CallResult, Caller, Events, LookUpResult, NotSent, PluginCall};
use crate::{config, failure};

mod asker;
mod cached;
mod call;
mod call_back;
mod dial;
mod discover;
mod door;
mod errand;
mod greetings;
mod instance;
mod launch;
mod launches;
mod line;
mod manifest;
mod notice;
mod plugin;
mod process;
mod question;
mod remote;
mod remotes;
mod settings;
mod starter;
mod tenant_id;
mod tending;

pub use discover::command;
use errand::Errands;
use greetings::Greetings;
use instance::{Instance, Use};
use launches::Launches;
use plugin::Plugin;
use remotes::Remotes;
use starter::Starter;

/// How long one call of a plugin to the engine may take, where it does not wait for people.
const ENGINE_CALL_MAX: Duration = Duration::from_secs(30);
/// How long calls of plugins are waited for at the end.
const CLOSING_MAX: Duration = Duration::from_secs(1);
/// Calls of one plugin to the engine at the same time.
const ENGINE_CALLS_MAX: u32 = 256;
/// What a plugin may send of one message before it is read, in bytes.
const ENGINE_STREAM_WINDOW: u32 = 64 * 1024;
/// The same of all messages of its connection.
const ENGINE_CONNECTION_WINDOW: u32 = 128 * 1024;
/// How often whoever is connected is asked to show that they are there.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Who has not answered by then is shown out.
const PONG_MAX: Duration = Duration::from_secs(10);

/// Where plugins are, and what they are given.
#[derive(Clone, Debug)]
pub struct Site {
    /// The worker's name.
    pub worker: String,
    /// The pool of which it takes jobs.
    pub pool: Pool,
    /// The tenants for whom plugins run; each has processes of its own.
    pub tenants: Vec<Tenant>,
    /// Folders with `<name>/<name>` or `<name>/plugin.yaml`, the first one first.
    pub folders: Vec<PathBuf>,
    /// A folder with executables called `mirastack-agent-<name>`, for names that no folder has.
    pub beside: Option<PathBuf>,
    /// Where each plugin gets a folder of its own.
    pub data: PathBuf,
    /// Where the engine's service for plugins listens, as plugins reach it: `127.0.0.1:50051`.
    pub engine: String,
    /// The environment of this process. Only what every program needs is passed on, and no secret.
    pub environment: Vec<(String, String)>,
    /// Whether this worker is the only one: then an agent that it does not find is gone.
    pub alone: bool,
}

/// The plugins of one worker.
///
/// They end with this value, and with its process however that ends.
pub struct Plugins {
    common: Arc<Common>,
    plugins: BTreeMap<(Tenant, String), Arc<Plugin>>,
    problems: Vec<String>,
    tasks: Mutex<JoinSet<()>>,
}

/// What all plugins of a worker share.
pub(crate) struct Common {
    config: config::Plugins,
    site: Site,
    ports: Backend,
    seal: Seal,
    starter: Starter,
    launches: Launches,
    /// The names of the programs that are plugins here: nobody else may bear them.
    installed: BTreeSet<String>,
    remotes: Remotes,
    greetings: Arc<Greetings>,
    errands: Errands,
    stopping: CancellationToken,
}

impl Plugins {
    /// Finds all plugins, reads their manifests where their executables changed, and writes them to the registry.
    /// Starts none.
    ///
    /// # Errors
    /// When no thread can be started. A plugin that cannot be used is told by [`Self::problems`] and left out.
    pub async fn open(
        config: config::Plugins,
        site: Site,
        ports: Backend,
        seal: Seal,
    ) -> io::Result<Self> {
        let starter = Starter::new(&tokio::runtime::Handle::current())?;
        let (found, mut problems) = discover::find(&site);
        let common = Arc::new(Common {
            config,
            site,
            ports: ports.sealing_memory(&seal),
            seal,
            starter,
            launches: Launches::default(),
            installed: found.iter().map(|program| program.name.clone()).collect(),
            remotes: Remotes::default(),
            greetings: Arc::default(),
            errands: Errands::default(),
            stopping: CancellationToken::new(),
        });
        let mut plugins = BTreeMap::new();
        for tenant in &common.site.tenants {
            let read = found
                .iter()
                .map(|program| manifest::known(&common, tenant, program));
            for (program, agent) in found.iter().zip(join_all(read).await) {
                match agent {
                    Ok(agent) => {
                        let plugin = Plugin::new(tenant.clone(), program.clone(), agent);
                        plugins.insert((tenant.clone(), program.name.clone()), Arc::new(plugin));
                    }
                    Err(problem) => {
                        problems.push(failure::cut(format!("{}: {problem}", program.name)));
                    }
                }
            }
        }
        for problem in &problems {
            warn!(problem, "a plugin is left out");
        }
        let plugins = Self {
            common,
            plugins,
            problems,
            tasks: Mutex::new(JoinSet::new()),
        };
        plugins.tidy().await;
        Ok(plugins)
    }

    /// What was found, by tenant and name.
    pub fn names(&self) -> impl Iterator<Item = (&Tenant, &str)> {
        self.plugins
            .keys()
            .map(|(tenant, name)| (tenant, name.as_str()))
    }

    /// What was found and cannot be used, and why.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Serves `EngineService` to the plugins on `listener` and passes changed settings on, until `stop`; then ends all
    /// plugins. Cancel `stop` once the worker has drained.
    ///
    /// # Errors
    /// When serving fails.
    pub async fn run(&self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        self.run_on(incoming, stop).await
    }

    /// The same for connections that somebody else lets in.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_on<S>(
        &self,
        incoming: impl Stream<Item = io::Result<S>>,
        stop: CancellationToken,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Connected + Send + Unpin + 'static,
    {
        let service = call_back::Service(Arc::clone(&self.common));
        let service = EngineServer::new(Arc::new(service), ENGINE_CALL_MAX);
        let closing = CancellationToken::new();
        let seats = self.common.config.connections;
        let serving = Server::builder()
            .max_concurrent_streams(ENGINE_CALLS_MAX)
            .http2_max_header_list_size(16 * 1024)
            .initial_stream_window_size(ENGINE_STREAM_WINDOW)
            .initial_connection_window_size(ENGINE_CONNECTION_WINDOW)
            .http2_keepalive_interval(Some(PING_EVERY))
            .http2_keepalive_timeout(Some(PONG_MAX))
            .add_service(service)
            .serve_with_incoming_shutdown(
                door::guests(incoming, (seats, seats.div_ceil(4))),
                closing.cancelled(),
            );
        let mut serving = pin!(serving);
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            served = &mut serving => return served.map_err(io::Error::other),
            () = settings::follow(self) => {}
            () = tending::tend(&self.common) => {}
            () = errand::run(self) => {}
        }
        self.common.stopping.cancel();
        tending::leave(&self.common).await;
        tokio::select! {
            biased;
            _ = &mut serving => {}
            () = self.stop() => {}
        }
        // Its connections live by themselves: whoever keeps one open would never find our successor.
        closing.cancel();
        let _ = timeout(CLOSING_MAX, serving).await;
        Ok(())
    }

    /// Ends all plugins, and waits for them.
    pub async fn stop(&self) {
        self.common.stopping.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks());
        while tasks.join_next().await.is_some() {}
    }

    /// How an agent is; it is started for that if need be.
    ///
    /// # Errors
    /// Why nobody can say, in words for people.
    pub async fn health(&self, tenant: &Tenant, name: &str) -> Result<Health, String> {
        let Some(plugin) = self.plugins.get(&(tenant.clone(), name.to_owned())) else {
            return tending::health(&self.common, tenant, name).await;
        };
        let patience = config::time(self.common.config.start);
        let health = match self.up(plugin, patience).await {
            Ok(instance) => instance.health(&self.common).await,
            Err(why) => Health {
                ok: false,
                message: why.to_string(),
                checked_at: self.common.ports.clock.now(),
            },
        };
        plugin.healthy(&self.common, &health).await;
        Ok(health)
    }

    /// A process that fits, wherever it is: started if need be, or waited for.
    async fn find(
        &self,
        job: &Job,
        fits: impl Fn(&Instance) -> Result<(), NotSent>,
        within: Duration,
    ) -> Result<Arc<Instance>, NotSent> {
        let (tenant, name) = (&job.key.tenant, &job.action.name.agent);
        if let Some(plugin) = self.plugins.get(&(tenant.clone(), name.clone())) {
            let instance = self.up(plugin, within).await?;
            return fits(&instance).map(|()| instance);
        }
        let known = manifest::stored(&self.common, tenant, name).await;
        if known.map_err(NotSent::Unavailable)?.is_none() {
            return Err(NotSent::NotOffered(format!(
                "this worker has no agent called {name}: put its executable into the plugins' folder, or let it register"
            )));
        }
        self.common.remotes.pick((tenant, name), fits, within).await
    }

    /// The running process of a plugin; starts it if need be, and waits until it can be called.
    async fn up(&self, plugin: &Arc<Plugin>, within: Duration) -> Result<Arc<Instance>, NotSent> {
        if let Some(instance) = plugin.current() {
            return Ok(instance);
        }
        let wait = plugin.wait_up(|| {
            let mut tasks = self.tasks();
            while tasks.try_join_next().is_some() {}
            tasks.spawn(plugin::live(Arc::clone(&self.common), Arc::clone(plugin)));
        });
        let waited = timeout(within, wait).await;
        waited.unwrap_or_else(|_| Err(NotSent::Unavailable(plugin.why_not_up())))
    }

    /// What is left in the registry of plugins that are not here any more, or ran when the worker died.
    async fn tidy(&self) {
        for plugin in self.plugins.values() {
            plugin.stopped(&self.common).await;
        }
        for tenant in &self.common.site.tenants {
            notice::forget_remote(&self.common, tenant).await;
        }
        if self.common.site.alone {
            for tenant in &self.common.site.tenants {
                manifest::forget_others(&self.common, tenant, |name| {
                    self.plugins
                        .contains_key(&(tenant.clone(), name.to_owned()))
                })
                .await;
            }
        }
        info!(plugins = self.plugins.len(), "plugins found");
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Caller for Plugins {
    async fn ready(&self, job: &Job, settings: u64, within: Duration) -> Result<(), NotSent> {
        let instance = self.find(job, |i| i.offers(&job.action), within).await?;
        instance.touch();
        instance.newest_settings(&self.common, settings).await
    }

    async fn call(&self, call: PluginCall<'_>, events: Arc<dyn Events>) -> CallResult {
        let due = Instant::now() + call.timeout;
        match self.instance(&call).await {
            Ok(instance) => call::execute(&instance, &call, events, due).await,
            Err(why) => CallResult::NotSent(why),
        }
    }

    async fn look_up(&self, call: PluginCall<'_>) -> LookUpResult {
        let due = Instant::now() + call.timeout;
        match self.instance(&call).await {
            Ok(instance) => call::look_up(&instance, &call, due).await,
            Err(why) => LookUpResult::Unknown {
                reason: why.to_string(),
            },
        }
    }
}

impl Plugins {
    /// The process to make this call with. It is in use until the answer is dropped.
    async fn instance(&self, call: &PluginCall<'_>) -> Result<Use, NotSent> {
        let fits = |instance: &Instance| {
            instance.offers(&call.job.action)?;
            instance.works_with(call.settings)
        };
        let due = Instant::now() + call.ready;
        loop {
            let within = due.saturating_duration_since(Instant::now());
            let instance = self.find(call.job, fits, within).await?;
            if let Some(in_use) = instance.begin() {
                return Ok(in_use);
            }
            // It is being stopped just now, because it was idle until now: another one is waited for.
        }
    }
}
