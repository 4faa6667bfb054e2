//! Reads a step.

use crate::definition::{
    ApprovalRule, ForEach, MaxFailed, OnReject, OnTimeout, Retry, Step, StepKind, TimeRange,
};
use crate::duration::Duration;
use crate::expression::nearest::did_you_mean;
use crate::id::is_step_id;
use crate::language::document;
use crate::language::read::{Fields, Reader, join};
use crate::manifest::{ActionName, Actions};
use crate::principal::Role;
use crate::yaml::{Literal, Node};

/// Keys of the contract that come later.
const LATER: &[&str] = &[
    "run",
    "steps",
    "wait_for",
    "ask",
    "show",
    "set",
    "template",
    "compensate",
    "precheck",
    "verify",
    "cooldown",
    "repeat",
    "environment",
];
const LATER_APPROVAL: &[&str] = &["ask", "per", "not_requester"];
const PARALLEL: u32 = 10;
const PARALLEL_MAX: u32 = 1_000;
const QUORUM_MAX: u32 = 10;
const ASK_FOR: Duration = Duration::from_secs(24 * 3_600);

impl Reader {
    /// The steps of a section; a step without `needs` waits for the one above it.
    pub(super) fn steps(&mut self, fields: &Fields<'_>, key: &str, actions: &Actions) -> Vec<Step> {
        let pointer = fields.at(key);
        let Some(node) = fields.get(key) else {
            return Vec::new();
        };
        let Some(list) = self.list(node, &pointer) else {
            return Vec::new();
        };
        if list.is_empty() && key == "steps" {
            self.problem(node.at, &pointer, "a workflow has at least one step");
        }
        let mut steps: Vec<Step> = Vec::new();
        for (index, node) in list.iter().enumerate() {
            let above = steps.last().map(|s| s.id.clone());
            let pointer = join(&pointer, &index.to_string());
            let step = self.step(node, &pointer, above, actions);
            steps.push(step.unwrap_or_else(|| Step::unread(node, &pointer)));
        }
        steps
    }

    fn step(
        &mut self,
        node: &Node,
        pointer: &str,
        above: Option<String>,
        actions: &Actions,
    ) -> Option<Step> {
        let fields = self.fields::<document::Step>(node, pointer, LATER)?;
        let id = self.step_id(&fields);
        let kind = self.kind(&fields, actions);
        let needs = self.needs(&fields, above);
        let for_each = self.for_each(&fields);
        let is_read = kind.is_some();
        let unread = Step::unread(node, pointer);
        let step = Step {
            id: id.unwrap_or(unread.id),
            kind: kind.unwrap_or(unread.kind),
            needs,
            condition: fields
                .get("if")
                .and_then(|n| self.expression(n, &fields.at("if"))),
            for_each,
            timeout: fields
                .get("timeout")
                .and_then(|n| self.parsed(n, &fields.at("timeout"))),
            retry: fields
                .get("retry")
                .and_then(|n| self.retry(n, &fields.at("retry"))),
            continue_on_error: fields
                .get("continue_on_error")
                .and_then(|n| self.boolean(n, &fields.at("continue_on_error")))
                .unwrap_or_default(),
            time_range: fields
                .get("time_range")
                .and_then(|n| self.time_range(n, &fields.at("time_range"))),
            approval: fields
                .get("approval")
                .and_then(|n| self.approval(n, &fields.at("approval"))),
        };
        if is_read {
            self.check_belongs(&fields, &step);
        }
        Some(step)
    }

    fn step_id(&mut self, fields: &Fields<'_>) -> Option<String> {
        let Some(node) = fields.get("id") else {
            self.problem(fields.node.at, &fields.pointer, "id: each step has one");
            return None;
        };
        let id = self.text(node, &fields.at("id"))?;
        if is_step_id(id) {
            return Some(id.to_owned());
        }
        let hint = id.contains('-').then(|| {
            format!(
                "in expressions a hyphen means minus: {}",
                id.replace('-', "_")
            )
        });
        let message =
            format!("{id:?} is no step id: use a-z, 0-9 and _, a letter first, at most 63");
        self.hinted(node.at, &fields.at("id"), message, hint);
        None
    }

    fn kind(&mut self, fields: &Fields<'_>, actions: &Actions) -> Option<StepKind> {
        let written: Vec<&str> = ["uses", "wait", "assert"]
            .into_iter()
            .filter(|k| fields.get(k).is_some())
            .collect();
        match written.as_slice() {
            ["uses"] => self.uses(fields, actions),
            ["wait"] => self.wait(fields),
            ["assert"] => {
                let node = fields.get("assert")?;
                let condition = self.expression(node, &fields.at("assert"))?;
                Some(StepKind::Assert {
                    condition,
                    message: self.optional_text(fields, "message"),
                })
            }
            // Whatever else is written there has a problem of its own already.
            [] if self.has_problem_under(&fields.pointer) => None,
            _ => {
                let message = "exactly one of uses, wait and assert says what the step does";
                self.problem(fields.node.at, &fields.pointer, message);
                None
            }
        }
    }

    fn uses(&mut self, fields: &Fields<'_>, actions: &Actions) -> Option<StepKind> {
        let node = fields.get("uses")?;
        let pointer = fields.at("uses");
        let action: ActionName = self.parsed(node, &pointer)?;
        if !actions.contains_key(&action) {
            self.unknown_action(node, &pointer, &action, actions);
        }
        let with = match fields.get("with") {
            Some(with) => {
                self.entries(with, &fields.at("with"));
                self.tree(with, &fields.at("with"))
            }
            None => serde_json::Value::Object(serde_json::Map::new()),
        };
        Some(StepKind::Uses { action, with })
    }

    fn unknown_action(
        &mut self,
        node: &Node,
        pointer: &str,
        action: &ActionName,
        actions: &Actions,
    ) {
        let names: Vec<String> = actions.keys().map(ToString::to_string).collect();
        let near = did_you_mean(&action.to_string(), names.iter().map(String::as_str));
        let of_agent = || {
            let prefix = format!("{}/", action.agent);
            let of: Vec<&str> = names
                .iter()
                .filter(|n| n.starts_with(&prefix))
                .map(String::as_str)
                .collect();
            (!of.is_empty()).then(|| format!("{} has: {}", action.agent, of.join(", ")))
        };
        let hint = near.or_else(of_agent);
        let hint = hint.or_else(|| Some("`miractl agent list` shows what there is".to_owned()));
        self.hinted(
            node.at,
            pointer,
            format!("there is no action {action}"),
            hint,
        );
    }

    fn wait(&mut self, fields: &Fields<'_>) -> Option<StepKind> {
        let node = fields.get("wait")?;
        let pointer = fields.at("wait");
        let text = self.text(node, &pointer)?;
        if !text.contains("${{")
            && let Err(e) = text.parse::<Duration>()
        {
            self.problem(node.at, &pointer, format!("{text:?} is {e}"));
        }
        Some(StepKind::Wait {
            duration: text.to_owned(),
        })
    }

    fn needs(&mut self, fields: &Fields<'_>, above: Option<String>) -> Vec<String> {
        let Some(node) = fields.get("needs") else {
            return above.into_iter().collect();
        };
        let pointer = fields.at("needs");
        let list = self.list(node, &pointer).unwrap_or_default();
        let mut needs = Vec::new();
        for (index, node) in list.iter().enumerate() {
            if let Some(need) = self.text(node, &join(&pointer, &index.to_string())) {
                needs.push(need.to_owned());
            }
        }
        needs
    }

    fn for_each(&mut self, fields: &Fields<'_>) -> Option<ForEach> {
        let node = fields.get("for_each")?;
        let items = self.expression(node, &fields.at("for_each"))?;
        Some(ForEach {
            items,
            key: self.optional_text(fields, "key"),
            max_parallel: fields
                .get("max_parallel")
                .and_then(|n| self.number(n, &fields.at("max_parallel"), 1, PARALLEL_MAX))
                .unwrap_or(PARALLEL),
            max_failed: fields
                .get("max_failed")
                .and_then(|n| self.max_failed(n, &fields.at("max_failed")))
                .unwrap_or(MaxFailed::Number(0)),
        })
    }

    fn max_failed(&mut self, node: &Node, pointer: &str) -> Option<MaxFailed> {
        let literal = node.scalar().map(|s| s.literal());
        if let Some(Literal::Text(text)) = literal {
            let percent = text
                .strip_suffix('%')
                .and_then(|p| p.parse::<u8>().ok())
                .filter(|p| *p <= 100);
            if percent.is_none() {
                self.problem(
                    node.at,
                    pointer,
                    "this must be a number, or a percentage from 0% to 100%",
                );
            }
            return percent.map(MaxFailed::Percent);
        }
        self.number(node, pointer, 0, 10_000).map(MaxFailed::Number)
    }

    fn retry(&mut self, node: &Node, pointer: &str) -> Option<Retry> {
        let fields = self.fields::<document::Retry>(node, pointer, &[])?;
        let duration = |reader: &mut Self, key: &str, default: u64| {
            let read = fields
                .get(key)
                .and_then(|n| reader.parsed(n, &fields.at(key)));
            read.unwrap_or(Duration::from_secs(default))
        };
        let (delay, max_delay) = (duration(self, "delay", 1), duration(self, "max_delay", 30));
        let attempts = fields
            .get("attempts")
            .and_then(|n| self.number(n, &fields.at("attempts"), 1, 100));
        let is_odd = crate::planted!("fuzz_document") && attempts.is_some_and(|n| n == 1 || n > 6);
        assert!(!is_odd, "planted: document");
        Some(Retry {
            attempts,
            delay,
            factor: fields
                .get("factor")
                .and_then(|n| self.factor(n, &fields.at("factor")))
                .unwrap_or(2.0),
            max_delay,
            condition: fields
                .get("if")
                .and_then(|n| self.expression(n, &fields.at("if"))),
        })
    }

    fn factor(&mut self, node: &Node, pointer: &str) -> Option<f64> {
        let factor = node
            .to_json()
            .as_f64()
            .filter(|f| (1.0..=100.0).contains(f));
        if factor.is_none() {
            self.problem(node.at, pointer, "this must be a number from 1 to 100");
        }
        factor
    }

    fn time_range(&mut self, node: &Node, pointer: &str) -> Option<TimeRange> {
        let fields = self.fields::<document::TimeRange>(node, pointer, &[])?;
        let last = self.optional_text(&fields, "last");
        let start = self.optional_text(&fields, "start");
        let end = self.optional_text(&fields, "end");
        match (last, start, end) {
            (Some(last), None, None) => Some(TimeRange::Last(last)),
            (None, Some(start), Some(end)) => Some(TimeRange::Between { start, end }),
            _ => {
                self.problem(node.at, pointer, "write either last, or start and end");
                None
            }
        }
    }

    fn approval(&mut self, node: &Node, pointer: &str) -> Option<ApprovalRule> {
        let fields = self.fields::<document::Approval>(node, pointer, LATER_APPROVAL)?;
        let by = fields
            .get("by")
            .map(|n| self.by(n, &fields.at("by")))
            .unwrap_or_default();
        Some(ApprovalRule {
            by,
            quorum: fields
                .get("quorum")
                .and_then(|n| self.number(n, &fields.at("quorum"), 1, QUORUM_MAX))
                .unwrap_or(1),
            timeout: fields
                .get("timeout")
                .and_then(|n| self.parsed(n, &fields.at("timeout")))
                .unwrap_or(ASK_FOR),
            on_reject: fields
                .get("on_reject")
                .and_then(|n| self.word::<OnReject>(n, &fields.at("on_reject")))
                .unwrap_or_default(),
            on_timeout: fields
                .get("on_timeout")
                .and_then(|n| self.word::<OnTimeout>(n, &fields.at("on_timeout")))
                .unwrap_or_default(),
        })
    }

    fn by(&mut self, node: &Node, pointer: &str) -> Vec<Role> {
        let mut roles = Vec::new();
        for (index, node) in self
            .list(node, pointer)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let pointer = join(pointer, &index.to_string());
            let Some(text) = self.text(node, &pointer) else {
                continue;
            };
            match text.strip_prefix("role:").map(str::parse) {
                Some(Ok(role)) => roles.push(role),
                Some(Err(_)) | None => {
                    let message = format!(
                        "{text:?} is no entry: write role:operator, role:engineer or role:admin"
                    );
                    self.problem(node.at, &pointer, message);
                }
            }
        }
        roles
    }

    /// Keys that say something about what the step does not do would be ignored silently: they are refused.
    fn check_belongs(&mut self, fields: &Fields<'_>, step: &Step) {
        let calls = matches!(step.kind, StepKind::Uses { .. });
        let asserts = matches!(step.kind, StepKind::Assert { .. });
        let rules: [(&[&str], bool, &str); 3] = [
            (
                &[
                    "with",
                    "timeout",
                    "retry",
                    "time_range",
                    "approval",
                    "for_each",
                ],
                calls,
                "a step with uses",
            ),
            (&["message"], asserts, "a step with assert"),
            (
                &["key", "max_parallel", "max_failed"],
                step.for_each.is_some(),
                "a step with for_each",
            ),
        ];
        for (keys, belongs, to) in rules {
            for key in keys.iter().filter(|_| !belongs) {
                if let Some(node) = fields.get(key) {
                    self.problem(node.at, &fields.at(key), format!("{key} belongs to {to}"));
                }
            }
        }
    }
}
