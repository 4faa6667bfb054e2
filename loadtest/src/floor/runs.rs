//! What the floor does with a run: the row of its creation, a queue hop, its calls, and a row for each result.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use proto::client::{CallOptions, PluginClient};
use proto::v1::{ExecuteRequest, ExecutionMode};
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use super::rows::Rows;
use crate::workflows::{self, Shape};

/// How many runs wait at most for somebody to take them.
const WAITING: usize = 10_000;
/// How long one call may take.
const CALL: Duration = Duration::from_secs(30);

/// The runs.
pub(super) struct Runs {
    rows: Rows,
    queue: mpsc::Sender<Job>,
    next: AtomicU64,
    made: Mutex<BTreeMap<String, u64>>,
    /// Those that have not ended, and those that failed.
    open: std::sync::Arc<Mutex<HashMap<u64, watch::Receiver<State>>>>,
    _loop: TaskTracker,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It goes on.
    Running,
    /// All its rows are durable.
    Succeeded,
    /// Something went wrong; standard error says what.
    Failed,
}

struct Job {
    run: u64,
    shape: Shape,
    state: watch::Sender<State>,
}

impl Runs {
    /// Starts who takes runs from the queue.
    pub(super) fn start(rows: Rows, client: PluginClient) -> Self {
        let (queue, jobs) = mpsc::channel(WAITING);
        let open = std::sync::Arc::default();
        let tasks = TaskTracker::new();
        tasks.spawn(take(
            jobs,
            rows.clone(),
            client,
            std::sync::Arc::clone(&open),
        ));
        Self {
            rows,
            queue,
            next: AtomicU64::new(1),
            made: Mutex::default(),
            open,
            _loop: tasks,
        }
    }

    /// Makes a run durable and hands it on.
    pub(super) async fn accept(&self, workflow: &str, body: Vec<u8>) -> anyhow::Result<u64> {
        let Some(shape) = workflows::shape(workflow) else {
            bail!("there is no workflow {workflow}");
        };
        let run = self.next.fetch_add(1, Ordering::Relaxed);
        self.rows.keep(run, 0, body).await?;
        let (state, seen) = watch::channel(State::Running);
        lock(&self.open).insert(run, seen);
        *lock(&self.made).entry(workflow.to_owned()).or_default() += 1;
        let job = Job { run, shape, state };
        self.queue
            .send(job)
            .await
            .ok()
            .context("nobody takes runs")?;
        Ok(run)
    }

    /// Waits for the end of a run, and answers where it stands.
    pub(super) async fn ended(&self, run: u64, within: Duration) -> Option<State> {
        let seen = lock(&self.open).get(&run).cloned();
        let Some(mut seen) = seen else {
            let known = run > 0 && run < self.next.load(Ordering::Relaxed);
            return known.then_some(State::Succeeded);
        };
        let ended = seen.wait_for(|state| *state != State::Running);
        let state = tokio::time::timeout(within, ended).await;
        Some(match state {
            Ok(Ok(state)) => *state,
            Ok(Err(_)) => State::Failed,
            Err(_) => State::Running,
        })
    }

    /// How many runs a workflow has.
    pub(super) fn count(&self, workflow: &str) -> u64 {
        lock(&self.made).get(workflow).copied().unwrap_or(0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while it is held")
}

async fn take(
    mut jobs: mpsc::Receiver<Job>,
    rows: Rows,
    client: PluginClient,
    open: std::sync::Arc<Mutex<HashMap<u64, watch::Receiver<State>>>>,
) {
    let tasks = TaskTracker::new();
    while let Some(job) = jobs.recv().await {
        let (rows, client, open) = (rows.clone(), client.clone(), open.clone());
        tasks.spawn(async move {
            match work(&job, &rows, &client).await {
                Ok(()) => {
                    lock(&open).remove(&job.run);
                    job.state.send_replace(State::Succeeded);
                }
                Err(error) => {
                    eprintln!("loadtest: run {} of the floor: {error:#}", job.run);
                    job.state.send_replace(State::Failed);
                }
            }
        });
    }
}

async fn work(job: &Job, rows: &Rows, client: &PluginClient) -> anyhow::Result<()> {
    let one = async |step: u32| {
        let output = call(client, job.run, step).await?;
        rows.keep(job.run, step, output).await
    };
    match job.shape {
        Shape::Sequence(steps) => {
            for step in 1..=steps {
                one(step).await?;
            }
        }
        Shape::FanOut(items) => {
            try_join_all((1..=items).map(one)).await?;
        }
    }
    Ok(())
}

async fn call(client: &PluginClient, run: u64, step: u32) -> anyhow::Result<Vec<u8>> {
    let request = ExecuteRequest {
        execution_id: run.to_string(),
        step_id: step.to_string(),
        action_id: "echo".to_owned(),
        params_json: format!(r#"{{"value":{step}}}"#).into_bytes().into(),
        execution_mode: ExecutionMode::Guided.into(),
        tenant_id: "default".to_owned(),
        workflow_id: "floor".to_owned(),
        idempotency_key: format!("{run}.{step}"),
        fence: 1,
        attempt: 1,
        ..ExecuteRequest::default()
    };
    let answer = client.execute(&request, &CallOptions::within(CALL)).await?;
    if !answer.success {
        bail!("the agent refused: {answer:?}");
    }
    Ok(answer.result_json.to_vec())
}
