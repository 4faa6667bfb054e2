//! One simulation, from a seed to its verdict.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::id::Tenant;
use store::port::{Page, RunFilter, RunRow};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::alerts::alert;
use crate::client::{Request, ask};
use crate::judge::{Moment, Violation};
use crate::people::{PEOPLE, administrate, cancel, decide, person, settle_in};
use crate::post::{damage, post};
use crate::roles;
use crate::workflows::saved;
use crate::world::{Plot, World};

/// In calm weather every run has ended after so long, or it never will.
const CALM_MAX: Duration = Duration::from_secs(3 * 3_600);
/// Errors with these words are logged because the simulation wants them: they are its own, for the records it damages.
const DAMAGED: &str = "the checksum of run";
/// So long somebody may be about something of which no run tells.
const LINGER: Duration = Duration::from_secs(60);
/// So often it is looked whether all has ended.
const LOOK: Duration = Duration::from_secs(5);

/// What came of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Stands for everything that happened.
    pub(crate) trace: u64,
    /// How many things happened.
    pub(crate) lines: u64,
    /// How many records were stored.
    pub(crate) records: usize,
    /// How many runs there were.
    pub(crate) runs: usize,
    /// How many backups were restored.
    pub(crate) restored: u64,
    /// The first thing that was wrong.
    pub(crate) violation: Option<Violation>,
}

/// Simulates a seed, on this thread.
pub(crate) fn simulate(seed: u64, print: bool) -> Verdict {
    let (mut verdict, logged) = in_paused_time(print, run(seed, print));
    verdict.violation = verdict.violation.or(logged);
    verdict
}

/// Does `work` on this thread, in time that passes when nobody has anything to do. Answers also what was logged and must
/// not be.
pub(crate) fn in_paused_time<T>(
    print: bool,
    work: impl Future<Output = T>,
) -> (T, Option<Violation>) {
    let errors: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = crate::log::Errors::subscriber(errors.clone(), print);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads needs nothing");
    let done = tracing::subscriber::with_default(log, || runtime.block_on(Box::pin(work)));
    let errors = errors.lock().expect("nobody panics with it");
    let unexpected = errors.iter().find(|error| !error.contains(DAMAGED));
    let violation = unexpected.map(|error| Violation {
        invariant: "no error is logged",
        what: error.clone(),
    });
    (done, violation)
}

async fn run(seed: u64, print: bool) -> Verdict {
    let world = World::new(seed, Plot::Dice, saved(), print);
    world.note(format_args!("weather {:?}", world.weather.rates));
    settle_in(&world).await;
    let mut tasks = JoinSet::new();
    begin(&world, &mut tasks);
    tokio::select! { biased;
        () = world.judge.broken.notified() => {}
        () = to_the_end(&world, &mut tasks) => {}
    }
    tasks.shutdown().await;
    world.close_door();
    let (trace, lines) = world.sum();
    let (runs, records) = world.judge.known(|known| {
        let records = known.runs.values().map(|seen| seen.entries.len()).sum();
        (known.runs.len(), records)
    });
    Verdict {
        trace,
        lines,
        records,
        runs,
        restored: world.backups.restored(),
        violation: world.judge.verdict(),
    }
}

/// Starts the roles, in one process or in many, and everybody who uses them.
fn begin(world: &Arc<World>, tasks: &mut JoinSet<()>) {
    let lab = world.clone();
    tasks.spawn(async move { lab.lab.run(&lab).await });
    if world.throw(|dice| dice.chance(500_000)) {
        if world.throw(|dice| dice.chance(350_000)) {
            let (effects, more) = world.throw(|dice| (dice.between(1, 150), dice.between(1, 100)));
            world.backups.plan(effects, more);
        }
        tasks.spawn(roles::one_process(world.clone()));
    } else {
        tasks.spawn(roles::owner(world.clone(), "owner"));
        if world.throw(|dice| dice.chance(250_000)) {
            tasks.spawn(roles::owner(world.clone(), "second-owner"));
        }
        tasks.spawn(roles::lone_worker(world.clone(), "worker"));
        tasks.spawn(roles::lone_worker(world.clone(), "helper"));
        tasks.spawn(roles::gateway(world.clone()));
        tasks.spawn(roles::forgetful_servers(world.clone()));
    }
    tasks.spawn(post(world.clone()));
    tasks.spawn(administrate(world.clone()));
    for (name, _) in PEOPLE {
        tasks.spawn(decide(world.clone(), name));
    }
    for number in 0..world.throw(|dice| dice.between(3, 9)) {
        let (request, after) = request(world, number);
        tasks.spawn(ask(world.clone(), request, after));
    }
    for _ in 0..world.throw(|dice| dice.between(0, 3)) {
        let ms = world.throw(|dice| dice.between(1_000, 60_000));
        tasks.spawn(cancel(world.clone(), Duration::from_millis(ms)));
    }
    for number in 0..world.throw(|dice| dice.between(0, 2)) {
        alert(world, number, tasks);
    }
    if world.throw(|dice| dice.chance(250_000)) {
        let ms = world.throw(|dice| dice.between(5_000, 40_000));
        tasks.spawn(damage(world.clone(), Duration::from_millis(ms)));
    }
}

fn request(world: &World, number: u64) -> (Request, Duration) {
    world.throw(|dice| {
        let workflows: Vec<usize> = (0..world.saved.started_by_people()).collect();
        let (requester, _) = dice.pick(&PEOPLE);
        let request = Request {
            name: format!("request-{number}"),
            workflow: dice.pick(&workflows),
            requester: person(requester),
            ad_hoc: false,
        };
        (request, Duration::from_millis(dice.between(0, 40_000)))
    })
}

/// Storm for a while, then calm until nothing is open any more.
async fn to_the_end(world: &Arc<World>, tasks: &mut JoinSet<()>) {
    let storm = world.throw(|dice| dice.between(30, 120));
    sleep_or_panic(Duration::from_secs(storm), tasks).await;
    world.weather.calm();
    world.note(format_args!("calm"));
    let since = world.now();
    let mut waited = Duration::ZERO;
    loop {
        while waited < CALM_MAX && is_open(world) {
            sleep_or_panic(LOOK, tasks).await;
            waited += LOOK;
            world.see(&Moment::Calm { since });
        }
        // Long enough for the janitor, and for anybody who is still about something: which may be one more run.
        sleep_or_panic(LINGER, tasks).await;
        waited += LINGER;
        if waited >= CALM_MAX || !is_open(world) {
            break;
        }
    }
    let rows = listed(world).await;
    world.see(&Moment::Listed { rows: &rows });
    world.see(&Moment::End);
}

/// The list of all runs.
async fn listed(world: &World) -> Vec<RunRow> {
    let (tenant, all) = (Tenant::default(), RunFilter::default());
    let page = Page {
        limit: 1_000,
        after: None,
    };
    let views = world.ground.backend().views;
    let listed = views.runs(&tenant, &all, &page).await;
    listed.expect("nothing goes wrong any more").items
}

pub(crate) fn is_open(world: &World) -> bool {
    world
        .judge
        .known(|known| known.sound().any(|(_, seen)| !seen.run.status().is_end()))
}

/// Sleeps; a task that panics meanwhile is a fault of the simulation or of the product, and no seed may hide it.
pub(crate) async fn sleep_or_panic(time: Duration, tasks: &mut JoinSet<()>) {
    let mut slept = std::pin::pin!(sleep(time));
    loop {
        tokio::select! { biased;
            Some(ended) = tasks.join_next() => ended.expect("no part of the simulation panics"),
            () = &mut slept => return,
        }
    }
}
