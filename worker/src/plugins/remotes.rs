//! The instances that registered themselves: who is there, and which one is called.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::id::Tenant;
use engine::registry;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::instance::Instance;
use super::launches::Launch;
use crate::caller::NotSent;

/// So many may be there at once; more are refused.
const INSTANCES_MAX: usize = 1_000;

/// An instance that registered itself.
pub(super) struct Remote {
    pub(super) id: String,
    pub(super) instance: Arc<Instance>,
    /// It left, or is there under a newer registration.
    pub(super) left: CancellationToken,
    /// It has said what it can do.
    pub(super) is_known: bool,
    /// What the registry says of it is not true any more.
    pub(super) news: Notify,
    notice: Mutex<registry::Instance>,
    heard: watch::Sender<Instant>,
}

impl Remote {
    pub(super) fn new(
        (id, is_known): (String, bool),
        instance: Instance,
        notice: registry::Instance,
    ) -> Self {
        Self {
            id,
            instance: Arc::new(instance),
            left: CancellationToken::new(),
            is_known,
            news: Notify::new(),
            notice: Mutex::new(notice),
            heard: watch::Sender::new(Instant::now()),
        }
    }

    pub(super) fn launch(&self) -> &Arc<Launch> {
        &self.instance.launch
    }

    /// What the registry says of it.
    pub(super) fn notice(&self) -> MutexGuard<'_, registry::Instance> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It said that it lives.
    pub(super) fn heard(&self) {
        self.heard.send_replace(Instant::now());
        self.instance.doubt(false);
    }

    /// When it was last heard of.
    pub(super) fn last_heard(&self) -> Instant {
        *self.heard.borrow()
    }

    /// Waits until nothing was heard of it for so long.
    pub(super) async fn silent(&self, lease: Duration) {
        let mut heard = self.heard.subscribe();
        loop {
            let until = *heard.borrow_and_update() + lease;
            if timeout_at(until, heard.changed()).await.is_err() {
                return;
            }
        }
    }

    fn is(&self, tenant: &Tenant, name: &str) -> bool {
        self.launch().tenant == *tenant && self.launch().name == name
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.id == other.id && self.is(&other.launch().tenant, &other.launch().name)
    }
}

/// All of them.
pub(super) struct Remotes {
    live: watch::Sender<Vec<Arc<Remote>>>,
    arrivals: mpsc::UnboundedSender<Arc<Remote>>,
    arriving: tokio::sync::Mutex<mpsc::UnboundedReceiver<Arc<Remote>>>,
}

impl Default for Remotes {
    fn default() -> Self {
        let (arrivals, arriving) = mpsc::unbounded_channel();
        Self {
            live: watch::Sender::new(Vec::new()),
            arrivals,
            arriving: tokio::sync::Mutex::new(arriving),
        }
    }
}

impl Remotes {
    /// Whether there is one; with a name, one of that agent.
    pub(super) fn has(&self, name: Option<&str>) -> bool {
        let live = self.live.borrow();
        live.iter()
            .any(|remote| name.is_none_or(|name| remote.launch().name == name))
    }

    /// One more, in the place of an older registration of the same instance. `false`: there are too many.
    pub(super) fn put(&self, remote: &Arc<Remote>) -> bool {
        let put = self.live.send_if_modified(|live| {
            if let Some(old) = live.iter().position(|old| old.is_same_as(remote)) {
                live.swap_remove(old).left.cancel();
            } else if live.len() >= INSTANCES_MAX {
                return false;
            }
            live.push(Arc::clone(remote));
            true
        });
        // The receiver is a field of this value.
        put && self.arrivals.send(Arc::clone(remote)).is_ok()
    }

    /// It is gone: no more calls go to it. `false`: it was gone already.
    pub(super) fn remove(&self, remote: &Arc<Remote>) -> bool {
        remote.left.cancel();
        remote.instance.close();
        self.live.send_if_modified(|live| {
            let before = live.len();
            live.retain(|known| !Arc::ptr_eq(known, remote));
            live.len() < before
        })
    }

    /// The next one that came, for the one who looks after them.
    pub(super) async fn next(&self) -> Arc<Remote> {
        match self.arriving.lock().await.recv().await {
            Some(remote) => remote,
            // The sender is a field of this value.
            None => std::future::pending().await,
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Remote>> {
        self.live.borrow().clone()
    }

    /// Those of a tenant; with a name, those of that agent.
    pub(super) fn of(&self, tenant: &Tenant, name: Option<&str>) -> Vec<Arc<Remote>> {
        let live = self.live.borrow();
        let wanted = |remote: &&Arc<Remote>| {
            let launch = remote.launch();
            launch.tenant == *tenant && name.is_none_or(|name| launch.name == name)
        };
        live.iter().filter(wanted).cloned().collect()
    }

    /// The instance of that name that calls itself `id`, whatever its tenant: heartbeats do not say.
    pub(super) fn find(&self, name: &str, id: &str) -> Option<Arc<Remote>> {
        let live = self.live.borrow();
        let found = live
            .iter()
            .find(|remote| remote.id == id && remote.launch().name == name);
        found.filter(|remote| remote.instance.is_open()).cloned()
    }

    /// The instance to call: of those that fit, one that is not in doubt and has least to do. Waits for one to come.
    pub(super) async fn pick(
        &self,
        (tenant, name): (&Tenant, &str),
        fits: impl Fn(&Instance) -> Result<(), NotSent>,
        within: Duration,
    ) -> Result<Arc<Instance>, NotSent> {
        let until = Instant::now() + within;
        let mut live = self.live.subscribe();
        loop {
            live.mark_unchanged();
            match best(&self.of(tenant, Some(name)), &fits) {
                Some(found) => return found,
                None if timeout_at(until, live.changed()).await.is_ok() => {}
                None => {
                    return Err(NotSent::Unavailable(format!(
                        "no instance of the agent {name} is registered now"
                    )));
                }
            }
        }
    }
}

fn best(
    remotes: &[Arc<Remote>],
    fits: impl Fn(&Instance) -> Result<(), NotSent>,
) -> Option<Result<Arc<Instance>, NotSent>> {
    let mut refusal = None;
    let mut fitting = Vec::new();
    for remote in remotes.iter().filter(|remote| remote.instance.is_open()) {
        match fits(&remote.instance) {
            Ok(()) => fitting.push(&remote.instance),
            Err(why) => refusal = Some(Err(why)),
        }
    }
    let best = fitting.into_iter().min_by_key(|instance| instance.rank());
    best.map(|instance| Ok(Arc::clone(instance))).or(refusal)
}
