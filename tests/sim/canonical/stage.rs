//! One plan from its start to its end, while somebody dies.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use engine::event::{RunStatus, SkipReason, StepStatus};
use engine::principal::Permission;
use engine::run::{Run, Step};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::people::{Does, When, carry_on, follow, look_after_doubts, the_run};
use super::plan::{Kind, Plan};
use super::plans::PLANS;
use crate::client::{Request, ask};
use crate::judge::Moment;
use crate::life::{Crash, Life};
use crate::people::{person, settle_in};
use crate::roles;
use crate::simulation::{in_paused_time, is_open, sleep_or_panic};
use crate::workflows::Saved;
use crate::world::{Plot, World};

/// Every plan has ended by then, or it never will.
const PLAYED_MAX: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(500);
/// Long enough for the janitor, and for anybody who is still about something.
const AFTERMATH: Duration = Duration::from_secs(9);

/// A plan, who carries it out, and who dies.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    plan: usize,
    /// Everything is in one process.
    together: bool,
    /// Who dies after so many effects; `None`: nobody.
    dies: Option<(String, u64)>,
    /// After so many effects a backup is made; everything else is lost when the plan has ended, and the backup restored.
    backup: Option<u64>,
    /// After so many effects somebody cancels the run.
    cancel: Option<u64>,
}

/// What came of a scene.
pub(crate) struct Played {
    /// How many effects each life had.
    pub(crate) effects: BTreeMap<String, u64>,
    pub(crate) complaint: Option<String>,
}

/// Who dies is told, and when somebody cancels.
pub(crate) struct Told {
    dies: Option<(String, u64)>,
    lives: Mutex<Vec<Arc<Life>>>,
    /// Effects until the cancel.
    left: AtomicU64,
    cancel: Notify,
}

impl Told {
    pub(crate) fn crash(&self, name: &str) -> Crash {
        match &self.dies {
            Some((who, effects)) if who == name => Crash::Effects(*effects),
            _ => Crash::Never,
        }
    }

    pub(crate) fn born(&self, life: &Arc<Life>) {
        let mut lives = self.lives.lock().expect("nobody panics with it");
        lives.push(life.clone());
    }

    /// One more effect has been.
    pub(crate) fn effect(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.cancel.notify_one();
        }
    }

    fn effects(&self) -> BTreeMap<String, u64> {
        let lives = self.lives.lock().expect("nobody panics with it");
        let effects = lives.iter().map(|life| (life.name.clone(), life.effects()));
        effects.collect()
    }
}

impl Scene {
    /// Every plan, in one process and in several, and nobody dies.
    pub(crate) fn plain() -> Vec<Self> {
        let plans = (0..PLANS.len()).flat_map(|plan| [(plan, true), (plan, false)]);
        let scene = |(plan, together)| Self {
            plan,
            together,
            dies: None,
            backup: None,
            cancel: None,
        };
        plans.map(scene).collect()
    }

    /// The same, once for each effect that each life had.
    pub(crate) fn with_crashes(&self, effects: &BTreeMap<String, u64>) -> Vec<Self> {
        let deaths = effects
            .iter()
            .flat_map(|(who, effects)| (1..=*effects).map(|n| (who.clone(), n)));
        let scene = |dies| Self {
            dies: Some(dies),
            ..self.clone()
        };
        deaths.map(scene).collect()
    }

    /// The same, with a backup, and with a cancel, after each effect that the one process had.
    pub(crate) fn with_backups_and_cancels(&self, effects: &BTreeMap<String, u64>) -> Vec<Self> {
        let effects = match self.together {
            true => effects.values().sum(),
            false => 0,
        };
        let backup = |n| Self {
            backup: Some(n),
            ..self.clone()
        };
        let cancel = |n| Self {
            cancel: Some(n),
            ..self.clone()
        };
        (1..=effects).flat_map(|n| [backup(n), cancel(n)]).collect()
    }

    pub(crate) fn plan(&self) -> &'static Plan {
        &PLANS[self.plan]
    }

    /// Who or what comes in between, and after which effect.
    pub(crate) fn crash(&self) -> String {
        match (&self.dies, self.backup, self.cancel) {
            (Some((who, effect)), ..) => format!("{who}:{effect}"),
            (None, Some(effect), _) => format!("backup:{effect}"),
            (None, None, Some(effect)) => format!("cancel:{effect}"),
            (None, None, None) => String::new(),
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.plan().name, self.crash())
    }

    /// How it is played once more.
    pub(crate) fn again(&self) -> String {
        format!(
            "PLAN={} CRASH={} TRACE=1 cargo test -p mirastack-tests --test sim canonical -- --nocapture",
            self.plan().name,
            self.crash()
        )
    }
}

/// What is saved for each plan.
fn saved(plan: usize) -> &'static Saved {
    static SAVED: OnceLock<Vec<Saved>> = OnceLock::new();
    let saved = SAVED.get_or_init(|| {
        let documents = PLANS.iter().map(|plan| {
            let name = plan.name.replace('_', "-");
            format!("workflow: {name}{}", plan.text)
        });
        documents.map(|d| Saved::of_documents(&d)).collect()
    });
    &saved[plan]
}

/// Plays a scene, on this thread.
pub(crate) fn play(scene: &Scene, print: bool) -> Played {
    let (mut played, logged) = in_paused_time(print, playing(scene, print));
    if let (None, Some(logged)) = (&played.complaint, logged) {
        played.complaint = Some(logged.what);
    }
    played
}

async fn playing(scene: &Scene, print: bool) -> Played {
    let told = Told {
        dies: scene.dies.clone(),
        lives: Mutex::default(),
        left: AtomicU64::new(scene.cancel.unwrap_or(u64::MAX)),
        cancel: Notify::new(),
    };
    let world = World::new(1, Plot::Told(told), saved(scene.plan), print);
    settle_in(&world).await;
    let mut tasks = JoinSet::new();
    if let Some(effects) = scene.backup {
        world.backups.plan(effects, u64::MAX);
    }
    begin(&world, scene, &mut tasks);
    tokio::select! { biased;
        () = world.judge.broken.notified() => {}
        () = to_the_end(&world, scene, &mut tasks) => {}
    }
    tasks.shutdown().await;
    world.close_door();
    let Plot::Told(told) = &world.plot else {
        unreachable!("it was just made");
    };
    Played {
        effects: told.effects(),
        complaint: complaint(&world, scene),
    }
}

/// Starts the roles, and the people of the plan.
fn begin(world: &Arc<World>, scene: &Scene, tasks: &mut JoinSet<()>) {
    let lab = world.clone();
    tasks.spawn(async move { lab.lab.run(&lab).await });
    if scene.together {
        tasks.spawn(roles::one_process(world.clone()));
    } else {
        tasks.spawn(roles::owner(world.clone(), "owner"));
        tasks.spawn(roles::lone_worker(world.clone(), "worker"));
        tasks.spawn(roles::gateway(world.clone()));
    }
    let plan = scene.plan();
    tasks.spawn(follow(world.clone(), plan.cues));
    tasks.spawn(cancel(world.clone()));
    if plan.kind != Kind::NobodyLooks {
        tasks.spawn(look_after_doubts(world.clone()));
    }
    if plan.kind != Kind::Alert {
        tasks.spawn(ask(world.clone(), request(plan), Duration::ZERO));
    }
}

/// Cancels the run when it is time, or as soon as it is there.
async fn cancel(world: Arc<World>) {
    if let Plot::Told(told) = &world.plot {
        told.cancel.notified().await;
        follow(world.clone(), &[(When::There, Does::Cancel)]).await;
    }
}

fn request(plan: &Plan) -> Request {
    let requester = match plan.kind {
        Kind::AdHoc => "dan",
        Kind::Saved | Kind::Alert | Kind::NobodyLooks => "cat",
    };
    Request {
        name: plan.name.to_owned(),
        workflow: 0,
        requester: person(requester),
        ad_hoc: plan.kind == Kind::AdHoc,
    }
}

async fn to_the_end(world: &Arc<World>, scene: &Scene, tasks: &mut JoinSet<()>) {
    until_all_ended(world, tasks).await;
    if scene.backup.is_some() {
        lose_and_restore(world, scene.plan(), tasks).await;
        until_all_ended(world, tasks).await;
    }
    sleep_or_panic(AFTERMATH, tasks).await;
    world.see(&Moment::End);
}

async fn until_all_ended(world: &Arc<World>, tasks: &mut JoinSet<()>) {
    let mut waited = Duration::ZERO;
    let nothing_yet = || world.judge.known(|known| known.runs.is_empty());
    while waited < PLAYED_MAX && (nothing_yet() || is_open(world)) {
        sleep_or_panic(LOOK, tasks).await;
        waited += LOOK;
    }
}

/// Everything since the backup is lost. Then people let go on what waits, and whoever has asked asks again.
async fn lose_and_restore(world: &Arc<World>, plan: &Plan, tasks: &mut JoinSet<()>) {
    let before = world.door();
    if !world.backups.lose(&before.life) {
        return;
    }
    while Arc::ptr_eq(&before, &world.door()) {
        sleep_or_panic(LOOK, tasks).await;
    }
    tasks.spawn(carry_on(world.clone()));
    if plan.kind == Kind::NobodyLooks {
        tasks.spawn(look_after_doubts(world.clone()));
    }
    if plan.kind != Kind::Alert {
        tasks.spawn(ask(world.clone(), request(plan), Duration::ZERO));
    }
}

/// What is wrong with how it ended.
fn complaint(world: &World, scene: &Scene) -> Option<String> {
    if let Some(violation) = world.judge.verdict() {
        return Some(format!("{}: {}", violation.invariant, violation.what));
    }
    let plan = scene.plan();
    world.judge.known(|known| {
        if known.runs.is_empty() && scene.backup.is_some() && plan.kind == Kind::Alert {
            // It was started after the backup, and is over.
            return None;
        }
        if known.runs.len() != 1 {
            return Some(format!("there are {} runs of it", known.runs.len()));
        }
        let (_, run) = the_run(known)?;
        let ended = end(run);
        // Whoever cancels after the end is too late, and a run that fails already has failed.
        let first = |text: &str| text.split(' ').next().map(str::to_owned);
        let may_end_so = scene.cancel.is_some()
            && (run.status() == RunStatus::Cancelled || first(&ended) == first(plan.ends));
        if scene.backup.is_none() && !may_end_so && !is_right(&ended, plan.ends) {
            return Some(format!("ended {ended:?}\n    and not {:?}", plan.ends));
        }
        let outputs = outputs(run);
        let is_whole = scene.backup.is_none() && scene.cancel.is_none();
        if is_whole && !plan.outputs.is_empty() && outputs != plan.outputs {
            return Some(format!("answers {outputs} and not {}", plan.outputs));
        }
        let steps = run.state().steps.iter();
        steps.filter_map(|step| untrue(world, run, step)).next()
    })
}

/// How a run has ended, as [`Plan::ends`] tells it.
fn end(run: &Run) -> String {
    let state = run.state();
    let mut text = run.status().as_str().to_owned();
    if let Some(failure) = state.head.end.as_ref().and_then(|end| end.failure.as_ref()) {
        // Writing into a string cannot fail.
        let _ = write!(text, " by {}", failure.code);
    }
    let mut parting = ":";
    for step in state.steps.iter().filter(|step| step.item().is_none()) {
        let _ = write!(text, "{parting} {} {}", step.name, step.status.as_str());
        parting = ",";
    }
    text
}

/// Whether each word is one of those that `ends` has in its place.
fn is_right(ended: &str, ends: &str) -> bool {
    let (ended, ends): (Vec<&str>, Vec<&str>) =
        (ended.split(' ').collect(), ends.split(' ').collect());
    let one_of = |(word, right): (&&str, &&str)| {
        let mut right = right.trim_end_matches([',', ':']).split('|');
        right.any(|right| right == word.trim_end_matches([',', ':']))
    };
    ended.len() == ends.len() && ended.iter().zip(&ends).all(one_of)
}

fn outputs(run: &Run) -> String {
    let end = run.state().head.end.as_ref();
    let outputs = end.map(|end| {
        let json = end
            .outputs
            .iter()
            .map(|(name, value)| (name.clone(), value.inline_json()));
        json.collect::<BTreeMap<_, _>>()
    });
    serde_json::to_string(&outputs).expect("plain values")
}

/// What a step says of its change that is not so.
fn untrue(world: &World, run: &Run, step: &Step) -> Option<String> {
    let action = run.state().action(step)?;
    if action.permission == Permission::Read || step.fan_out.is_some() {
        return None;
    }
    let times = world.lab.times(&format!("{}.{}", run.key().run, step.no.0));
    let not_made = step
        .failure
        .as_ref()
        .is_some_and(|failure| failure.not_made);
    let is_true = match step.status {
        StepStatus::Succeeded => times == 1,
        StepStatus::Rejected => times == 0,
        // What came after the backup is not known, and what is needed may be otherwise this time.
        StepStatus::Skipped => {
            let is_stopped = step.skipped == Some(SkipReason::Stopped);
            times == 0 || run.state().head.restores > 0 && !is_stopped
        }
        StepStatus::Failed | StepStatus::Cancelled | StepStatus::TimedOut => {
            times == 0 || !not_made
        }
        StepStatus::InDoubt => true,
        StepStatus::Pending | StepStatus::Running | StepStatus::Waiting => false,
    };
    (!is_true).then(|| {
        let (name, status) = (&step.name, step.status.as_str());
        format!("{name} is {status}, and its change was made {times} times")
    })
}
