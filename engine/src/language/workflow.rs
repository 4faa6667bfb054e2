//! Reads a workflow.

use std::collections::BTreeMap;

use crate::definition::{HookTrigger, Input, InputType, Mode, Per, Resolved, Step, Workflow};
use crate::duration::Duration;
use crate::id::{is_name, is_step_id};
use crate::language::document;
use crate::language::read::{Fields, Reader, join};
use crate::manifest::Actions;
use crate::principal::Permission;
use crate::yaml::Node;

/// Everything, waiting included, when nothing is written.
const TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3_600);
/// No workflow has more steps, handlers included.
pub(super) const STEPS_MAX: usize = 1_000;
/// Keys of the contract that come later.
const LATER: &[&str] = &["concurrency", "environment"];
const LATER_ON: &[&str] = &["schedule", "timezone", "catch_up"];

impl Reader {
    /// A workflow, if enough of it can be read to be checked further.
    pub(super) fn workflow(&mut self, node: &Node, actions: &Actions) -> Option<Workflow> {
        let fields = self.fields::<document::Workflow>(node, "", LATER)?;
        let name = self.name_of(&fields, "workflow");
        if !self.counts_steps(&fields) {
            return None;
        }
        let steps = self.steps(&fields, "steps", actions);
        if fields.get("steps").is_none() {
            self.problem(node.at, "", "steps: a workflow has at least one step");
        }
        let on_failure = self.steps(&fields, "on_failure", actions);
        let finally = self.steps(&fields, "finally", actions);
        self.check_ids(
            &[
                ("steps", &steps),
                ("on_failure", &on_failure),
                ("finally", &finally),
            ],
            &fields,
        );
        let written = fields
            .get("permission")
            .and_then(|n| self.word(n, "/permission"));
        let all = || steps.iter().chain(&on_failure).chain(&finally);
        let highest = highest(all(), actions);
        if let Some((ceiling, at)) = written.zip(fields.get("permission").map(|n| n.at))
            && ceiling < highest
        {
            let message = format!("the ceiling is {ceiling}, and a step needs {highest}");
            self.problem(at, "/permission", message);
        }
        Some(Workflow {
            name: name?,
            description: self.optional_text(&fields, "description"),
            labels: self.labels(&fields),
            owner: self.optional_text(&fields, "owner"),
            runbook: self.optional_text(&fields, "runbook"),
            on: self.triggers(&fields),
            inputs: self.inputs(&fields),
            vars: self.trees(&fields, "vars"),
            mode: self.mode(&fields),
            permission: written.unwrap_or(highest),
            timeout: fields
                .get("timeout")
                .and_then(|n| self.parsed(n, "/timeout"))
                .unwrap_or(TIMEOUT),
            start_within: fields
                .get("start_within")
                .and_then(|n| self.parsed(n, "/start_within")),
            steps,
            outputs: self.trees(&fields, "outputs"),
            on_failure,
            finally,
        })
    }

    pub(super) fn name_of(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        let pointer = fields.at(key);
        let node = fields.get(key)?;
        let name = self.text(node, &pointer)?;
        if is_name(name) {
            return Some(name.to_owned());
        }
        let message = format!(
            "{name:?} is no name: use a-z, 0-9 and hyphens, at most 63, not a hyphen first"
        );
        self.problem(node.at, &pointer, message);
        None
    }

    pub(super) fn optional_text(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        let pointer = fields.at(key);
        fields
            .get(key)
            .and_then(|n| self.text(n, &pointer))
            .map(str::to_owned)
    }

    /// Modes of the contract that come later are refused by name.
    fn mode(&mut self, fields: &Fields<'_>) -> Mode {
        let Some(node) = fields.get("mode") else {
            return Mode::default();
        };
        let is_later = node
            .scalar()
            .is_some_and(|s| matches!(s.text.as_str(), "manual" | "autonomous"));
        if is_later {
            let hint = Some("use guided: READ runs, MODIFY and ADMIN ask".to_owned());
            self.hinted(
                node.at,
                "/mode",
                "this mode is not supported in this version",
                hint,
            );
            return Mode::default();
        }
        self.word(node, "/mode").unwrap_or_default()
    }

    fn labels(&mut self, fields: &Fields<'_>) -> BTreeMap<String, String> {
        let Some(node) = fields.get("labels") else {
            return BTreeMap::new();
        };
        let entries = self.entries(node, "/labels");
        let read = |entry: &crate::yaml::Entry| {
            let pointer = join("/labels", &entry.key);
            Some((
                entry.key.clone(),
                self.text(&entry.value, &pointer)?.to_owned(),
            ))
        };
        entries.iter().filter_map(read).collect()
    }

    fn trees(&mut self, fields: &Fields<'_>, key: &str) -> BTreeMap<String, serde_json::Value> {
        let pointer = fields.at(key);
        let Some(node) = fields.get(key) else {
            return BTreeMap::new();
        };
        let mut trees = BTreeMap::new();
        for entry in self.entries(node, &pointer) {
            let pointer = join(&pointer, &entry.key);
            self.check_identifier(entry, &pointer);
            trees.insert(entry.key.clone(), self.tree(&entry.value, &pointer));
        }
        trees
    }

    fn check_identifier(&mut self, entry: &crate::yaml::Entry, pointer: &str) {
        if !is_step_id(&entry.key) {
            let message = format!(
                "{:?} is no name for expressions: use a-z, 0-9 and _, a letter first",
                entry.key
            );
            self.problem(entry.at, pointer, message);
        }
    }

    fn inputs(&mut self, fields: &Fields<'_>) -> BTreeMap<String, Input> {
        let Some(node) = fields.get("inputs") else {
            return BTreeMap::new();
        };
        let mut inputs = BTreeMap::new();
        for entry in self.entries(node, "/inputs") {
            let pointer = join("/inputs", &entry.key);
            self.check_identifier(entry, &pointer);
            if let Some(input) = self.input(&entry.value, &pointer) {
                inputs.insert(entry.key.clone(), input);
            }
        }
        inputs
    }

    fn input(&mut self, node: &Node, pointer: &str) -> Option<Input> {
        let fields = self.fields::<document::Input>(node, pointer, &[])?;
        let schema = fields.get("schema").map(Node::to_json);
        let kind = match (fields.get("type"), &schema) {
            (Some(kind), None) => self.word(kind, &fields.at("type"))?,
            (None, Some(schema)) => self.schema_type(node, pointer, schema)?,
            (Some(_), Some(_)) | (None, None) => {
                self.problem(node.at, pointer, "write either type or schema");
                return None;
            }
        };
        let default = fields.get("default").map(|n| n.to_json());
        let input = Input {
            description: self.optional_text(&fields, "description"),
            kind,
            schema,
            default,
        };
        if let (Some(default), Some(at)) = (&input.default, fields.get("default").map(|n| n.at))
            && let Err(message) = crate::language::inputs::convert(&input, default)
        {
            self.problem(at, &fields.at("default"), message);
        }
        Some(input)
    }

    fn schema_type(
        &mut self,
        node: &Node,
        pointer: &str,
        schema: &serde_json::Value,
    ) -> Option<InputType> {
        if let Err(e) = crate::schema::Schema::compile(schema) {
            self.problem(node.at, &join(pointer, "schema"), e.to_string());
            return None;
        }
        let named = schema.get("type").cloned().unwrap_or_default();
        Some(serde_json::from_value(named).unwrap_or(InputType::Object))
    }

    fn triggers(&mut self, fields: &Fields<'_>) -> Vec<HookTrigger> {
        let Some(node) = fields.get("on") else {
            return Vec::new();
        };
        let list = self.list(node, "/on").unwrap_or_default();
        let read = |(index, node): (usize, &Node)| {
            let trigger = self.trigger(node, &format!("/on/{index}"));
            trigger.unwrap_or_else(HookTrigger::unread)
        };
        list.iter().enumerate().map(read).collect()
    }

    fn trigger(&mut self, node: &Node, pointer: &str) -> Option<HookTrigger> {
        let fields = self.fields::<document::On>(node, pointer, LATER_ON)?;
        if fields.get("schedule").is_some() {
            return None;
        }
        let Some(hook) = fields.get("hook") else {
            self.problem(node.at, pointer, "hook: name the hook that starts it");
            return None;
        };
        let name = self.text(hook, &fields.at("hook"))?.to_owned();
        if !is_name(&name) {
            self.problem(
                hook.at,
                &fields.at("hook"),
                format!("{name:?} is no name of a hook"),
            );
        }
        Some(HookTrigger {
            hook: name,
            condition: fields
                .get("if")
                .and_then(|n| self.expression(n, &fields.at("if"))),
            with: self.trees(&fields, "with"),
            resolved: fields
                .get("resolved")
                .and_then(|n| self.word::<Resolved>(n, &fields.at("resolved")))
                .unwrap_or_default(),
            per: fields
                .get("per")
                .and_then(|n| self.word::<Per>(n, &fields.at("per")))
                .unwrap_or_default(),
        })
    }

    /// Ids are unique over all sections, so that `steps.X` means one step.
    fn check_ids(&mut self, sections: &[(&str, &Vec<Step>)], fields: &Fields<'_>) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (section, steps) in sections {
            let written = fields.get(section).and_then(Node::list).unwrap_or_default();
            for (index, (step, node)) in steps.iter().zip(written).enumerate() {
                let pointer = format!("/{section}/{index}/id");
                if let Some(first) = seen.insert(&step.id, pointer.clone()) {
                    let message = format!("the id {} is taken already, at {first}", step.id);
                    let at = node.get("id").unwrap_or(node).at;
                    self.problem(at, &pointer, message);
                }
            }
        }
    }

    /// Whether there are few enough steps to be read.
    fn counts_steps(&mut self, fields: &Fields<'_>) -> bool {
        let lists = ["steps", "on_failure", "finally"].map(|key| fields.get(key)?.list());
        let count: usize = lists.iter().flatten().map(|list| list.len()).sum();
        if count > STEPS_MAX {
            let message = format!("a workflow has at most {STEPS_MAX} steps, and this has {count}");
            self.problem(fields.node.at, "/steps", message);
        }
        count <= STEPS_MAX
    }
}

fn highest<'s>(steps: impl Iterator<Item = &'s Step>, actions: &Actions) -> Permission {
    let levels = steps.filter_map(|step| match &step.kind {
        crate::definition::StepKind::Uses { action, .. } => {
            actions.get(action).map(|a| a.permission)
        }
        crate::definition::StepKind::Wait { .. } | crate::definition::StepKind::Assert { .. } => {
            None
        }
    });
    levels.max().unwrap_or(Permission::Read)
}
