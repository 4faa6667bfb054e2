//! Ad-hoc calls: a run of one step, with the same governance as every other.
//!
//! The definition of such a run depends on the action and on which parameters are given, and the parameters themselves
//! are the run's inputs. So the same call shares one pinned definition, however often it is made.

use std::collections::BTreeMap;

use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use bytes::Bytes;
use engine::definition::{Input, InputType, Mode, Step, StepKind, Workflow};
use engine::digest::Digest;
use engine::duration::Duration;
use engine::event::RunCreated;
use engine::language;
use engine::manifest::{Action, ActionName, Actions, Pinned};
use engine::schema::Schema;
use engine::value::{Labels, Trust};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::gate::{Gate, Shared};
use crate::plans::pinned_action;
use crate::problem::{Problem, Spot};
use crate::request::{Origin, json};
use crate::room::Held;
use crate::route::{Keyed, Route, Shape};
use crate::routes::runs::create::{Accepted, Submit, check_labels, trigger};
use crate::show::run::ShownRun;
use crate::submit::{Labelled, Order};

/// The id of the only step.
const STEP: &str = "call";
/// Everything, waiting for an approval included.
const TIMEOUT: Duration = Duration::from_secs(7 * 86_400);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            ("/api/v1/agents/{name}/actions/{action}", Right::Invoke),
            "invokeAction",
            "Call one action: a run of one step. READ takes operator, MODIFY engineer, ADMIN admin.",
            invoke,
        )
        .keyed(Keyed::Own)
        .waits()
        .body(Shape::json::<Call>())
        .answer(202, "It is accepted, durably.", Shape::json::<Accepted>())
        .answer(200, "With `Prefer: wait=SECONDS`: it has ended.", Shape::json::<ShownRun>()),
    ]
}

/// A call of an action.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActionCall)]
struct Call {
    /// Its parameters, as the action's schema says.
    #[serde(default)]
    #[schema(value_type = Object)]
    params: Map<String, Json>,
    /// Labels of the run.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

async fn invoke(
    State(gate): State<Shared>,
    caller: Caller,
    origin: Origin,
    Path((agent, action)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    (held, headers): (Held, HeaderMap),
    body: Bytes,
) -> Result<Response, Problem> {
    let submit = Submit::new(&gate, &caller, (&headers, uri.path(), &body))?;
    let name = ActionName { agent, action };
    let order = order(&submit, &name, (&headers, &body), origin).await;
    drop(body);
    held.give_back();
    match order {
        Ok(order) => submit.run("", order).await,
        // The same request may have been right when it came first.
        Err(problem) => submit.again(problem).await,
    }
}

async fn order(
    submit: &Submit<'_>,
    name: &ActionName,
    (headers, body): (&HeaderMap, &[u8]),
    origin: Origin,
) -> Result<Order, Problem> {
    let (gate, caller) = (submit.gate, submit.caller);
    let call: Call = json(headers, body)?;
    check_labels(&call.labels)?;
    let action = find(gate, caller, name)?;
    caller.must_reach(action.permission, &format!("the action {name}"))?;
    let params = checked(&action, call.params)?;
    let (workflow, inputs) = definition(name, &action, &params);
    let digest = pin(gate, caller, &workflow).await?;
    let pinned = Pinned::new(&name.agent, &action);
    gate.store_def(&caller.tenant, pinned.digest(), &pinned.bytes())
        .await?;
    let inputs = Labelled::new(&inputs, |input| {
        let source = format!("input:{input}");
        Labels::new(Trust::Person, &source, caller.tenant.as_str())
    })?;
    Ok(Order {
        created: RunCreated {
            workflow: None,
            definition: digest,
            actions: vec![pinned_action(name, &action, pinned.digest())],
            inputs: inputs.values,
            labels: call.labels,
            requester: caller.who.clone(),
            trigger: trigger(headers),
            permission: action.permission,
            timeout_ms: TIMEOUT.millis(),
            start_by: None,
            traceparent: Some(origin.traceparent),
            asked: Some(Digest::of(body)),
            keys: submit.keys(),
        },
        blobs: inputs.blobs,
        failure: None,
    })
}

fn find(gate: &Gate, caller: &Caller, name: &ActionName) -> Result<Action, Problem> {
    let agent = gate
        .agents
        .get(&caller.tenant, &name.agent)
        .ok_or_else(|| Problem::not_found("agent", &name.agent))?;
    let manifest = &agent.value.manifest;
    manifest.action(&name.action).cloned().ok_or_else(|| {
        let known: Vec<&str> = manifest.actions.iter().map(|a| a.id.as_str()).collect();
        Problem::not_found("action", &name.to_string())
            .hint(format!("its actions are {}", known.join(", ")))
    })
}

/// The parameters with the types that the schema gives them.
fn checked(action: &Action, params: Map<String, Json>) -> Result<Map<String, Json>, Problem> {
    let schema = Schema::compile(&action.input).map_err(|error| {
        tracing::error!(action = action.id, %error, "the schema of an action cannot be used");
        Problem::internal()
    })?;
    let params = schema.coerce(Json::Object(params));
    schema.validate(&params).map_err(|violations| {
        let spots: Vec<Spot> = violations
            .into_iter()
            .map(|v| Spot::at(format!("/params{}", v.pointer), v.message))
            .collect();
        let detail = match spots.as_slice() {
            [one] => format!("{}: {}", one.pointer, one.message),
            many => format!("{} parameters are wrong", many.len()),
        };
        Problem::invalid(detail, spots)
    })?;
    match params {
        Json::Object(params) => Ok(params),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            Err(Problem::internal())
        }
    }
}

/// The definition of a call with these parameters, and the inputs that carry them.
fn definition(
    name: &ActionName,
    action: &Action,
    params: &Map<String, Json>,
) -> (Workflow, Map<String, Json>) {
    let mut with = Map::new();
    let mut declared = BTreeMap::new();
    let mut inputs = Map::new();
    for (param, value) in params {
        match kind_of(value).filter(|_| is_identifier(param)) {
            Some(kind) => {
                with.insert(param.clone(), format!("${{{{ inputs.{param} }}}}").into());
                declared.insert(param.clone(), input(kind));
                inputs.insert(param.clone(), value.clone());
            }
            // What no input can carry is written into the definition.
            None => {
                with.insert(param.clone(), literal(value));
            }
        }
    }
    let step = Step {
        id: STEP.to_owned(),
        kind: StepKind::Uses {
            action: name.clone(),
            with: Json::Object(with),
        },
        needs: Vec::new(),
        condition: None,
        for_each: None,
        timeout: None,
        retry: None,
        continue_on_error: false,
        time_range: None,
        approval: None,
    };
    let workflow = Workflow {
        name: "action".to_owned(),
        description: Some(format!("an ad-hoc call of {name}")),
        labels: BTreeMap::new(),
        owner: None,
        runbook: None,
        on: Vec::new(),
        inputs: declared,
        vars: BTreeMap::new(),
        mode: Mode::Guided,
        permission: action.permission,
        timeout: TIMEOUT,
        start_within: None,
        steps: vec![step],
        outputs: BTreeMap::new(),
        on_failure: Vec::new(),
        finally: Vec::new(),
    };
    (workflow, inputs)
}

fn input(kind: InputType) -> Input {
    Input {
        description: None,
        kind,
        schema: None,
        default: None,
    }
}

fn kind_of(value: &Json) -> Option<InputType> {
    match value {
        Json::Null => None,
        Json::Bool(_) => Some(InputType::Boolean),
        Json::Number(number) if number.is_f64() => Some(InputType::Number),
        Json::Number(_) => Some(InputType::Integer),
        Json::String(_) => Some(InputType::String),
        Json::Array(_) => Some(InputType::Array),
        Json::Object(_) => Some(InputType::Object),
    }
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A value as a template that means exactly it.
fn literal(value: &Json) -> Json {
    match value {
        Json::String(text) => text.replace("${{", "$${{").into(),
        Json::Array(items) => items.iter().map(literal).collect(),
        Json::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), literal(value)))
            .collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
    }
}

/// Stores the definition, once it is sure that a run of it can be decided.
async fn pin(gate: &Gate, caller: &Caller, workflow: &Workflow) -> Result<Digest, Problem> {
    let bytes = workflow.bytes();
    let actions: &Actions = &gate.actions();
    language::plan(&bytes, actions).map_err(|why| {
        let why = why.replacen("/steps/0/with", "/params", 1);
        Problem::invalid(format!("the call cannot be made: {why}"), Vec::new())
    })?;
    let digest = workflow.digest();
    gate.store_def(&caller.tenant, digest, &bytes).await?;
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::principal::Permission;
    use serde_json::json;

    fn action() -> Action {
        let schema = json!({
            "type": "object",
            "properties": {"query": {"type": "string"}, "limit": {"type": "number"}, "x-y": {"type": "string"}},
            "required": ["query"],
        });
        Action {
            id: "read".to_owned(),
            description: String::new(),
            permission: Permission::Read,
            input: schema,
            output: None,
            idempotent: false,
            lookup: false,
            settle_ms: None,
            timeout_ms: None,
        }
    }

    fn name() -> ActionName {
        "demo/read".parse().expect("a name")
    }

    fn map(json: Json) -> Map<String, Json> {
        json.as_object().cloned().expect("an object")
    }

    #[test]
    fn two_calls_with_other_values_share_a_definition_that_compiles() {
        let actions = Actions::from([(name(), action())]);
        let of = |params| {
            let params = checked(&action(), map(params)).expect("right");
            let (workflow, inputs) = definition(&name(), &action(), &params);
            language::plan(&workflow.bytes(), &actions).expect("it compiles");
            (workflow.digest(), inputs)
        };
        let (one, inputs) = of(json!({"query": "a ${{ secrets.x }}", "limit": 3}));
        let (two, _) = of(json!({"query": "b", "limit": 4.5}));
        assert_eq!(one, two);
        assert_eq!(inputs["query"], "a ${{ secrets.x }}");
        assert_eq!(inputs["limit"].to_string(), "3.0", "the schema says number");
    }

    #[test]
    fn no_parameter_is_ever_evaluated() {
        let actions = Actions::from([(name(), action())]);
        let params = map(json!({"query": "q", "x-y": "$${{ 1 }} ${{ inputs.query }}"}));
        let (workflow, _) = definition(&name(), &action(), &params);
        let plan = language::plan(&workflow.bytes(), &actions).expect("it compiles");
        let engine::plan::Work::Uses(engine::plan::Tree::Map(with)) = &plan.steps[0].work else {
            panic!("another form of work");
        };
        let engine::plan::Tree::Literal(text) = &with["x-y"] else {
            panic!("it would be evaluated: {:?}", with["x-y"]);
        };
        assert_eq!(*text, json!("$${{ 1 }} ${{ inputs.query }}"));
    }

    #[test]
    fn wrong_parameters_are_all_told() {
        let problem = checked(&action(), map(json!({"limit": "many"}))).expect_err("wrong");
        assert_eq!(problem.status.as_u16(), 422);
        assert_eq!(problem.errors.len(), 2);
    }
}
