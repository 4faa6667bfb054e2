//! People who know what to do, and when.

use std::sync::Arc;
use std::time::Duration;

use engine::command::Command;
use engine::digest::Digest;
use engine::event::ApprovalState;
use engine::id::{ApprovalId, RunKey};
use engine::principal::Role;
use engine::run::{At, Run};
use tokio::time::sleep;

use crate::alerts::{Alert, deliver};
use crate::judge::Known;
use crate::people::{doubts, hand_in, pending, person, restored, set_role, set_settings};
use crate::world::World;

/// Somebody looks so often.
const LOOK: Duration = Duration::from_millis(100);

/// What is done once, when.
pub(crate) type Cue = (When, Does);

/// When something is done: as soon as the plan's run
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// is still to come.
    Begin,
    /// is there.
    There,
    /// has a step of that name which asks for consent.
    Asks(&'static str),
    /// has a step of that name which is in a worker's hands.
    Does(&'static str),
    /// has a step of that name which was granted a change.
    Changes(&'static str),
    /// has a step of that name which waits for a time, or to be tried again.
    Waits(&'static str),
    /// has a step of that name which nobody knows about.
    Doubts(&'static str),
    /// has a step of that name which fans out.
    Fans(&'static str),
}

/// What somebody does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// Consents to what is asked.
    Approve(&'static str),
    /// Refuses what is asked.
    Reject(&'static str),
    /// Stops the run.
    Cancel,
    /// The alert fires, or is over.
    Alert(bool),
    /// The agent has other settings.
    Settings(u64),
    /// Somebody has another role, or none.
    Role(&'static str, Role, bool),
}

/// Follows `cues`, one after the other.
pub(crate) async fn follow(world: Arc<World>, cues: &'static [Cue]) {
    let alert = Alert::begun(&world);
    for (when, does) in cues {
        while !world.judge.known(|known| has_come(known, *when)) {
            sleep(LOOK).await;
        }
        world.note(format_args!("{when:?}: {does:?}"));
        act(&world, &alert, (*when, *does)).await;
    }
}

/// Goes and looks what became of every change that nobody knows about.
pub(crate) async fn look_after_doubts(world: Arc<World>) {
    loop {
        sleep(LOOK).await;
        for (key, step, done, attempt) in doubts(&world) {
            let command = Command::Resolve {
                step,
                done,
                output: None,
                comment: "I looked".to_owned(),
                who: person("bob"),
                attempt: Some(attempt),
            };
            hand_in(&world, &key, command).await;
        }
    }
}

/// Lets what was restored go on, and consents to whatever is asked.
pub(crate) async fn carry_on(world: Arc<World>) {
    loop {
        sleep(LOOK).await;
        for key in restored(&world) {
            let who = person("cat");
            hand_in(&world, &key, Command::Resume { who }).await;
        }
        for name in ["bob", "eve"] {
            let who = person(name);
            for (approval, key, digest) in pending(&world, &who) {
                hand_in(&world, &key, decided(approval, digest, (name, true))).await;
            }
        }
    }
}

/// The one run of a plan.
pub(crate) fn the_run(known: &Known) -> Option<(&RunKey, &Run)> {
    let mut runs = known.runs.iter().map(|(key, seen)| (key, &seen.run));
    runs.next()
}

fn has_come(known: &Known, when: When) -> bool {
    let (is, name): (fn(&Run, &engine::run::Step) -> bool, &str) = match when {
        When::Begin => return true,
        When::There => return the_run(known).is_some(),
        When::Asks(name) => (
            |_, step| {
                let consent = step.approval.as_deref();
                consent.is_some_and(|c| c.state == ApprovalState::Pending)
            },
            name,
        ),
        When::Does(name) => (|_, step| matches!(step.at, At::Dispatched { .. }), name),
        When::Changes(name) => (
            |run, step| {
                run.state().head.changed && step.attempts.iter().any(|t| t.worker.is_some())
            },
            name,
        ),
        When::Waits(name) => (
            |_, step| {
                matches!(
                    step.at,
                    At::Wait { .. } | At::Retry { .. } | At::Settlement { .. }
                )
            },
            name,
        ),
        When::Doubts(name) => (|_, step| step.at == At::Doubt, name),
        When::Fans(name) => (|_, step| step.fan_out.is_some(), name),
    };
    the_run(known).is_some_and(|(_, run)| {
        let step = run.state().steps.iter().find(|step| step.name == name);
        step.is_some_and(|step| is(run, step))
    })
}

async fn act(world: &Arc<World>, alert: &Alert, (when, does): Cue) {
    match does {
        Does::Approve(who) | Does::Reject(who) => {
            let approve = matches!(does, Does::Approve(_));
            if let Some((key, command)) = decision(world, when, (who, approve)) {
                hand_in(world, &key, command).await;
            }
        }
        Does::Cancel => {
            let key = world
                .judge
                .known(|known| the_run(known).map(|(key, _)| key.clone()));
            if let Some(key) = key {
                let command = Command::Cancel {
                    who: person("cat"),
                    reason: None,
                    if_unchanged: false,
                };
                hand_in(world, &key, command).await;
            }
        }
        Does::Alert(firing) => deliver(world, alert, firing).await,
        Does::Settings(revision) => set_settings(world, revision).await,
        Does::Role(who, role, active) => set_role(world, who, role, active).await,
    }
}

/// What somebody says to the question that is asked.
fn decision(world: &World, when: When, (who, approve): (&str, bool)) -> Option<(RunKey, Command)> {
    let When::Asks(name) = when else { return None };
    world.judge.known(|known| {
        let (key, run) = the_run(known)?;
        let step = run.state().named(name)?;
        let asked = &step.approval.as_deref()?.asked;
        let approval = ApprovalId {
            run: key.run,
            step: step.no,
            asking: asked.asking,
        };
        let command = decided(approval, asked.bytes.digest, (who, approve));
        Some((key.clone(), command))
    })
}

fn decided(approval: ApprovalId, digest: Digest, (who, approve): (&str, bool)) -> Command {
    Command::Decide {
        approval,
        digest,
        who: person(who),
        approve,
        comment: None,
        key_id: None,
        signature: None,
    }
}
