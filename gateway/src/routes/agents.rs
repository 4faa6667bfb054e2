//! Agents: what they can do, how they are set, how they are.

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use engine::code::Code;
use engine::id::Tenant;
use engine::manifest::{Action, Setting};
use engine::registry::{Agent, AgentConfig, Health, Instance, InstanceState, Kind, SettingValue};
use engine::time::Timestamp;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::gate::{Gate, Shared};
use crate::mirror::Kept;
use crate::page::page_of;
use crate::ports::HealthFailure;
use crate::problem::Problem;
use crate::request::{Args, CURSOR_ARG, LIMIT_ARG, Media, media, parse};
use crate::respond::{self, check_change};
use crate::route::{Keyed, Route, Shape};
use crate::settings::{self, Known};

const MERGE_PATCH: &str = "application/merge-patch+json";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/agents", Right::Read),
            "listAgents",
            "The agents, by name.",
            list,
        )
        .args(&[LIMIT_ARG, CURSOR_ARG])
        .answer(200, "The agents.", Shape::list::<Shown>()),
        Route::get(
            ("/api/v1/agents/{name}", Right::Read),
            "getAgent",
            "An agent: its actions with their schemas, its settings, its processes.",
            get,
        )
        .answer(200, "The agent.", Shape::json::<Shown>()),
        Route::delete(
            ("/api/v1/agents/{name}", Right::Configure),
            "deleteAgent",
            "Delete what is known of an agent that registered itself and is gone. Its settings stay, should it come back; runs that wait for it fail.",
            forget,
        )
        .empty(204, "It is forgotten."),
        Route::get(
            ("/api/v1/agents/{name}/config", Right::Read),
            "getAgentConfig",
            "The settings of an agent; secret ones as `{secret, set}`.",
            config,
        )
        .answer(200, "The settings by name.", Shape::any("application/json")),
        Route::patch(
            ("/api/v1/agents/{name}/config", Right::Configure),
            "setAgentConfig",
            "Change settings of an agent (RFC 7396); null takes one back to its default.",
            set,
        )
        .body(Shape::object(MERGE_PATCH))
        .answer(
            200,
            "The settings as they are now.",
            Shape::any("application/json"),
        ),
        Route::post(
            ("/api/v1/agents/{name}/health", Right::Read),
            "checkAgent",
            "Ask an agent how it is. It is started if need be.",
            health,
        )
        .keyed(Keyed::Natural)
        .answer(200, "What it answered.", Shape::json::<Checked>()),
    ]
}

/// An agent.
#[derive(Serialize, ToSchema)]
#[schema(as = Agent)]
pub(crate) struct Shown {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// For people.
    description: String,
    /// `native` or `json`.
    form: String,
    /// Whether anything proves that it is who it says. One that registers itself proves nothing.
    authenticated: bool,
    /// Why it could not say what it can do, where it registered and could not: then it offers nothing, and any setting
    /// with a text can be given to it.
    metadata_unavailable: Option<String>,
    /// stopped, starting, ready, unhealthy or backoff.
    state: &'static str,
    /// What it can do: `{id, description, permission, input, output, idempotent, lookup, settle_ms, timeout_ms}`.
    #[schema(value_type = Vec<Object>)]
    actions: Vec<Action>,
    /// What can be set: `{key, type, required, default, description, secret}`.
    #[schema(value_type = Vec<Object>)]
    settings: Vec<Setting>,
    /// What is set; secret ones as `{secret, set}`.
    #[schema(value_type = Object)]
    config: Map<String, Json>,
    /// The revision of the settings, which approvals bind.
    config_revision: u64,
    /// Its processes.
    instances: Vec<ShownInstance>,
    /// What it last answered about itself.
    health: Option<ShownHealth>,
}

/// A process of an agent.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentInstance)]
struct ShownInstance {
    /// Its name.
    instance: String,
    /// The worker that it belongs to.
    worker: String,
    /// Its version.
    version: Option<String>,
    /// starting, ready, backoff or stopped.
    #[schema(value_type = String)]
    state: InstanceState,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Starts after the first.
    restarts: u32,
    /// Why it went wrong last.
    last_error: Option<String>,
    /// When it is started again.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_start: Option<Timestamp>,
    /// What is to be known about it, such as what it does not offer and why.
    note: Option<String>,
}

/// What an agent says about itself.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentHealth)]
struct ShownHealth {
    /// Whether it can work.
    healthy: bool,
    /// In words.
    message: String,
    /// When it said so.
    #[schema(value_type = String, format = DateTime)]
    checked_at: Timestamp,
}

/// The answer of an agent that was asked how it is.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentCheck)]
struct Checked {
    /// Its name.
    name: String,
    /// `healthy` or `unhealthy`.
    state: &'static str,
    /// In words.
    message: String,
    /// What it said.
    health: ShownHealth,
}

impl ShownHealth {
    fn of(health: &Health) -> Self {
        Self {
            healthy: health.ok,
            message: health.message.clone(),
            checked_at: health.checked_at,
        }
    }
}

impl Shown {
    fn of(gate: &Gate, tenant: &Tenant, agent: &Agent) -> Self {
        let manifest = &agent.manifest;
        let instances = instances(gate, tenant, &manifest.name);
        let config = config_of(gate, tenant, &manifest.name);
        let newest = instances
            .iter()
            .filter_map(|(_, i)| i.value.health.as_ref());
        let newest = newest.max_by_key(|health| health.checked_at);
        Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            description: manifest.description.clone(),
            form: agent.form.clone(),
            authenticated: !agent.unauthenticated,
            metadata_unavailable: agent.metadata_unavailable.clone(),
            state: state(&instances),
            actions: manifest.actions.clone(),
            settings: manifest.settings.clone(),
            config: settings::shown(Known::of(agent), &config),
            config_revision: config.revision,
            health: newest.map(ShownHealth::of),
            instances: instances
                .into_iter()
                .map(|(_, kept)| ShownInstance::of(&kept.value))
                .collect(),
        }
    }
}

impl ShownInstance {
    fn of(instance: &Instance) -> Self {
        Self {
            instance: instance.instance.clone(),
            worker: instance.worker.clone(),
            version: instance.version.clone(),
            state: instance.state,
            since: instance.since,
            restarts: instance.restarts,
            last_error: instance.last_error.clone(),
            next_start: instance.next_start,
            note: instance.note.clone(),
        }
    }
}

/// The processes of an agent.
fn instances(gate: &Gate, tenant: &Tenant, name: &str) -> Vec<(String, Kept<Instance>)> {
    let prefix = format!("{}{name}/", Kind::Plugins.of(tenant));
    let now = gate.now();
    let mut instances = gate.plugins.under(&prefix);
    // One that registered and was not heard of is gone, also where its worker is gone and cannot say so.
    instances.retain(|(_, kept)| kept.value.expires_at.is_none_or(|at| now < at));
    instances
}

/// The best that can be said of an agent's processes.
fn state(instances: &[(String, Kept<Instance>)]) -> &'static str {
    let of = |wanted| {
        let mut all = instances.iter().map(|(_, kept)| &kept.value);
        all.find(|instance| instance.state == wanted)
    };
    if let Some(ready) = of(InstanceState::Ready) {
        let sick = ready.health.as_ref().is_some_and(|health| !health.ok);
        return if sick { "unhealthy" } else { "ready" };
    }
    if of(InstanceState::Starting).is_some() {
        return "starting";
    }
    match of(InstanceState::Backoff) {
        Some(_) => "backoff",
        None => "stopped",
    }
}

fn find(gate: &Gate, tenant: &Tenant, name: &str) -> Result<Kept<Agent>, Problem> {
    gate.agents
        .get(tenant, name)
        .ok_or_else(|| Problem::not_found("agent", name))
}

fn config_of(gate: &Gate, tenant: &Tenant, name: &str) -> AgentConfig {
    let kept = gate.agent_config.get(tenant, name);
    kept.map(|kept| AgentConfig::clone(&kept.value))
        .unwrap_or_default()
}

async fn list(State(gate): State<Shared>, caller: Caller, args: Args) -> Result<Response, Problem> {
    let agents = gate.agents.list(&caller.tenant).into_iter();
    let page = page_of(agents, &args.page()?, |(name, _)| name);
    let shown = page.map(|(_, kept)| Shown::of(&gate, &caller.tenant, &kept.value));
    Ok(respond::json(&shown))
}

async fn get(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let agent = find(&gate, &caller.tenant, &name)?;
    Ok(respond::json(&Shown::of(
        &gate,
        &caller.tenant,
        &agent.value,
    )))
}

async fn forget(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let agent = find(&gate, &caller.tenant, &name)?;
    let shown = Shown::of(&gate, &caller.tenant, &agent.value);
    check_change(&headers, Some(&respond::json_tag(&shown)))?;
    if !agent.value.unauthenticated {
        let why = format!(
            "the agent {name} is installed with the engine: take its program out of the plugins' folder, and start the engine again"
        );
        return Err(Problem::conflict(Code::Conflict, why));
    }
    let there = shown.instances.len();
    if there > 0 {
        let why =
            format!("instances of the agent {name} that are registered: {there}; stop them first");
        return Err(Problem::conflict(Code::Conflict, why));
    }
    gate.agents.delete(&caller.tenant, &name, agent.at).await?;
    tracing::info!(agent = name, by = %caller.who, "an agent that is gone was deleted");
    Ok(respond::empty())
}

async fn config(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let agent = find(&gate, &caller.tenant, &name)?;
    let config = config_of(&gate, &caller.tenant, &name);
    let shown = settings::shown(Known::of(&agent.value), &config);
    Ok(respond::tagged(&shown, &gate.revision_tag(config.revision)))
}

async fn set(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    media(&headers, &[Media::MergePatch])?;
    let patch: Map<String, Json> = parse(&body)?;
    let agent = find(&gate, &caller.tenant, &name)?;
    let known = Known::of(&agent.value);
    let kept = gate.agent_config.get(&caller.tenant, &name);
    let old = kept.as_ref().map(|kept| AgentConfig::clone(&kept.value));
    let old = old.unwrap_or_default();
    check_change(&headers, Some(&gate.revision_tag(old.revision)))?;
    let seal = |key: &str, value: &Json| {
        let bound = engine::registry::setting_seal(&caller.tenant, &name, key);
        let plain = engine::value::canonical(value);
        SettingValue::Sealed(gate.seal(&bound, &plain))
    };
    let new = settings::patched(known, &old, &patch, seal)?;
    let shown = settings::shown(known, &new);
    let tag = gate.revision_tag(new.revision);
    if new != old {
        let at = kept.map(|kept| kept.at);
        gate.agent_config
            .put(&caller.tenant, &name, new, at)
            .await?;
        tracing::info!(agent = name, by = %caller.who, "settings of an agent were changed");
    }
    let mut response = respond::plain(StatusCode::OK, &shown);
    if let Ok(tag) = http::HeaderValue::from_str(&tag) {
        response.headers_mut().insert(http::header::ETAG, tag);
    }
    Ok(response)
}

async fn health(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    find(&gate, &caller.tenant, &name)?;
    let asked = gate.parts.agent_health.check(&caller.tenant, &name).await;
    let health = asked.unwrap_or_else(|failure| Health {
        ok: false,
        message: told(&failure),
        checked_at: gate.now(),
    });
    let checked = Checked {
        name,
        state: if health.ok { "healthy" } else { "unhealthy" },
        message: health.message.clone(),
        health: ShownHealth::of(&health),
    };
    Ok(respond::plain(StatusCode::OK, &checked))
}

/// An agent that cannot be asked is not well, and this says why.
fn told(failure: &HealthFailure) -> String {
    format!("{}: {failure}", Code::PluginUnavailable)
}
