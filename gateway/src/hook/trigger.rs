//! Which workflows want an event, and with which inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::code::Code;
use engine::definition::{HookTrigger, Per, Resolved, Workflow};
use engine::event::Failure;
use engine::expression::{Error, Rendered, Values};
use engine::language;
use engine::plan::{PlanTrigger, Tree};
use engine::value::{Labels, Trust};
use serde_json::{Map, Value as Json};

use crate::plans::{Ready, Triggered, Unready};
use crate::submit::Labelled;

/// A workflow that wants an event.
pub(crate) struct Wanted {
    pub(crate) made: Result<Arc<Ready>, Unready>,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// What the end of the alert does to the run.
    pub(crate) resolved: Resolved,
    /// Its inputs, or why there are none: then the run fails at once, for an event is never swallowed.
    pub(crate) inputs: Result<Labelled, Failure>,
}

/// Whose triggers are asked, and for what.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) hook: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) event: &'a Json,
    /// Only triggers of this kind; of a generic hook all.
    pub(crate) per: Option<Per>,
    /// Only triggers that the end of an alert starts.
    pub(crate) at_end: bool,
}

/// The workflows that want an event, each once: of several triggers of one workflow the first that fits counts.
pub(crate) fn wanted(triggered: &Triggered, asked: Asked<'_>) -> Vec<Wanted> {
    let all = triggered.iter();
    all.filter_map(|(made, workflow, places)| {
        places
            .iter()
            .find_map(|place| one(made, workflow, *place, asked))
    })
    .collect()
}

/// Whether any trigger is of that kind.
pub(crate) fn has(triggered: &Triggered, per: Per) -> bool {
    triggered
        .iter()
        .any(|(_, workflow, places)| places.iter().any(|place| workflow.on[*place].per == per))
}

fn one(
    made: &Result<Arc<Ready>, Unready>,
    workflow: &Workflow,
    place: usize,
    asked: Asked<'_>,
) -> Option<Wanted> {
    let trigger = workflow.on.get(place)?;
    if !is_asked(trigger, asked) {
        return None;
    }
    let inputs = match made {
        Err(unready) => Err(failed(format!(
            "the workflow does not fit the agents as they are now: {}",
            unready.why
        ))),
        Ok(ready) => evaluate(ready.plan.triggers.get(place)?, workflow, asked).transpose()?,
    };
    Some(Wanted {
        made: made.clone(),
        name: workflow.name.clone(),
        labels: workflow.labels.clone(),
        resolved: trigger.resolved,
        inputs,
    })
}

fn is_asked(trigger: &HookTrigger, asked: Asked<'_>) -> bool {
    let kind = asked.per.is_none_or(|per| trigger.per == per);
    kind && (!asked.at_end || trigger.resolved == Resolved::Start)
}

/// The inputs of a run; `Ok(None)`: the trigger does not want the event.
fn evaluate(
    trigger: &PlanTrigger,
    workflow: &Workflow,
    asked: Asked<'_>,
) -> Result<Option<Labelled>, Failure> {
    let values = BTreeMap::from([("event".to_owned(), asked.event.clone())]);
    if let Some(condition) = &trigger.condition {
        match condition.test(&values) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(failed(format!("if: {error}"))),
        }
    }
    let mut given = Map::new();
    let mut from_event = std::collections::BTreeSet::new();
    for (name, tree) in &trigger.with {
        let value = render(tree, &values).map_err(|e| failed(format!("with.{name}: {e}")))?;
        if tree.names().mentions("event") {
            from_event.insert(name.as_str());
        }
        given.insert(name.clone(), value);
    }
    let inputs = language::inputs(workflow, &given).map_err(|bad| {
        let all: Vec<String> = bad
            .into_iter()
            .map(|bad| format!("the input {}: {}", bad.name, bad.message))
            .collect();
        failed(all.join("; "))
    })?;
    let label = |name: &str| {
        let trust = match from_event.contains(name) {
            true => Trust::Outside,
            false => Trust::Config,
        };
        let mut labels = Labels::new(trust, &format!("input:{name}"), asked.tenant);
        if trust == Trust::Outside {
            let source = format!("hook:{}", asked.hook);
            labels.join(&Labels::new(Trust::Outside, &source, asked.tenant));
        }
        labels
    };
    let labelled = Labelled::new(&inputs, label).map_err(|problem| failed(problem.detail))?;
    Ok(Some(labelled))
}

fn render(tree: &Tree, values: &dyn Values) -> Result<Json, String> {
    match tree {
        Tree::Literal(json) => Ok(json.clone()),
        Tree::Template(template) => match template.render(values).map_err(text)? {
            Rendered::Value(value) => Ok(value),
            Rendered::Secret(_) => Err("a secret cannot be an input".to_owned()),
        },
        Tree::List(items) => items.iter().map(|item| render(item, values)).collect(),
        Tree::Map(map) => map
            .iter()
            .map(|(key, tree)| Ok((key.clone(), render(tree, values)?)))
            .collect(),
    }
}

fn text(error: Error) -> String {
    error.to_string()
}

/// Why an event could not become a run that works.
pub(crate) fn failed(message: String) -> Failure {
    Failure {
        code: Code::TriggerError.as_str().to_owned(),
        message,
        retryable: false,
        not_made: true,
        step: None,
    }
}
