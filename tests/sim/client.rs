//! Clients: each wants one run, and asks under one key until it has an answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::digest::Digest;
use engine::event::{RunCreated, Trigger, TriggerKind, WorkflowRef};
use engine::id::{RunId, RunKey, Shard, Tenant};
use engine::key::{CREATE_WITHIN_MS, KeyState, PlannedRun, idempotency_key};
use engine::principal::Principal;
use engine::record::Cause;
use engine::run::{Run, Stamp};
use store::port::KeyValue;
use store::{Backend, Error};
use tokio::time::sleep;

use crate::judge::Moment;
use crate::roles::SHARDS;
use crate::workflows::saved;
use crate::world::World;

/// The label that carries a request's name into its run.
const REQUEST: &str = "request";
/// A client gives up after so many tries.
const TRIES_MAX: u32 = 60;

/// What a client wants.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Its key.
    pub(crate) name: String,
    /// Place of the workflow among those saved.
    pub(crate) workflow: usize,
    pub(crate) requester: Principal,
}

/// The request that a run was made for.
pub(crate) fn request_of(created: &RunCreated) -> String {
    created.labels.get(REQUEST).cloned().unwrap_or_default()
}

/// Asks until there is an answer.
pub(crate) async fn ask(world: Arc<World>, request: Request, after: Duration) {
    sleep(after).await;
    for _ in 0..TRIES_MAX {
        let life = world.door();
        let ports = world.ports(&life);
        let answer = life.ask(submit(&ports, &request)).await;
        let cut = world.throw(|dice| dice.chance(100_000)) && !world.weather.is_calm();
        match answer {
            Some(Ok(run)) if !cut => {
                world.note(format_args!("accepted {} as {}", request.name, run.run));
                let request = &request.name;
                world.see(&Moment::Accepted { request, run: &run });
                return;
            }
            Some(Ok(_) | Err(_)) | None => {
                let ms = world.throw(|dice| dice.between(50, 2_000));
                sleep(Duration::from_millis(ms)).await;
            }
        }
    }
    world.note(format_args!("{} gave up", request.name));
}

/// What the gateway does with a submit under a key: the key first, then the run, then the answer.
async fn submit(ports: &Backend, request: &Request) -> Result<RunKey, Error> {
    let tenant = Tenant::default();
    let name = idempotency_key(&request.requester, "/runs", &request.name);
    for _ in 0..4 {
        let key = RunKey {
            tenant: tenant.clone(),
            run: claim(ports, &tenant, &name, request).await?,
        };
        if !ports.journal.read(&key, 0).await?.is_empty() {
            return Ok(key);
        }
        let age = ports.clock.now().millis_since(key.run.created_at());
        if age < CREATE_WITHIN_MS {
            create(ports, &key, &name, request).await?;
            return Ok(key);
        }
        // Too late for that id: a fresh one takes its place.
        replace(ports, &tenant, &name, request).await?;
    }
    Err(Error::Unavailable("the key changes all the time".to_owned()))
}

async fn claim(
    ports: &Backend,
    tenant: &Tenant,
    name: &str,
    request: &Request,
) -> Result<RunId, Error> {
    let now = ports.clock.now();
    let value = state(ports, request).encode();
    let week = engine::duration::Duration::from_secs(7 * 86_400);
    match ports.keys.create(tenant, name, &value, now.plus(week)).await {
        Ok(_) | Err(Error::Conflict(_)) => {}
        Err(error) => return Err(error),
    }
    // Read back: after an ambiguous answer it is not known whose value stands.
    let (_, planned) = kept(ports, tenant, name).await?;
    Ok(planned.run)
}

async fn kept(
    ports: &Backend,
    tenant: &Tenant,
    name: &str,
) -> Result<(KeyValue, PlannedRun), Error> {
    let kept = ports.keys.get(tenant, name, ports.clock.now()).await?;
    let gone = || Error::Unavailable("the key is gone".to_owned());
    let kept = kept.ok_or_else(gone)?;
    match KeyState::decode(&kept.value) {
        Ok(KeyState::Submit { run, .. }) if !run.gone => Ok((kept, run)),
        other => Err(Error::Corrupt(format!("the key holds {other:?}"))),
    }
}

async fn replace(
    ports: &Backend,
    tenant: &Tenant,
    name: &str,
    request: &Request,
) -> Result<(), Error> {
    let (old, planned) = kept(ports, tenant, name).await?;
    let key = RunKey {
        tenant: tenant.clone(),
        run: planned.run,
    };
    if !ports.journal.read(&key, 0).await?.is_empty() {
        return Ok(());
    }
    let value = state(ports, request).encode();
    let put = ports.keys.put(tenant, name, &old, &value, old.expires).await;
    match put {
        Ok(_) | Err(Error::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn state(ports: &Backend, request: &Request) -> KeyState {
    let shard = ports.random.bits() % u64::from(SHARDS);
    let shard = Shard(u16::try_from(shard).expect("below the number of shards"));
    let run = RunId::new(ports.clock.now(), shard, ports.random.bits());
    KeyState::Submit {
        body: Digest::of(request.name.as_bytes()),
        run: PlannedRun::new(&saved().workflows[request.workflow].0.name, run),
    }
}

async fn create(
    ports: &Backend,
    key: &RunKey,
    name: &str,
    request: &Request,
) -> Result<(), Error> {
    let now = ports.clock.now();
    let stamp = Stamp {
        at: now,
        nonce: ports.random.nonce(),
        cause: Cause {
            id: ports.random.nonce(),
            command: "Create".to_owned(),
        },
    };
    let created = created(request, name, now);
    let (_, record, events) = Run::create(key.clone(), created, None, stamp);
    match ports.journal.append(&record, &events).await {
        // Somebody with the same key was faster, or an earlier try of ours did arrive.
        Ok(_) | Err(Error::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn created(request: &Request, name: &str, now: engine::time::Timestamp) -> RunCreated {
    let (workflow, actions) = &saved().workflows[request.workflow];
    let inputs = workflow.inputs.iter().filter_map(|(name, input)| {
        let labels = engine::value::Labels::new(
            engine::value::Trust::Person,
            &format!("input:{name}"),
            Tenant::DEFAULT,
        );
        let json = input.default.as_ref()?;
        let made = engine::value::Value::make(json, labels, 8 * 1024).ok()?;
        Some((name.clone(), made.value))
    });
    RunCreated {
        workflow: Some(WorkflowRef {
            name: workflow.name.clone(),
            revision: 1,
        }),
        definition: workflow.digest(),
        actions: actions.clone(),
        inputs: inputs.collect(),
        labels: BTreeMap::from([(REQUEST.to_owned(), request.name.clone())]),
        requester: request.requester.clone(),
        trigger: Trigger {
            kind: TriggerKind::Api,
            hook: None,
            delivery: None,
            redelivery_of: None,
            fingerprint: None,
            event: None,
        },
        permission: workflow.permission,
        timeout_ms: workflow.timeout.millis(),
        start_by: workflow.start_within.map(|within| now.plus(within)),
        traceparent: None,
        asked: Some(Digest::of(request.name.as_bytes())),
        keys: vec![name.to_owned()],
    }
}
