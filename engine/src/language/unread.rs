//! What stands for a part of a document that cannot be read, so that the others keep their places and may mention it.
//! Why it cannot is told already, and a document with a problem is never saved.

use std::collections::BTreeMap;

use crate::definition::{HookTrigger, Per, Resolved, Step, StepKind, Workflow};
use crate::manifest::ActionName;
use crate::yaml::Node;

impl Step {
    /// A step of which nothing is known but its id; without one it is called by its place.
    pub(super) fn unread(node: &Node, pointer: &str) -> Self {
        let id = node.get("id").and_then(Node::scalar);
        Self {
            id: id.map_or(pointer, |id| &id.text).to_owned(),
            kind: StepKind::Uses {
                action: ActionName {
                    agent: String::new(),
                    action: String::new(),
                },
                with: serde_json::Value::Object(serde_json::Map::new()),
            },
            needs: Vec::new(),
            condition: None,
            for_each: None,
            timeout: None,
            retry: None,
            continue_on_error: false,
            time_range: None,
            approval: None,
        }
    }
}

impl HookTrigger {
    pub(super) fn unread() -> Self {
        Self {
            hook: String::new(),
            condition: None,
            with: BTreeMap::new(),
            resolved: Resolved::default(),
            per: Per::default(),
        }
    }
}

impl Workflow {
    /// The triggers that could be read, each with its place.
    pub(super) fn read_triggers(&self) -> impl Iterator<Item = (usize, &HookTrigger)> {
        let all = self.on.iter().enumerate();
        all.filter(|(_, trigger)| !trigger.hook.is_empty())
    }
}
