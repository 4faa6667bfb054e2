//! Workflows and hooks as text: YAML, the language, the plan.

use engine::definition::{Hook, Workflow};
use engine::language::{self, CheckedWorkflow, Document};
use engine::yaml::PROBLEMS_MAX;

use crate::agents::ACTIONS;
use crate::parts::{assert_inside, text};

/// A text of documents.
pub(crate) fn read(data: &[u8]) {
    let Some(text) = text(data) else {
        return;
    };
    match language::check(text, &ACTIONS) {
        Ok(documents) => documents.iter().for_each(|document| match document {
            Document::Workflow(workflow) => holds(text, workflow),
            Document::Hook(hook) => kept(hook),
        }),
        Err(problems) => {
            assert!((1..=PROBLEMS_MAX).contains(&problems.len()));
            for problem in problems {
                assert_inside(text, problem.at);
            }
        }
    }
}

/// What is saved compiles again: runs of it have only that.
fn holds(text: &str, workflow: &CheckedWorkflow) {
    for warning in &workflow.warnings {
        assert_inside(text, warning.at);
    }
    let bytes = workflow.definition.bytes();
    let again: Workflow = serde_json::from_slice(&bytes).expect("what was saved reads");
    assert_eq!(again.bytes(), bytes);
    let plan = language::plan(&bytes, &ACTIONS).expect("what was saved compiles");
    assert_eq!(language::graph(&plan), language::graph(&workflow.plan));
}

fn kept(hook: &Hook) {
    let bytes = serde_json::to_vec(hook).expect("its keys are text");
    let again: Hook = serde_json::from_slice(&bytes).expect("what was saved reads");
    assert_eq!(again, *hook);
}
