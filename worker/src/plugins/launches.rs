//! What was handed to each process that we call, and what it is doing with it: the ground on which it may call us.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use engine::id::{RunId, Tenant};
use engine::job::Job;
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::caller::Events;
use crate::{Masks, failure};

/// So many calls of other plugins one plugin makes at once. Two that call each other in a circle come to an end so.
const ERRANDS_MAX: usize = 16;
/// So many answers of people one plugin waits for at once.
const QUESTIONS_MAX: usize = 64;

/// One start of a plugin.
pub(super) struct Launch {
    pub(super) tenant: Tenant,
    pub(super) name: String,
    /// Proves to us that it is this process that calls.
    pub(super) token: Zeroizing<String>,
    /// Proves to the process that it is us who call.
    pub(super) call_secret: Zeroizing<String>,
    /// Whether we started it: then it proves who answers, and our SDK answers.
    pub(super) is_ours: bool,
    /// Whether it may know secrets.
    pub(super) trusted: bool,
    /// What the process calls itself, once it has registered.
    registered: watch::Sender<Option<String>>,
    running: Mutex<Running>,
    masks: Mutex<Masks>,
    /// Each is a call that it makes of another plugin.
    pub(super) errands: Arc<Semaphore>,
    /// Each is something that it waits for people to answer.
    pub(super) questions: Arc<Semaphore>,
}

/// The calls that it is making for us.
#[derive(Default)]
struct Running {
    last: u64,
    calls: BTreeMap<u64, Call>,
}

/// A call that it is working on.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) job: Arc<Job>,
    pub(super) events: Arc<dyn Events>,
    /// Its time limit.
    pub(super) due: Instant,
}

impl Launch {
    pub(super) fn new(tenant: Tenant, name: String) -> Arc<Self> {
        Self::make(tenant, name, (true, true))
    }

    /// One that we did not start: nobody knows its token, and nobody its secret.
    pub(super) fn of(tenant: Tenant, name: String, trusted: bool) -> Arc<Self> {
        Self::make(tenant, name, (false, trusted))
    }

    fn make(tenant: Tenant, name: String, (is_ours, trusted): (bool, bool)) -> Arc<Self> {
        Arc::new(Self {
            tenant,
            name,
            token: random(),
            call_secret: random(),
            is_ours,
            trusted,
            registered: watch::Sender::new(None),
            running: Mutex::default(),
            masks: Mutex::default(),
            errands: Arc::new(Semaphore::new(ERRANDS_MAX)),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        })
    }

    /// The process says which instance it is. The first word counts: the same again changes nothing, another is refused.
    pub(super) fn register(&self, instance: &str) -> bool {
        let mut accepted = true;
        self.registered.send_if_modified(|known| match known {
            Some(known) => {
                accepted = known == instance;
                false
            }
            None => {
                *known = Some(instance.to_owned());
                true
            }
        });
        accepted
    }

    /// Whether it registered as this instance.
    pub(super) fn is_instance(&self, instance: &str) -> bool {
        self.registered.borrow().as_deref() == Some(instance)
    }

    /// Waits until it has registered.
    pub(super) async fn registered(&self) {
        let mut seen = self.registered.subscribe();
        // The sender is this value: it does not go away while it is waited for.
        let _ = seen.wait_for(Option::is_some).await;
    }

    /// A call of it begins; it runs until the answer is dropped.
    pub(super) fn begin(
        self: &Arc<Self>,
        job: &Job,
        events: Arc<dyn Events>,
        due: Instant,
    ) -> Begun {
        let job = Arc::new(job.clone());
        let mut running = self.running();
        running.last += 1;
        let number = running.last;
        running.calls.insert(number, Call { job, events, due });
        Begun {
            launch: Arc::clone(self),
            number,
        }
    }

    /// Whether it runs a call of that run now.
    pub(super) fn runs(&self, run: RunId) -> bool {
        self.running()
            .calls
            .values()
            .any(|call| call.job.key.run == run)
    }

    /// The calls that it runs now; with a run, those of that run.
    pub(super) fn calls(&self, run: Option<RunId>) -> Vec<Call> {
        self.running()
            .calls
            .values()
            .filter(|call| run.is_none_or(|run| call.job.key.run == run))
            .cloned()
            .collect()
    }

    /// Every secret that the process was ever given.
    pub(super) fn secrets(&self) -> Masks {
        let mut all = Masks::default();
        all.join(&self.masks());
        all
    }

    /// From now on this secret is taken out of what the process writes.
    pub(super) fn hide(&self, name: &str, secret: &str) {
        self.masks().add(name, secret);
    }

    /// The same for all secrets of a call.
    pub(super) fn hide_all(&self, masks: &Masks) {
        if !masks.is_empty() {
            self.masks().join(masks);
        }
    }

    /// `text` without any secret that the process was ever given, and as people may be shown it.
    pub(super) fn clean(&self, text: &str) -> String {
        failure::cut(self.masks().text(text).into_owned())
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A result without what must not be written down. What is no text stays as it is, for nobody reads it.
    pub(super) fn clean_json(&self, text: Bytes) -> Bytes {
        let Ok(json) = str::from_utf8(&text) else {
            return text;
        };
        match self.masks().json(json) {
            Cow::Borrowed(_) => text,
            Cow::Owned(clean) => clean.into(),
        }
    }

    fn masks(&self) -> MutexGuard<'_, Masks> {
        self.masks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that runs, until this is dropped.
pub(super) struct Begun {
    launch: Arc<Launch>,
    number: u64,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.launch.running().calls.remove(&self.number);
    }
}

/// All processes that may call us.
#[derive(Default)]
pub(super) struct Launches(Mutex<Vec<Arc<Launch>>>);

impl Launches {
    pub(super) fn add(&self, launch: &Arc<Launch>) {
        self.all().push(Arc::clone(launch));
    }

    pub(super) fn remove(&self, launch: &Arc<Launch>) {
        self.all().retain(|known| !Arc::ptr_eq(known, launch));
    }

    /// Whose token this is. Each is compared in constant time, and all are compared.
    pub(super) fn by_token(&self, token: &[u8]) -> Option<Arc<Launch>> {
        let mut found = None;
        for launch in self.all().iter() {
            if bool::from(launch.token.as_bytes().ct_eq(token)) {
                found = Some(Arc::clone(launch));
            }
        }
        found
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Launch>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 bits of the system's generator, as text.
fn random() -> Zeroizing<String> {
    let bytes: [u8; 32] = rand::random();
    Zeroizing::new(engine::digest::Digest::from_bytes(bytes).to_string())
}
