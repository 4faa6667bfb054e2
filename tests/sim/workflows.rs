//! What the simulated installation knows how to do: one agent with its actions, and workflows that use them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use engine::definition::{Hook, Workflow};
use engine::digest::Digest;
use engine::event::PinnedAction;
use engine::language::{Document, check};
use engine::manifest::{Action, ActionName, Actions, Pinned};
use engine::principal::Permission;
use gateway::Triggers;
use serde_json::json;

/// The agent.
pub(crate) const AGENT: &str = "lab";

/// Everything that is saved before a simulation begins. The same for all of a kind, so it is checked once.
pub(crate) struct Saved {
    pub(crate) workflows: Vec<(Workflow, Vec<PinnedAction>)>,
    pub(crate) pinned: Vec<Pinned>,
    /// The places of workflows by their digests.
    places: BTreeMap<Digest, usize>,
    /// Where alerts arrive.
    pub(crate) hook: Box<Hook>,
    /// What starts the last of the workflows, which nobody else does.
    pub(crate) alarm: Triggers,
}

impl Saved {
    /// How many workflows people start.
    pub(crate) fn started_by_people(&self) -> usize {
        self.workflows.len() - 1
    }

    /// Workflows as they are written, of which hooks start the last.
    pub(crate) fn of_documents(documents: &str) -> Self {
        let actions = actions();
        let documents = format!("{documents}---{HOOK}");
        let documents = check(&documents, &actions).unwrap_or_else(|p| panic!("{p:#?}"));
        let (mut workflows, mut hooks) = (Vec::new(), Vec::new());
        for document in documents {
            match document {
                Document::Workflow(checked) => {
                    let pins = pins(&checked.definition, &actions);
                    workflows.push((checked.definition, pins));
                }
                Document::Hook(hook) => hooks.push(hook),
            }
        }
        let pinned = actions.values().map(|a| Pinned::new(AGENT, a)).collect();
        let (alarm, pins) = workflows.last().expect("there is one");
        let alarm = Triggers::new(alarm, pins, &actions).expect("it was just checked");
        let digests = workflows.iter().map(|(w, _)| w.digest());
        Self {
            places: digests.enumerate().map(|(n, d)| (d, n)).collect(),
            workflows,
            pinned,
            hook: hooks.pop().expect("it is added above"),
            alarm,
        }
    }

    /// The workflow of a digest.
    pub(crate) fn of(&self, digest: &Digest) -> Option<&Workflow> {
        self.places
            .get(digest)
            .map(|place| &self.workflows[*place].0)
    }
}

const DOCUMENTS: &str = r#"
workflow: chain
steps:
  - { id: first, uses: lab/look, with: { n: 1 } }
  - { id: rest, wait: 3s }
  - { id: second, uses: lab/look, with: { n: "${{ steps.first.output.n + 1 }}" } }
  - { id: sure, assert: steps.second.output.n == 2 }
outputs: { n: "${{ steps.second.output.n }}" }
---
workflow: change
steps:
  - { id: before, uses: lab/look, with: { n: 1 } }
  - { id: change, uses: lab/put, with: { n: "${{ steps.before.output.n }}" }, timeout: 40s, approval: { timeout: 90s } }
  - { id: after, uses: lab/look, with: { n: 2 } }
---
workflow: skippable
steps:
  - { id: change, uses: lab/put, with: { n: 1 }, approval: { timeout: 30s, on_reject: skip } }
  - { id: dependent, uses: lab/look, with: { n: 2 } }
  - { id: free, needs: [], uses: lab/look, with: { n: 3 } }
---
workflow: fan
inputs: { items: { type: array, default: [1, 2, 3, 4, 5, 6] } }
steps:
  - id: each
    for_each: ${{ inputs.items }}
    max_parallel: 2
    max_failed: 2
    uses: lab/look
    with: { n: "${{ item }}" }
  - { id: last, uses: lab/look, with: { n: "${{ size(steps.each.items) }}" } }
---
workflow: fan-change
steps:
  - id: each
    for_each: ${{ [1, 2, 3] }}
    max_parallel: 2
    uses: lab/put
    timeout: 30s
    with: { n: "${{ item }}" }
    approval: { quorum: 2, timeout: 3m }
---
workflow: once
steps:
  - { id: once, uses: lab/fire, with: { n: 1 }, timeout: 20s, approval: { timeout: 2m } }
on_failure:
  - { id: tell, uses: lab/look, with: { n: 7 } }
finally:
  - { id: tidy, uses: lab/look, with: { n: 8 } }
---
workflow: again
steps:
  - { id: set, uses: lab/set, with: { n: 1 }, timeout: 20s, retry: { attempts: 3, delay: 2s }, approval: { timeout: 2m, on_timeout: fail } }
---
workflow: raze
timeout: 4m
steps:
  - { id: raze, uses: lab/raze, with: { n: 1 }, timeout: 30s, approval: { by: [role:admin], timeout: 2m } }
finally:
  - { id: look, uses: lab/look, with: { n: 9 } }
---
workflow: long
steps:
  - { id: slow, for_each: "${{ [10, 11] }}", uses: lab/slow, with: { n: "${{ item }}" }, timeout: 30s }
  - { id: big, needs: [], uses: lab/look, with: { n: 1, pad: 20000 } }
  - { id: end, needs: [slow, big], if: size(steps.big.output.pad) > 100, uses: lab/look, with: { n: 2 } }
---
workflow: slowly
steps:
  - { id: slow, for_each: "${{ [1, 2, 3, 4] }}", max_parallel: 4, uses: lab/slow, with: { n: "${{ item }}" }, timeout: 60s }
---
workflow: branches
start_within: 1m
steps:
  - { id: a, needs: [], uses: lab/look, with: { n: 1 }, continue_on_error: true }
  - { id: b, needs: [], uses: lab/look, with: { n: 2 }, retry: { attempts: 2, delay: 1s } }
  - { id: c, needs: [a], if: steps.a.status == 'succeeded', wait: 10s }
  - { id: d, needs: [b, c], uses: lab/look, with: { n: 4 } }
---
workflow: alarm
on:
  - hook: alerts
    with: { of: "${{ event.alert.labels.instance }}" }
inputs: { of: { type: string } }
steps:
  - { id: look, uses: lab/look, with: { n: 1 } }
  - { id: rest, wait: 8s }
  - { id: again, uses: lab/look, with: { n: "${{ size(inputs.of) }}" } }
"#;

const HOOK: &str = "
hook: alerts
type: alertmanager
auth: { bearer: [\"${{ secrets.alerts }}\"] }
role: operator
";

/// What the seeds use.
pub(crate) fn saved() -> &'static Saved {
    static SAVED: OnceLock<Saved> = OnceLock::new();
    SAVED.get_or_init(|| Saved::of_documents(DOCUMENTS))
}

/// READ, and changes of every kind: that can be looked up, that may be repeated, and that can be neither.
fn actions() -> Actions {
    let all = [
        action("look", Permission::Read, false, false),
        action("slow", Permission::Read, false, false),
        action("put", Permission::Modify, false, true),
        action("set", Permission::Modify, true, false),
        action("fire", Permission::Modify, false, false),
        action("raze", Permission::Admin, false, true),
    ];
    all.into_iter()
        .map(|a| (name(&a.id), a))
        .collect::<BTreeMap<_, _>>()
}

fn name(action: &str) -> ActionName {
    ActionName {
        agent: AGENT.to_owned(),
        action: action.to_owned(),
    }
}

fn action(id: &str, permission: Permission, idempotent: bool, lookup: bool) -> Action {
    Action {
        id: id.to_owned(),
        description: String::new(),
        permission,
        input: json!({
            "type": "object",
            "properties": {
                "n": { "type": "integer" }, "pad": { "type": "integer" }, "does": { "type": "string" },
            },
            "required": ["n"],
            "additionalProperties": false,
        }),
        output: Some(json!({
            "type": "object",
            "properties": {
                "n": { "type": "integer" }, "by": { "type": "integer" }, "pad": { "type": "string" },
            },
            "required": ["n", "by"],
        })),
        idempotent,
        lookup,
        settle_ms: None,
        timeout_ms: None,
    }
}

fn pins(workflow: &Workflow, actions: &Actions) -> Vec<PinnedAction> {
    let sections = [&workflow.steps, &workflow.on_failure, &workflow.finally];
    let mut names: Vec<&ActionName> = Vec::new();
    for step in sections.into_iter().flatten() {
        if let engine::definition::StepKind::Uses { action, .. } = &step.kind
            && !names.contains(&action)
        {
            names.push(action);
        }
    }
    names
        .into_iter()
        .map(|name| pin(name, &actions[name]))
        .collect()
}

fn pin(name: &ActionName, action: &Action) -> PinnedAction {
    PinnedAction {
        name: name.clone(),
        digest: Pinned::new(&name.agent, action).digest(),
        permission: action.permission,
        idempotent: action.idempotent,
        lookup: action.lookup,
        timeout_ms: action.timeout_ms,
        settle_ms: action.settle_ms,
    }
}
