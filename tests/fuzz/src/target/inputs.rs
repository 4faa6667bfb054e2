//! The inputs of a run, as somebody gives them.

use std::sync::LazyLock;

use engine::definition::Workflow;
use engine::language::{self, Document};
use serde_json::{Map, Value};

use crate::agents::ACTIONS;

/// JSON.
pub(crate) fn read(data: &[u8]) {
    let Ok(given) = serde_json::from_slice::<Map<String, Value>>(data) else {
        return;
    };
    match language::inputs(&WORKFLOW, &given) {
        Ok(inputs) => {
            // What was converted is of its type, so that a run started again with its own inputs is the same run.
            assert_eq!(language::inputs(&WORKFLOW, &inputs), Ok(inputs.clone()));
            assert!(WORKFLOW.inputs.keys().eq(inputs.keys()));
        }
        Err(problems) => assert!(!problems.is_empty()),
    }
}

/// With an input of each type.
static WORKFLOW: LazyLock<Workflow> = LazyLock::new(|| {
    let documents = language::check(TEXT, &ACTIONS).expect("it is right");
    match documents.into_iter().next() {
        Some(Document::Workflow(workflow)) => workflow.definition,
        Some(Document::Hook(_)) | None => unreachable!("it is one workflow"),
    }
});

const TEXT: &str = "\
workflow: inputs
inputs:
  text: { type: string }
  count: { type: integer, default: 1 }
  ratio: { type: number, default: 1 }
  on: { type: boolean, default: true }
  window: { type: duration, default: 30m }
  since: { type: timestamp, default: \"2026-01-31T08:00:00Z\" }
  map: { type: object, default: {} }
  list: { type: array, default: [] }
  row: { schema: { type: object, properties: { n: { type: number }, i: { type: integer } } }, default: {} }
steps:
  - { id: read, uses: demo/read, with: { text: \"${{ inputs.text }}\" } }
";
