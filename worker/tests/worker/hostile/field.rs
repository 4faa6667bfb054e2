//! A whole worker over real processes, and the reports of its attempts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::command::Outcome;
use engine::duration::Duration as Length;
use engine::id::{Shard, StepNo};
use engine::job::Job;
use engine::registry;
use serde_json::{Value, json};
use store::port::Expect;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::{Config, Place, PluginsConfig, Worker};

use crate::bench::{Ears, seal, within};
use crate::jobs;
use crate::yard::{self, Yard};

/// A worker with these plugins, and an owner that confirms all reports.
pub(crate) struct Field {
    pub(crate) yard: Yard,
    waiting: Arc<Mutex<Waiting>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Waiting {
    last: u32,
    steps: BTreeMap<StepNo, oneshot::Sender<Outcome>>,
}

/// What stands in a journal of an attempt: its code (empty for a success) and its message or output.
pub(crate) type Told = (String, String);

impl Field {
    pub(crate) async fn new(plugins: &[(&str, &str)]) -> Self {
        // One that is silent stays so, however long the test takes: it is not started again for it.
        let config = PluginsConfig {
            deaf: Length::from_secs(3_600),
            ..yard::quick()
        };
        let yard = Yard::with(config, plugins).await;
        for (agent, _) in plugins {
            let pinned = yard::pinned(agent);
            let key = registry::def_key(&jobs::tenant(), pinned.digest());
            let (registry, bytes) = (&yard.backend.registry, pinned.bytes());
            let put = registry.put(&key, &bytes, Expect::Absent).await;
            put.expect("an empty registry");
        }
        let place = Place {
            name: "w1".to_owned(),
            shards: vec![Shard(0), Shard(1)],
        };
        let (backend, plugins) = (yard.backend.clone(), yard.plugins.clone());
        let worker = Worker::new(Config::default(), place, backend, seal(), plugins);
        let (mut ears, mut tasks) = Ears::open(&yard.backend);
        tasks.spawn(worker.run(CancellationToken::new()));
        let waiting = Arc::<Mutex<Waiting>>::default();
        let told = Arc::clone(&waiting);
        tasks.spawn(async move {
            while let Some(report) = ears.reports.recv().await {
                let step = report.attempt.step;
                let outcome = report.confirm();
                let waits = told.lock().expect("no panic").steps.remove(&step);
                if let Some(waits) = waits {
                    // A test that has failed does not listen any more.
                    let _ = waits.send(outcome);
                }
            }
        });
        Self {
            yard,
            waiting,
            _tasks: tasks,
        }
    }

    /// Offers a READ of the agent, and waits for what becomes of it.
    pub(crate) async fn outcome(&self, agent: &str, params: &Value, limit: Duration) -> Told {
        let (send, told) = oneshot::channel();
        let step = {
            let mut waiting = self.waiting.lock().expect("no panic");
            waiting.last += 1;
            let step = StepNo(waiting.last);
            waiting.steps.insert(step, send);
            step
        };
        let job = Job {
            step,
            name: format!("step{}", step.0),
            call: engine::event::Call {
                params: jobs::value(params),
                timeout_ms: u64::try_from(limit.as_millis()).expect("short"),
                ..yard::job(agent).call
            },
            dispatched_at: self.yard.backend.clock.now(),
            ..yard::job(agent)
        };
        let offered = self.yard.backend.jobs.offer("default", vec![job]).await;
        offered.expect("an open queue");
        read(within(told).await.expect("a report"))
    }

    /// The agent does what an agent should.
    pub(crate) async fn serves(&self, agent: &str) {
        let params = json!({ "echo": agent });
        let (code, output) = self.outcome(agent, &params, Duration::from_secs(60)).await;
        assert_eq!(
            (code.as_str(), output),
            ("", params.to_string()),
            "{agent} does not serve"
        );
    }
}

fn read(outcome: Outcome) -> Told {
    match outcome {
        Outcome::Succeeded { output } => {
            let bytes = output.inline.expect("a small result");
            (
                String::new(),
                String::from_utf8(bytes.to_vec()).expect("JSON"),
            )
        }
        Outcome::Failed { failure } => (failure.code, failure.message),
        Outcome::TimedOut { message } => ("timeout".to_owned(), message),
        Outcome::NotCalled { reason } => ("not called".to_owned(), reason),
        other @ (Outcome::Unknown { .. }
        | Outcome::LookedUpDone { .. }
        | Outcome::LookedUpNotDone
        | Outcome::LookedUpUnknown { .. }) => panic!("no outcome of a READ: {other:?}"),
    }
}

/// What people are shown does nothing to their terminal, and is of a length that they can read.
pub(crate) fn is_harmless(text: &str) -> bool {
    let tame = |c: char| c == '\n' || c == '\t' || !c.is_control() && !is_bidi(c);
    text.len() <= 8 * 1024 && text.chars().all(tame)
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The memory of this process, in bytes.
pub(crate) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse::<usize>().ok());
    pages.expect("a number of pages") * 4096
}
