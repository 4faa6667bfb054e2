//! People: they consent, refuse, look away, cancel, settle doubts, lose their rights.

use std::sync::Arc;
use std::time::Duration;

use engine::code::Code;
use engine::command::Command;
use engine::definition::Hook;
use engine::digest::Digest;
use engine::event::ApprovalState;
use engine::id::{ApprovalId, Nonce, RunKey, Tenant};
use engine::principal::{Principal, Role};
use engine::registry::{AgentConfig, ApiKey, Form, Kind, SavedHook, def_key, encode};
use engine::run::At;
use store::clock::Random;
use store::port::Expect;
use tokio::time::sleep;

use crate::judge::Moment;
use crate::workflows::AGENT;
use crate::world::World;

/// Everybody, with the role that they begin with.
pub(crate) const PEOPLE: [(&str, Role); 5] = [
    ("ann", Role::Engineer),
    ("bob", Role::Admin),
    ("cat", Role::Operator),
    ("dan", Role::Engineer),
    ("eve", Role::Admin),
];

/// Somebody looks at what is to be decided so often.
const LOOK: Duration = Duration::from_millis(1_500);

pub(crate) fn person(name: &str) -> Principal {
    Principal::Key(name.to_owned())
}

/// Puts into the registry what must be there before anything begins.
pub(crate) async fn settle_in(world: &World) {
    let registry = world.ground.backend().registry;
    let tenant = Tenant::default();
    let saved = world.saved;
    let definitions = saved.workflows.iter().map(|(w, _)| w.bytes());
    let pinned = saved.pinned.iter().map(engine::manifest::Pinned::bytes);
    for bytes in definitions.chain(pinned) {
        let key = def_key(&tenant, Digest::of(&bytes));
        let put = registry.put(&key, &bytes, Expect::Absent).await;
        put.expect("nothing goes wrong yet");
    }
    save_hook(world, &saved.hook).await;
    for (name, role) in PEOPLE {
        set_role(world, name, role, true).await;
    }
}

async fn save_hook(world: &World, hook: &Hook) {
    let saved = SavedHook {
        revision: 1,
        digest: Digest::ZERO,
        text: String::new(),
        form: Form::Yaml,
        hook: hook.clone(),
        made_secret: None,
        saved_at: world.now(),
        saved_by: person("bob"),
        deleted: false,
    };
    let key = Kind::Hooks.key(&Tenant::default(), &hook.name);
    let registry = world.ground.backend().registry;
    let put = registry.put(&key, &encode(&saved), Expect::Absent).await;
    put.expect("nothing goes wrong yet");
}

/// Gives somebody a role, or takes it away.
pub(crate) async fn set_role(world: &World, name: &str, role: Role, active: bool) {
    let registry = world.ground.backend().registry;
    let now = world.now();
    let who = ApiKey {
        serial: Nonce([1; 16]),
        secret_hash: String::new(),
        role,
        description: None,
        created_by: person("bob"),
        created_at: now,
        revoked_at: (!active).then_some(now),
        revoked_by: None,
    };
    let key = Kind::ApiKeys.key(&Tenant::default(), name);
    let old = registry.get(&key).await.expect("nothing goes wrong here");
    let expect = old.map_or(Expect::Absent, |item| Expect::Revision(item.revision));
    let put = registry.put(&key, &encode(&who), expect).await;
    put.expect("nobody else changes roles");
    world.note(format_args!("{name} is {role}, active: {active}"));
}

/// Rights and settings change while runs go on.
pub(crate) async fn administrate(world: Arc<World>) {
    let mut revision = 0;
    while !world.weather.is_calm() {
        let ms = world.throw(|dice| dice.between(5_000, 40_000));
        sleep(Duration::from_millis(ms)).await;
        match world.throw(|dice| dice.between(0, 5)) {
            0 => set_role(&world, "dan", Role::Engineer, false).await,
            1 => set_role(&world, "dan", Role::Engineer, true).await,
            2 => set_role(&world, "ann", Role::Operator, true).await,
            3 => set_role(&world, "ann", Role::Engineer, true).await,
            4 => set_role(&world, "cat", Role::Operator, revision % 2 == 0).await,
            _ => {
                revision += 1;
                set_settings(&world, revision).await;
            }
        }
    }
    for (name, role) in PEOPLE {
        set_role(&world, name, role, true).await;
    }
}

pub(crate) async fn set_settings(world: &World, revision: u64) {
    let registry = world.ground.backend().registry;
    let config = AgentConfig {
        revision,
        ..AgentConfig::default()
    };
    let key = Kind::AgentConfig.key(&Tenant::default(), AGENT);
    let old = registry.get(&key).await.expect("nothing goes wrong here");
    let expect = old.map_or(Expect::Absent, |item| Expect::Revision(item.revision));
    let put = registry.put(&key, &encode(&config), expect).await;
    put.expect("nobody else changes settings");
    world.lab.set(revision);
    world.note(format_args!("settings {revision}"));
}

/// Somebody who looks at approvals and doubts, and does something about them, or not.
pub(crate) async fn decide(world: Arc<World>, name: &'static str) {
    let who = person(name);
    let mut ignored: Vec<ApprovalId> = Vec::new();
    loop {
        sleep(LOOK).await;
        let is_calm = world.weather.is_calm();
        if is_calm {
            ignored.clear();
        }
        for (approval, key, digest) in pending(&world, &who) {
            if ignored.contains(&approval) {
                continue;
            }
            let throw = world.throw(|dice| dice.between(0, 99));
            if throw < 15 && !is_calm {
                ignored.push(approval);
            } else if throw < 50 || is_calm {
                let shown = if throw == 16 && !is_calm {
                    Digest::ZERO
                } else {
                    digest
                };
                let command = Command::Decide {
                    approval,
                    digest: shown,
                    who: who.clone(),
                    approve: throw % 8 != 1,
                    comment: None,
                    key_id: None,
                    signature: None,
                };
                if throw % 5 == 2 && !is_calm {
                    // Somebody clicks twice.
                    hand_in(&world, &key, command.clone()).await;
                }
                hand_in(&world, &key, command).await;
            }
        }
        for (key, step, made, attempt) in doubts(&world) {
            let command = Command::Resolve {
                step,
                done: made,
                output: None,
                comment: "I looked".to_owned(),
                who: who.clone(),
                attempt: Some(attempt),
            };
            hand_in(&world, &key, command).await;
        }
        for key in restored(&world) {
            let throw = world.throw(|dice| dice.between(0, 99));
            if throw < 25 || is_calm {
                let who = who.clone();
                hand_in(&world, &key, Command::Resume { who }).await;
            } else if throw < 28 {
                hand_in(&world, &key, cancelled(who.clone(), false)).await;
            }
        }
    }
}

fn cancelled(who: Principal, if_unchanged: bool) -> Command {
    Command::Cancel {
        who,
        reason: None,
        if_unchanged,
    }
}

/// What waits for a decision that this person has not made.
pub(crate) fn pending(world: &World, who: &Principal) -> Vec<(ApprovalId, RunKey, Digest)> {
    world.judge.known(|known| {
        let mut pending = Vec::new();
        for (key, seen) in known.sound() {
            for step in &seen.run.state().steps {
                let asked = step.questions.iter();
                for question in asked.filter(|q| q.state == ApprovalState::Pending) {
                    let approval = ApprovalId {
                        run: key.run,
                        step: step.no,
                        asking: question.asked.asking,
                    };
                    pending.push((approval, key.clone(), question.asked.bytes.digest));
                }
                let Some(consent) = &step.approval else {
                    continue;
                };
                let decided = consent.decisions.iter().any(|(d, _)| d.who == *who);
                if consent.state == ApprovalState::Pending && !decided {
                    let approval = ApprovalId {
                        run: key.run,
                        step: step.no,
                        asking: consent.asked.asking,
                    };
                    pending.push((approval, key.clone(), consent.asked.bytes.digest));
                }
            }
        }
        pending
    })
}

/// Steps in doubt of which somebody who goes and looks can tell what became of them.
pub(crate) fn doubts(world: &World) -> Vec<(RunKey, String, bool, u32)> {
    world.judge.known(|known| {
        let mut doubts = Vec::new();
        for (key, seen) in known.sound() {
            for step in seen.run.state().steps.iter().filter(|s| s.at == At::Doubt) {
                let idempotency_key = format!("{}.{}", key.run, step.no.0);
                if let Some(made) = world.lab.look(&idempotency_key) {
                    doubts.push((key.clone(), step.name.clone(), made, step.last_attempt()));
                }
            }
        }
        doubts
    })
}

/// Runs out of a backup that wait for somebody to let them go on.
pub(crate) fn restored(world: &World) -> Vec<RunKey> {
    world.judge.known(|known| {
        let parked = known.sound().filter(|(_, seen)| {
            let why = seen.run.state().head.parked.as_ref();
            why.is_some_and(|why| why.code == Code::Restored.as_str())
        });
        parked.map(|(key, _)| key.clone()).collect()
    })
}

/// Somebody stops a run.
pub(crate) async fn cancel(world: Arc<World>, after: Duration) {
    sleep(after).await;
    let runs: Vec<RunKey> = world.judge.known(|known| {
        let open = known
            .sound()
            .filter(|(_, seen)| !seen.run.status().is_end());
        open.map(|(key, _)| key.clone()).collect()
    });
    if !runs.is_empty() {
        let (key, if_unchanged) = world.throw(|dice| (dice.pick(&runs), dice.chance(300_000)));
        hand_in(&world, &key, cancelled(person("cat"), if_unchanged)).await;
    }
}

/// Hands a command in, under one id, until it is answered or nobody cares any more.
pub(crate) async fn hand_in(world: &Arc<World>, key: &RunKey, command: Command) {
    let id = world.random.nonce();
    for _ in 0..5 {
        let door = world.door();
        let asking = door.gateway.ask(key, id, &command);
        match door.life.ask(Box::pin(asking)).await {
            Some(Ok(true)) => {
                world.note(format_args!("{} of {}: decided", command.name(), key.run));
                let (run, command) = (key, &command);
                world.see(&Moment::Settled { run, id, command });
                return;
            }
            Some(Err(why)) => world.note(format_args!("{} of {}: {why}", command.name(), key.run)),
            Some(Ok(false)) | None => {}
        }
        sleep(Duration::from_secs(1)).await;
    }
}
