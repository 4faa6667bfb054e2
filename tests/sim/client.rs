//! Clients: each wants one run, and asks under one key until it has an answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::digest::Digest;
use engine::event::{RunCreated, Trigger, TriggerKind, WorkflowRef};
use engine::id::Tenant;
use engine::principal::Principal;
use engine::value::{INLINE_BYTES_MAX, Labels, Trust, Value};
use tokio::time::sleep;

use crate::alerts;
use crate::judge::Moment;
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
    /// It is a call of one action, and not of a workflow that is saved.
    pub(crate) ad_hoc: bool,
}

/// The request that a run was made for.
pub(crate) fn request_of(created: &RunCreated) -> String {
    match &created.trigger.fingerprint {
        Some(fingerprint) => alerts::name(fingerprint),
        None => created.labels.get(REQUEST).cloned().unwrap_or_default(),
    }
}

/// Asks until there is an answer.
pub(crate) async fn ask(world: Arc<World>, request: Request, after: Duration) {
    sleep(after).await;
    for _ in 0..TRIES_MAX {
        let door = world.door();
        let tenant = Tenant::default();
        let created = created(&world, &request);
        let submit = door.gateway.submit(&tenant, &request.name, created);
        let answer = door.life.ask(Box::pin(submit)).await;
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

fn created(world: &World, request: &Request) -> RunCreated {
    let (workflow, actions) = &world.saved.workflows[request.workflow];
    let inputs = workflow.inputs.iter().filter_map(|(name, input)| {
        let labels = Labels::new(Trust::Person, &format!("input:{name}"), Tenant::DEFAULT);
        let json = input.default.as_ref()?;
        let made = Value::make(json, labels, INLINE_BYTES_MAX).ok()?;
        Some((name.clone(), made.value))
    });
    RunCreated {
        workflow: (!request.ad_hoc).then(|| WorkflowRef {
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
        start_by: workflow.start_within.map(|within| world.now().plus(within)),
        traceparent: None,
        asked: Some(Digest::of(request.name.as_bytes())),
        keys: Vec::new(),
    }
}
