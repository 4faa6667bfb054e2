//! The workflow language: documents in, definitions and plans out. All problems of a document at once, each with its
//! line, column and the nearest correct spelling.
//!
//! Start reading at [`check`]; `document` shows the keys, `compile` what is checked about expressions.

mod compile;
mod document;
mod hook;
mod inputs;
mod params;
mod read;
mod scopes;
mod step;
mod unread;
mod workflow;

#[cfg(test)]
mod tests;

use crate::definition::{Hook, Workflow};
use crate::event::Section;
use crate::manifest::Actions;
use crate::plan::Plan;
use crate::yaml::{self, Node, Position};

pub use inputs::{BadInput, inputs};

/// Something that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the text.
    pub at: Position,
    /// Where in the document (RFC 6901).
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A problem of a definition, before its place in a text is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) pointer: String,
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// A document that is right.
#[derive(Debug)]
pub enum Document {
    /// A workflow.
    Workflow(Box<CheckedWorkflow>),
    /// A hook.
    Hook(Box<Hook>),
}

/// A workflow that is right.
#[derive(Debug)]
pub struct CheckedWorkflow {
    /// As data.
    pub definition: Workflow,
    /// Ready to be decided with.
    pub plan: Plan,
    /// What may be wrong with it.
    pub warnings: Vec<Problem>,
}

/// Kinds of documents of the contract that come later.
const LATER: &[&str] = &["schedule", "role", "environment", "standing_approval"];

/// The documents of a text, checked against `actions`.
///
/// # Errors
/// Every problem of every document, up to a hundred.
pub fn check(text: &str, actions: &Actions) -> Result<Vec<Document>, Vec<Problem>> {
    let nodes = yaml::parse(text)
        .map_err(|problems| problems.into_iter().map(of_yaml).collect::<Vec<_>>())?;
    if nodes.is_empty() {
        let at = Position { line: 1, column: 1 };
        return Err(vec![problem(at, "", "the text holds no document")]);
    }
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for node in &nodes {
        if problems.len() >= yaml::PROBLEMS_MAX {
            break;
        }
        match document(node, actions) {
            Ok(document) => documents.push(document),
            Err(more) => problems.extend(more),
        }
    }
    problems.sort_by_key(|p| p.at);
    problems.truncate(yaml::PROBLEMS_MAX);
    if problems.is_empty() {
        Ok(documents)
    } else {
        Err(problems)
    }
}

/// The plan of a stored definition. Its actions are those that it was saved with, so that it always compiles again.
///
/// # Errors
/// What does not fit, when the bytes are not what was saved.
pub fn plan(bytes: &[u8], actions: &Actions) -> Result<Plan, String> {
    let workflow: Workflow = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let mut compiler = compile::Compiler::new(&workflow, actions);
    let plan = compiler.plan();
    plan.ok_or_else(|| {
        compiler
            .faults
            .first()
            .map(|f| format!("{}: {}", f.pointer, f.message))
            .unwrap_or_default()
    })
}

/// The JSON Schema (2020-12) of documents.
#[must_use]
pub fn schema() -> serde_json::Value {
    document::schema()
}

/// The order of the steps, for people: a line for each with what it waits for.
#[must_use]
pub fn graph(plan: &Plan) -> Vec<(Section, String, Vec<String>)> {
    let sections = [Section::Steps, Section::OnFailure, Section::Finally];
    let lines = sections.into_iter().flat_map(|section| {
        let steps = plan.section(section);
        steps.iter().map(move |step| {
            let needs = step
                .needs
                .iter()
                .map(|n| steps[*n as usize].step.id.clone())
                .collect();
            (section, step.step.id.clone(), needs)
        })
    });
    lines.collect()
}

fn document(node: &Node, actions: &Actions) -> Result<Document, Vec<Problem>> {
    let first = node.map().and_then(|entries| entries.first());
    let Some(first) = first else {
        return Err(vec![problem(
            node.at,
            "",
            "a document is a mapping whose first key names its kind: workflow or hook",
        )]);
    };
    match first.key.as_str() {
        "workflow" => checked_workflow(node, actions),
        "hook" => checked_hook(node),
        kind if LATER.contains(&kind) => Err(vec![problem(
            first.at,
            "",
            &format!("{kind}: this kind of document is not supported in this version"),
        )]),
        other => {
            let hint =
                crate::expression::nearest::did_you_mean(other, ["workflow", "hook"].into_iter());
            let message =
                format!("{other}: the first key of a document names its kind: workflow or hook");
            Err(vec![Problem {
                hint,
                ..problem(first.at, "", &message)
            }])
        }
    }
}

fn checked_workflow(node: &Node, actions: &Actions) -> Result<Document, Vec<Problem>> {
    let mut reader = read::Reader::default();
    let workflow = reader.workflow(node, actions);
    let mut problems = std::mem::take(&mut reader.problems);
    let mut warnings = Vec::new();
    let mut numbers = std::collections::BTreeSet::new();
    let mut plan = None;
    if let Some(workflow) = &workflow {
        let mut compiler = compile::Compiler::new(workflow, actions);
        plan = compiler.plan();
        let faults = compiler.faults.iter().take(yaml::PROBLEMS_MAX);
        problems.extend(faults.map(|f| placed(node, f)));
        warnings.extend(compiler.warnings.iter().map(|f| placed(node, f)));
        numbers = compiler.numbers;
    }
    let misspelled = reader
        .misspelled
        .iter()
        .filter(|(pointer, ..)| !numbers.contains(pointer));
    problems.extend(misspelled.map(|(pointer, at, text)| Problem {
        hint: Some(format!("write \"{text}\"")),
        ..problem(
            *at,
            pointer,
            &format!("{text} would not print back as it is written: quote it"),
        )
    }));
    problems.sort_by_key(|p| p.at);
    problems.dedup();
    match (workflow, plan) {
        (Some(definition), Some(plan)) if problems.is_empty() => {
            Ok(Document::Workflow(Box::new(CheckedWorkflow {
                definition,
                plan,
                warnings,
            })))
        }
        _ => Err(problems),
    }
}

fn checked_hook(node: &Node) -> Result<Document, Vec<Problem>> {
    let mut reader = read::Reader::default();
    let hook = reader.hook(node);
    if let Some(hook) = &hook
        && let Some(dedupe) = &hook.dedupe
    {
        let scope = crate::expression::Scope::new().with("event", scopes::event());
        if let Err(more) = crate::expression::Expression::whole(dedupe, &scope, None) {
            let fault = |p: crate::expression::Problem| Fault {
                pointer: "/dedupe".to_owned(),
                offset: p.span.start,
                message: p.message,
                hint: p.hint,
            };
            reader
                .problems
                .extend(more.into_iter().map(|p| placed(node, &fault(p))));
        }
    }
    match hook {
        Some(hook) if reader.problems.is_empty() => Ok(Document::Hook(Box::new(hook))),
        _ => Err(reader.problems),
    }
}

/// A fault at its place in the text: of the scalar it is in, or of the nearest thing around it that is written.
fn placed(root: &Node, fault: &Fault) -> Problem {
    let mut node = root;
    let mut exact = true;
    for part in fault.pointer.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        let next = match node.list() {
            Some(items) => name.parse::<usize>().ok().and_then(|i| items.get(i)),
            None => node.get(&name),
        };
        match next {
            Some(next) => node = next,
            None => {
                exact = false;
                break;
            }
        }
    }
    let at = if exact {
        node.position(fault.offset)
    } else {
        node.at
    };
    Problem {
        at,
        pointer: fault.pointer.clone(),
        message: fault.message.clone(),
        hint: fault.hint.clone(),
    }
}

fn of_yaml(p: yaml::Problem) -> Problem {
    Problem {
        at: p.at,
        pointer: String::new(),
        message: p.message,
        hint: p.hint,
    }
}

fn problem(at: Position, pointer: &str, message: &str) -> Problem {
    Problem {
        at,
        pointer: pointer.to_owned(),
        message: message.to_owned(),
        hint: None,
    }
}
