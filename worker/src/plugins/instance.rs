//! A plugin's process that can be called.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::digest::Digest;
use engine::event::PinnedAction;
use engine::registry::Health;
use proto::client::{CallOptions, PluginClient};
use proto::v1::ConfigUpdatedRequest;
use proto::wire::Form;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use super::Common;
use super::launches::Launch;
use super::settings;
use crate::caller::NotSent;

/// How long a plugin may take to take its settings, or to say how it is.
const SMALL_CALL_MAX: Duration = Duration::from_secs(6);
/// How long the death of a process is waited for once a call to it was lost.
const DEATH_PATIENCE: Duration = Duration::from_secs(1);

/// A process that was started, has registered, and offers what its manifest says.
pub(super) struct Instance {
    pub(super) launch: Arc<Launch>,
    pub(super) client: PluginClient,
    /// Digest of each action that it offers.
    pub(super) actions: BTreeMap<String, Digest>,
    pub(super) version: String,
    pub(super) address: String,
    /// Somebody changed its settings.
    pub(super) settings_changed: Notify,
    /// A call of it was lost.
    pub(super) doubted: Notify,
    settings: Mutex<Applied>,
    pushing: tokio::sync::Mutex<()>,
    usage: Mutex<Usage>,
    dead: watch::Sender<bool>,
    /// It said that it has no `ExecuteStream`.
    unary: AtomicBool,
}

/// The settings that it works with.
#[derive(Default)]
struct Applied {
    /// `None` before the first ones.
    revision: Option<u64>,
    /// Newer ones that it refused, and why.
    refused: Option<(u64, String)>,
}

struct Usage {
    calls: usize,
    last: Instant,
    /// A call of it was lost, and nothing was heard of it since.
    doubtful: bool,
    /// It is being stopped, and takes no more calls.
    closed: bool,
}

impl Instance {
    pub(super) fn new(
        launch: Arc<Launch>,
        client: PluginClient,
        actions: BTreeMap<String, Digest>,
        version: String,
        address: String,
    ) -> Self {
        Self {
            launch,
            client,
            actions,
            version,
            address,
            settings_changed: Notify::new(),
            doubted: Notify::new(),
            settings: Mutex::default(),
            pushing: tokio::sync::Mutex::default(),
            usage: Mutex::new(Usage {
                calls: 0,
                last: Instant::now(),
                doubtful: false,
                closed: false,
            }),
            dead: watch::Sender::new(false),
            unary: AtomicBool::new(false),
        }
    }

    /// Whether it is called by `ExecuteStream`.
    pub(super) fn streams(&self) -> bool {
        !self.unary.load(Ordering::Relaxed)
    }

    /// From now on it is called by `Execute`.
    pub(super) fn has_no_streams(&self) {
        self.unary.store(true, Ordering::Relaxed);
    }

    /// Whether it takes calls: it is not being stopped, and not gone.
    pub(super) fn is_open(&self) -> bool {
        !self.usage().closed && !self.client.is_closed()
    }

    /// A use of it begins; `None` when it takes no calls any more.
    pub(super) fn begin(self: Arc<Self>) -> Option<Use> {
        let mut usage = self.usage();
        if usage.closed || self.client.is_closed() {
            return None;
        }
        usage.calls += 1;
        drop(usage);
        Some(Use(self))
    }

    /// Where others do the same, those that come first are called rather.
    pub(super) fn rank(&self) -> (bool, usize) {
        let usage = self.usage();
        (usage.doubtful, usage.calls)
    }

    /// A call of it was lost (`true`), or it was heard of.
    pub(super) fn doubt(&self, doubtful: bool) {
        self.usage().doubtful = doubtful;
        if doubtful {
            self.doubted.notify_one();
        }
    }

    /// It takes no more calls; those that run go on.
    pub(super) fn close(&self) {
        self.usage().closed = true;
    }

    /// It will be used in a moment.
    pub(super) fn touch(&self) {
        self.usage().last = Instant::now();
    }

    /// When it is idle for so long, should nobody use it until then.
    pub(super) fn idle_at(&self, idle: Duration) -> Instant {
        let usage = self.usage();
        let since = if usage.calls > 0 {
            Instant::now()
        } else {
            usage.last
        };
        since + idle
    }

    /// Takes no more calls from now on, if none runs.
    pub(super) fn close_if_unused(&self) -> bool {
        let mut usage = self.usage();
        usage.closed |= usage.calls == 0;
        usage.closed
    }

    /// Takes no more calls from now on, if it was idle for so long.
    pub(super) fn close_if_idle(&self, idle: Duration) -> bool {
        let mut usage = self.usage();
        usage.closed = usage.calls == 0 && usage.last + idle <= Instant::now();
        usage.closed
    }

    /// When it was used last.
    pub(super) fn last_used(&self) -> Instant {
        let usage = self.usage();
        if usage.calls > 0 {
            Instant::now()
        } else {
            usage.last
        }
    }

    /// Its process is gone, and known to be.
    pub(super) fn died(&self) {
        self.dead.send_replace(true);
    }

    /// Whether its process is gone, after a moment in which that may become known.
    pub(super) async fn is_dead(&self) -> bool {
        let mut seen = self.dead.subscribe();
        matches!(
            timeout(DEATH_PATIENCE, seen.wait_for(|dead| *dead)).await,
            Ok(Ok(_))
        )
    }

    /// Whether it offers exactly the pinned action.
    pub(super) fn offers(&self, pinned: &PinnedAction) -> Result<(), NotSent> {
        let name = &pinned.name;
        match self.actions.get(&name.action) {
            Some(digest) if *digest == pinned.digest => Ok(()),
            Some(digest) => Err(NotSent::NotOffered(format!(
                "the run has pinned {name} as {}, and version {} of the agent offers it as {digest}: \
                 install a version that offers the pinned one, or cancel the run and start it again",
                pinned.digest, self.version
            ))),
            None => Err(NotSent::NotOffered(format!(
                "version {} of the agent does not offer {name}, which the run has pinned: \
                 install a version that does, or cancel the run",
                self.version
            ))),
        }
    }

    /// Whether it works with the settings of that revision; without one, whether it took the last that it was given.
    pub(super) fn works_with(&self, revision: Option<u64>) -> Result<(), NotSent> {
        let applied = self.applied();
        if let Some((refused, why)) = &applied.refused {
            let name = &self.launch.name;
            let text = format!("the agent {name} refuses its settings (revision {refused}): {why}");
            return Err(NotSent::Unavailable(text));
        }
        match (revision, applied.revision) {
            (Some(wanted), Some(has)) if wanted != has => Err(NotSent::OtherSettings(format!(
                "the agent works with revision {has} of its settings, and not with {wanted}"
            ))),
            (Some(_), None) => Err(NotSent::OtherSettings(
                "the agent has no settings yet".to_owned(),
            )),
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// Gives it the settings that are in force, which must be those of that revision.
    pub(super) async fn newest_settings(
        &self,
        common: &Common,
        revision: u64,
    ) -> Result<(), NotSent> {
        self.push(common).await.map_err(NotSent::Unavailable)?;
        self.works_with(Some(revision))
    }

    /// Gives it the settings that are in force, unless it has them.
    pub(super) async fn push(&self, common: &Common) -> Result<(), String> {
        self.push_within(common, SMALL_CALL_MAX).await
    }

    /// The same, where it has less time to take them.
    pub(super) async fn push_within(&self, common: &Common, limit: Duration) -> Result<(), String> {
        // One at a time, or an older one might come last.
        let _turn = self.pushing.lock().await;
        let settings = settings::in_force(common, &self.launch).await?;
        let revision = settings.revision;
        if self.has_seen(revision) {
            return Ok(());
        }
        let request = ConfigUpdatedRequest {
            config: settings.values.into_iter().collect(),
            version: i64::try_from(revision).unwrap_or(i64::MAX),
        };
        let options = CallOptions::within(limit);
        let answer = match self.client.config_updated(&request, &options).await {
            Ok(answer) => answer,
            // These may not be able to take them, and fetch them themselves. Nobody knows then which ones they have.
            Err(e) if self.is_json() => {
                info!(agent = self.launch.name, error = %e, "settings were not taken: the agent fetches them itself, or not");
                return Ok(());
            }
            Err(e) => {
                let why = self.launch.clean(&e.to_string());
                return Err(format!("it does not take its settings: {why}"));
            }
        };
        // The Python SDK says neither yes nor no.
        let silent = self.is_json() && answer.error.is_empty();
        let mut applied = self.applied();
        if answer.acknowledged || silent {
            debug!(agent = self.launch.name, revision, "settings given");
            *applied = Applied {
                revision: Some(revision),
                refused: None,
            };
        } else {
            let why = self.launch.clean(&answer.error);
            warn!(
                agent = self.launch.name,
                revision, why, "the agent refuses its settings"
            );
            applied.refused = Some((revision, why));
        }
        Ok(())
    }

    fn is_json(&self) -> bool {
        self.client.form() != Form::Protobuf
    }

    fn has_seen(&self, revision: u64) -> bool {
        let applied = self.applied();
        let newest = applied
            .refused
            .as_ref()
            .map(|(refused, _)| *refused)
            .or(applied.revision);
        newest == Some(revision)
    }

    /// How it says it is.
    pub(super) async fn health(&self, common: &Common) -> Health {
        self.heard_health(common).await.0
    }

    /// The same, and whether it said anything at all.
    pub(super) async fn heard_health(&self, common: &Common) -> (Health, bool) {
        let answer = self
            .client
            .health_check(&CallOptions::within(SMALL_CALL_MAX))
            .await;
        let answered = answer.is_ok();
        let (ok, message) = match (answer, self.works_with(None)) {
            (Ok(_), Err(refused)) => (false, refused.to_string()),
            (Ok(answer), Ok(())) => (answer.healthy, answer.message),
            (Err(e), _) => (false, e.to_string()),
        };
        let health = Health {
            ok,
            message: crate::failure::cut(self.launch.clean(&message)),
            checked_at: common.ports.clock.now(),
        };
        (health, answered)
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn applied(&self) -> MutexGuard<'_, Applied> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A use of an instance: until it is dropped, the instance is not idle.
pub(super) struct Use(Arc<Instance>);

impl Deref for Use {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.0
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut usage = self.usage();
        usage.calls -= 1;
        usage.last = Instant::now();
    }
}
