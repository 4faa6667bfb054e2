//! Real plugin processes: the example `puppet` under several names and manners, in real time.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::duration::Duration as Length;
use engine::id::Tenant;
use engine::job::Job;
use engine::manifest::{ActionName, Pinned};
use engine::pool::Pool;
use engine::registry::{self, Instance, Kind};
use serde_json::{Value, json};
use store::Backend;
use store::embedded::{Embedded, Handle, Options, Place};
use store::port::Expect;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::plugins::{Plugins, Site};
use worker::{CallResult, Caller, Events, Masks, PluginCall, PluginsConfig, Said};

use crate::bench::{seal, within};
use crate::jobs;

/// A worker's plugins, in a folder of their own.
pub(crate) struct Yard {
    pub(crate) backend: Backend,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) folder: TempDir,
    /// Where the engine's service for plugins listens.
    pub(crate) engine: String,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinSet<std::io::Result<()>>,
    _handle: Handle,
}

/// Where the puppet is.
pub(crate) fn puppet() -> PathBuf {
    example("puppet")
}

/// Where an example is: cargo builds them beside the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let built = test
        .parent()
        .and_then(Path::parent)
        .expect("a target folder")
        .join("examples")
        .join(name);
    assert!(
        built.is_file(),
        "{} is not built: run the tests of the whole package",
        built.display()
    );
    built
}

/// Puts a puppet of that name and those manners into the folder.
pub(crate) fn install(folder: &Path, name: &str, manners: &str) {
    let own = folder.join(name);
    fs::create_dir_all(&own).expect("a temporary folder");
    let text = json!({ "command": [puppet(), name, manners] }).to_string();
    fs::write(own.join("plugin.yaml"), text).expect("a temporary folder");
}

/// Everything quick.
pub(crate) fn quick() -> PluginsConfig {
    PluginsConfig {
        start: Length::from_secs(5),
        stop: Length::from_millis(500),
        manifest: Length::from_secs(2),
        ..PluginsConfig::default()
    }
}

impl Yard {
    pub(crate) async fn new(plugins: &[(&str, &str)]) -> Self {
        Self::with(quick(), plugins).await
    }

    pub(crate) async fn with(config: PluginsConfig, plugins: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        for (name, manners) in plugins {
            install(folder.path(), name, manners);
        }
        let (backend, handle) =
            Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
        Self::open(config, folder, backend, handle).await
    }

    pub(crate) async fn open(
        config: PluginsConfig,
        folder: TempDir,
        backend: Backend,
        handle: Handle,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::at(listener, config, folder, (backend, handle)).await
    }

    /// With the engine's service for plugins at this address.
    pub(crate) async fn at(
        listener: TcpListener,
        config: PluginsConfig,
        folder: TempDir,
        store: (Backend, Handle),
    ) -> Self {
        Self::seen_from(None, (listener, config), folder, store).await
    }

    /// The same, where everybody seems to call from there.
    pub(crate) async fn seen_from(
        from: Option<IpAddr>,
        (listener, config): (TcpListener, PluginsConfig),
        folder: TempDir,
        (backend, handle): (Backend, Handle),
    ) -> Self {
        let engine = listener.local_addr().expect("a bound socket").to_string();
        let site = Site {
            worker: "w1".to_owned(),
            pool: Pool::default(),
            tenants: vec![jobs::tenant()],
            folders: vec![folder.path().to_owned()],
            beside: Some(folder.path().join("beside")),
            data: folder.path().join("data"),
            engine: engine.clone(),
            environment: vec![
                ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()),
                ("MIRASTACK_ROOT_KEY".to_owned(), "secret".to_owned()),
            ],
            alone: true,
        };
        let plugins = Plugins::open(config, site, backend.clone(), seal())
            .await
            .expect("a thread");
        let plugins = Arc::new(plugins);
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        let (serving, stopping) = (Arc::clone(&plugins), stop.clone());
        running.spawn(async move {
            match from {
                None => serving.run(listener, stopping).await,
                Some(from) => {
                    let incoming = crate::far::connections(listener, from);
                    serving.run_on(incoming, stopping).await
                }
            }
        });
        Self {
            backend,
            plugins,
            folder,
            engine,
            stop,
            running,
            _handle: handle,
        }
    }

    /// What a READ with these parameters becomes of.
    pub(crate) async fn act(&self, agent: &str, params: Value) -> CallResult {
        self.call(&job(agent), &params, Duration::from_secs(10))
            .await
    }

    /// The result of a READ that succeeds.
    pub(crate) async fn result(&self, agent: &str, params: Value) -> Value {
        match self.act(agent, params).await {
            CallResult::Succeeded { output } => serde_json::from_slice(&output).expect("JSON"),
            other @ (CallResult::Failed { .. }
            | CallResult::NotSent(_)
            | CallResult::TimedOut
            | CallResult::Lost { .. }) => panic!("{other:?}"),
        }
    }

    pub(crate) async fn call(&self, job: &Job, params: &Value, timeout: Duration) -> CallResult {
        let call = call_of(job, params, timeout);
        within(self.plugins.call(call, Arc::new(Heard::default()))).await
    }

    pub(crate) async fn pid(&self, agent: &str) -> i64 {
        let result = self.result(agent, json!({ "do": "pid" })).await;
        result["pid"].as_i64().expect("a pid")
    }

    /// Waits until the registry says of the agent's process what `is` wants.
    pub(crate) async fn until(&self, agent: &str, is: impl Fn(&Instance) -> bool) -> Instance {
        let key = registry::instance_key(&jobs::tenant(), agent, "w1");
        let mut revision = 0;
        loop {
            if let Some(item) = self
                .backend
                .registry
                .get(&key)
                .await
                .expect("an open store")
            {
                revision = item.revision;
                let instance: Instance = registry::decode(&item.value).expect("an instance");
                if is(&instance) {
                    return instance;
                }
            }
            within(self.backend.registry.watch(&key, revision))
                .await
                .expect("an open store");
        }
    }

    /// Sets the agent's `url`, and answers the revision of its settings.
    pub(crate) async fn set(&self, agent: &str, url: registry::SettingValue) -> u64 {
        let key = Kind::AgentConfig.key(&jobs::tenant(), agent);
        let item = self
            .backend
            .registry
            .get(&key)
            .await
            .expect("an open store");
        let known = item
            .as_ref()
            .map(|i| registry::decode::<registry::AgentConfig>(&i.value).expect("settings"));
        let revision = known.map_or(0, |known| known.revision) + 1;
        let values = [("url".to_owned(), url)].into();
        let config = registry::AgentConfig { revision, values };
        let expect = item.map_or(Expect::Absent, |item| Expect::Revision(item.revision));
        self.backend
            .registry
            .put(&key, &registry::encode(&config), expect)
            .await
            .expect("alone");
        revision
    }
}

pub(crate) fn call_of<'a>(job: &'a Job, params: &Value, timeout: Duration) -> PluginCall<'a> {
    PluginCall {
        job,
        requester: Some(&job.requester),
        params: params.to_string().into(),
        time_range: job.call.time_range,
        ready: Duration::from_secs(10),
        timeout,
        checkpoint: "before".into(),
        settings: None,
        masks: Arc::new(Masks::default()),
    }
}

/// A READ of the puppet, as a run has pinned it.
pub(crate) fn job(agent: &str) -> Job {
    let mut job = jobs::read(1);
    job.action.name = ActionName {
        agent: agent.to_owned(),
        action: "act".to_owned(),
    };
    job.action.digest = pinned(agent).digest();
    job
}

/// The puppet's `act`, as a run pins it.
pub(crate) fn pinned(agent: &str) -> Pinned {
    Pinned {
        agent: agent.to_owned(),
        action: "act".to_owned(),
        permission: engine::principal::Permission::Read,
        input: json!({ "type": "object" }),
        output: Some(json!({ "type": "object" })),
        idempotent: false,
        lookup: true,
    }
}

pub(crate) fn is_alive(pid: i64) -> bool {
    // A zombie is dead, and waits only to be counted.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

pub(crate) fn tenant() -> Tenant {
    jobs::tenant()
}

/// Remembers what was said.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<Said>>);

#[async_trait]
impl Events for Heard {
    async fn said(&self, event: Said) {
        self.0.lock().expect("no panic").push(event);
    }
}
