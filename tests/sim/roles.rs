//! The real roles, started again whenever they die.

use std::sync::Arc;
use std::time::Duration;

use engine::duration::Duration as Length;
use engine::id::Shard;
use engine::time::Timestamp;
use futures::future::join;
use scheduler::{Config, Janitor, Place, Scheduler, Start};
use store::Backend;
use store::seal::{RootKey, Seal};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use worker::Worker;

use crate::backup::restore;
use crate::judge::{Known, Moment};
use crate::life::Life;
use crate::world::{Plot, World};

/// Shards of the installation.
pub(crate) const SHARDS: u16 = 4;

fn shards() -> Vec<Shard> {
    (0..SHARDS).map(Shard).collect()
}

/// Ended runs are archived within seconds, so that what comes late meets them so; and little is kept in memory.
fn config() -> Config {
    Config {
        archive_after: Length::from_secs(3),
        janitor_every: Length::from_secs(2),
        runs_max: 6,
        ..Config::default()
    }
}

fn scheduler(ports: Backend, start: Start) -> Scheduler {
    let place = Place {
        shards: shards(),
        of: SHARDS,
        start,
        agents_outlive: false,
        not_requester: false,
        url_base: "http://sim/runs".to_owned(),
    };
    Scheduler::new(config(), place, ports)
}

fn worker(world: &Arc<World>, life: &Arc<Life>) -> Worker {
    let config = worker::Config {
        slots: 4,
        ..worker::Config::default()
    };
    let place = worker::Place {
        name: life.name.clone(),
        shards: shards(),
    };
    let seal = Seal::new(&RootKey::new([7; 32]));
    Worker::new(config, place, world.ports(life), seal, world.caller(life))
}

/// When a life is asked to end in good order, if it is.
fn asked_to_end(world: &World) -> Duration {
    let seconds = world.throw(|dice| match (&world.plot, dice.between(0, 3)) {
        (Plot::Dice, 0) => dice.between(1, 60),
        _ => 1_000_000,
    });
    Duration::from_secs(seconds)
}

async fn moment(world: &World) {
    let ms = world.throw(|dice| dice.between(50, 3_000));
    sleep(Duration::from_millis(ms)).await;
}

/// Everything in one process, as `mirastack dev` has it: what dies, dies together, plugins included, and what the next
/// one finds is what the store has kept.
pub(crate) async fn one_process(world: Arc<World>) {
    for number in 1.. {
        let life = world.born(format!("process-{number}"));
        world.open_door(&life);
        let drain = CancellationToken::new();
        let done = life.live(&world, process(&world, &life, &drain)).await;
        world.note(format_args!(
            "{} is over, in good order: {}",
            life.name,
            done.is_some()
        ));
        life.die();
        world.lab.plugins_died(&life.name, world.clock.elapsed_ms());
        moment(&world).await;
        set_clock(&world);
        match world.backups.lost() {
            Some(backup) => restore(&world, *backup, &shards()).await,
            None => world.ground.restart(),
        }
    }
}

/// Somebody sets the machine's clock while nothing runs: forward, or as far back as a start is not refused.
fn set_clock(world: &World) {
    if !world.weather.sets_clock() {
        return;
    }
    let (now, newest) = (world.now(), world.judge.known(Known::newest));
    let to = world.throw(|dice| {
        if newest.millis() == 0 || dice.chance(500_000) {
            now.plus(Length::from_millis(dice.between(1_000, 7_200_000)))
        } else {
            let back = Timestamp::from_millis(newest.millis().saturating_sub(dice.between(0, 900)));
            now.min(back)
        }
    });
    world.note(format_args!("the clock is set from {now} to {to}"));
    world.clock.set(to);
}

async fn process(world: &Arc<World>, life: &Arc<Life>, drain: &CancellationToken) {
    let stop = CancellationToken::new();
    let scheduler = scheduler(world.ports(life), Start::Alone).run(stop.clone());
    let janitor = Janitor::new(config(), world.ports(life)).run(stop.clone());
    let worker = worker(world, life).run(drain.clone());
    let working = async {
        end_after(world, asked_to_end(world), drain, worker).await;
        stop.cancel();
    };
    let owning = async {
        report(world, scheduler.await);
    };
    join(join(owning, janitor), working).await;
}

/// No owner stops by itself.
fn report(world: &World, owned: Result<(), scheduler::Error>) {
    if let Err(error) = owned {
        let why = &error.to_string();
        world.see(&Moment::Stopped { why });
    }
}

/// Does `work`, and asks it to end after a while, unless the weather is calm by then.
async fn end_after(
    world: &World,
    after: Duration,
    stop: &CancellationToken,
    work: impl Future<Output = ()>,
) {
    let asking = async {
        sleep(after).await;
        if !world.weather.is_calm() {
            stop.cancel();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! { biased;
        () = work => {}
        () = asking => {}
    }
}

/// An owner of all shards whose workers are elsewhere.
pub(crate) async fn owner(world: Arc<World>, name: &'static str) {
    for number in 1.. {
        let life = world.born(format!("{name}-{number}"));
        let stop = CancellationToken::new();
        let owning = async {
            let scheduler = scheduler(world.ports(&life), Start::Listening).run(stop.clone());
            let scheduler = async { report(&world, scheduler.await) };
            let janitor = Janitor::new(config(), world.ports(&life)).run(stop.clone());
            join(scheduler, janitor).await;
        };
        let owning = end_after(&world, asked_to_end(&world), &stop, owning);
        life.live(&world, owning).await;
        world.note(format_args!("{} is over", life.name));
        life.die();
        moment(&world).await;
    }
}

/// A worker on a machine of its own. Its plugins are not started by it, and outlive it.
pub(crate) async fn lone_worker(world: Arc<World>, name: &'static str) {
    for number in 1.. {
        let life = world.born(format!("{name}-{number}"));
        let drain = CancellationToken::new();
        let working = worker(&world, &life).run(drain.clone());
        let working = end_after(&world, asked_to_end(&world), &drain, working);
        life.live(&world, working).await;
        world.note(format_args!("{} is over", life.name));
        life.die();
        moment(&world).await;
    }
}

/// A gateway of its own.
pub(crate) async fn gateway(world: Arc<World>) {
    for number in 1.. {
        let life = world.born(format!("gateway-{number}"));
        world.open_door(&life);
        life.ask(std::future::pending::<()>()).await;
        world.note(format_args!("{} is over", life.name));
        moment(&world).await;
    }
}

/// The servers that may lose everything do so now and then.
pub(crate) async fn forgetful_servers(world: Arc<World>) {
    while !world.weather.is_calm() {
        let (ms, what) = world.throw(|dice| (dice.between(5_000, 60_000), dice.between(0, 3)));
        sleep(Duration::from_millis(ms)).await;
        match what {
            0 | 1 => {
                world.note(format_args!("jobs are lost"));
                world.ground.lose_jobs();
            }
            2 => {
                world.note(format_args!("memory is lost"));
                world.ground.lose_memory();
            }
            _ => {
                world.note(format_args!("memory is as it was before it was lost"));
                world.ground.rewind_memory();
            }
        }
    }
}
