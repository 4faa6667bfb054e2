//! Makes a plan of a workflow: every expression is parsed and checked against what is in scope where it stands.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::definition::{Step, StepKind, TimeRange, Workflow};
use crate::event::Section;
use crate::expression::{self, Expression, Names, Object, Scope, Template, Type};
use crate::language::read::join;
use crate::language::{Fault, params, scopes};
use crate::manifest::Actions;
use crate::plan::{self, Plan, PlanStep, PlanTimeRange, PlanTrigger, Tree, Work};

/// Collects faults while everything is compiled.
pub(super) struct Compiler<'a> {
    pub(super) workflow: &'a Workflow,
    pub(super) actions: &'a Actions,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
    /// Places whose schema says number: how the number is spelled does not matter there.
    pub(super) numbers: BTreeSet<String>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(workflow: &'a Workflow, actions: &'a Actions) -> Self {
        Self {
            workflow,
            actions,
            faults: Vec::new(),
            warnings: Vec::new(),
            numbers: BTreeSet::new(),
        }
    }

    /// The plan; complete only when there are no faults.
    pub(super) fn plan(&mut self) -> Option<Plan> {
        let workflow = self.workflow;
        let mut scope = scopes::base(workflow);
        let vars = self.vars(&mut scope);
        let steps = self.section(Section::Steps, &scope);
        let failing = scope.clone().with("failure", scopes::failure());
        let on_failure = self.section(Section::OnFailure, &failing);
        let finally = self.section(Section::Finally, &failing);
        let all = self.step_types(&[&workflow.steps, &workflow.on_failure, &workflow.finally]);
        let outputs = self.trees(
            "/outputs",
            &workflow.outputs,
            &scope.clone().with("steps", all),
        );
        let triggers = self.triggers();
        if !self.faults.is_empty() {
            return None;
        }
        let (workflow, digest) = (workflow.clone(), workflow.digest());
        Some(Plan {
            workflow,
            digest,
            vars,
            steps,
            on_failure,
            finally,
            outputs,
            triggers,
        })
    }

    pub(super) fn fault(&mut self, pointer: &str, problem: expression::Problem) {
        self.faults.push(Fault {
            pointer: pointer.to_owned(),
            offset: problem.span.start,
            message: problem.message,
            hint: problem.hint,
        });
    }

    pub(super) fn say(&mut self, pointer: &str, message: impl Into<String>, hint: Option<String>) {
        self.faults.push(Fault {
            pointer: pointer.to_owned(),
            offset: 0,
            message: message.into(),
            hint,
        });
    }

    fn kept<T>(
        &mut self,
        pointer: &str,
        compiled: Result<T, Vec<expression::Problem>>,
    ) -> Option<T> {
        match compiled {
            Ok(compiled) => Some(compiled),
            Err(problems) => {
                problems
                    .into_iter()
                    .for_each(|problem| self.fault(pointer, problem));
                None
            }
        }
    }

    fn condition(
        &mut self,
        pointer: &str,
        text: Option<&String>,
        scope: &Scope,
    ) -> Option<Expression> {
        text.and_then(|text| self.kept(pointer, Expression::condition(text, scope)))
    }

    pub(super) fn template(
        &mut self,
        pointer: &str,
        text: &str,
        scope: &Scope,
        expected: Option<&Type>,
    ) -> Option<Template> {
        self.kept(pointer, Template::parse(text, scope, expected))
    }

    /// A var may use those whose names sort before its own.
    fn vars(&mut self, scope: &mut Scope) -> Vec<(String, Tree)> {
        let mut types: BTreeMap<String, Type> = BTreeMap::new();
        let mut vars = Vec::new();
        for (name, json) in &self.workflow.vars {
            scope.set("vars", Type::object(types.clone()));
            let tree = self.tree(&join("/vars", name), json, scope);
            types.insert(name.clone(), type_of(&tree));
            vars.push((name.clone(), tree));
        }
        scope.set("vars", Type::object(types));
        vars
    }

    fn trees(
        &mut self,
        pointer: &str,
        trees: &BTreeMap<String, Json>,
        scope: &Scope,
    ) -> Vec<(String, Tree)> {
        let tree = |(name, json): (&String, &Json)| {
            (name.clone(), self.tree(&join(pointer, name), json, scope))
        };
        trees.iter().map(tree).collect()
    }

    pub(super) fn tree(&mut self, pointer: &str, json: &Json, scope: &Scope) -> Tree {
        self.typed_tree(pointer, json, scope, None)
    }

    /// A tree whose templates must give what `expected` says, as far as it says.
    pub(super) fn typed_tree(
        &mut self,
        pointer: &str,
        json: &Json,
        scope: &Scope,
        expected: Option<&Type>,
    ) -> Tree {
        match json {
            Json::String(text) if text.contains("${{") => {
                match self.template(pointer, text, scope, expected) {
                    Some(template) if template.literal().is_some() => {
                        Tree::Literal(template.literal().unwrap_or_default().into())
                    }
                    Some(template) => Tree::Template(template),
                    None => Tree::Literal(Json::Null),
                }
            }
            Json::Array(items) => {
                let element = expected.and_then(element_of);
                let tree = |(index, item): (usize, &Json)| {
                    self.typed_tree(
                        &join(pointer, &index.to_string()),
                        item,
                        scope,
                        element.as_ref(),
                    )
                };
                folded_list(items.iter().enumerate().map(tree).collect())
            }
            Json::Object(map) => {
                let tree = |(name, entry): (&String, &Json)| {
                    let field = expected.and_then(|ty| field_of(ty, name));
                    (
                        name.clone(),
                        self.typed_tree(&join(pointer, name), entry, scope, field.as_ref()),
                    )
                };
                folded_map(map.iter().map(tree).collect())
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {
                Tree::Literal(json.clone())
            }
        }
    }

    fn section(&mut self, section: Section, scope: &Scope) -> Vec<PlanStep> {
        let workflow = self.workflow;
        let (name, steps, known): (_, &[Step], Vec<&Vec<Step>>) = match section {
            Section::Steps => ("steps", &workflow.steps, vec![&workflow.steps]),
            Section::OnFailure => (
                "on_failure",
                &workflow.on_failure,
                vec![&workflow.steps, &workflow.on_failure],
            ),
            Section::Finally => (
                "finally",
                &workflow.finally,
                vec![&workflow.steps, &workflow.on_failure, &workflow.finally],
            ),
        };
        let types = self.step_types(&known);
        let scope = scope.clone().with("steps", types);
        let places: BTreeMap<&str, u32> = steps.iter().map(|s| s.id.as_str()).zip(0..).collect();
        let mut plan = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let pointer = format!("/{name}/{index}");
            plan.push(self.step(&pointer, step, &scope, &places));
        }
        self.check_order(name, &plan);
        plan
    }

    fn step(
        &mut self,
        pointer: &str,
        step: &Step,
        scope: &Scope,
        places: &BTreeMap<&str, u32>,
    ) -> PlanStep {
        let items = step.for_each.as_ref().and_then(|each| {
            let list = Type::list(Type::Dyn);
            self.kept(
                &join(pointer, "for_each"),
                Expression::whole(&each.items, scope, Some(&list)),
            )
        });
        let item = items
            .as_ref()
            .map(|e| element_of(e.ty()).unwrap_or_default());
        let inner = match item {
            Some(item) => scope.clone().with("item", item).with("index", Type::Int),
            None => scope.clone(),
        };
        let key = step.for_each.as_ref().and_then(|e| e.key.as_ref());
        let key = key.and_then(|key| self.template(&join(pointer, "key"), key, &inner, None));
        let condition = self.condition(&join(pointer, "if"), step.condition.as_ref(), scope);
        let work = self.work(pointer, step, &inner);
        let time_range = step
            .time_range
            .as_ref()
            .and_then(|range| self.time_range(pointer, range, &inner));
        let error = inner.clone().with("error", scopes::error());
        let retry_if = step.retry.as_ref().and_then(|r| r.condition.as_ref());
        let retry_if = self.condition(&join(pointer, "retry/if"), retry_if, &error);
        let mut plan = PlanStep {
            step: step.clone(),
            needs: Vec::new(),
            condition,
            items,
            key,
            work,
            time_range,
            retry_if,
        };
        plan.needs = self.needs(pointer, step, &plan, places);
        plan
    }

    fn work(&mut self, pointer: &str, step: &Step, scope: &Scope) -> Work {
        match &step.kind {
            StepKind::Uses { action, with } => {
                let scope = scope.clone().with_secrets();
                Work::Uses(params::check(
                    self,
                    &join(pointer, "with"),
                    action,
                    with,
                    &scope,
                ))
            }
            StepKind::Wait { duration } => {
                let expected = duration.contains("${{").then_some(Type::Duration);
                let wait =
                    self.template(&join(pointer, "wait"), duration, scope, expected.as_ref());
                wait.map_or_else(|| Work::Uses(Tree::Literal(Json::Null)), Work::Wait)
            }
            StepKind::Assert { condition, message } => {
                let compiled = self.condition(&join(pointer, "assert"), Some(condition), scope);
                let message = message
                    .as_ref()
                    .and_then(|m| self.template(&join(pointer, "message"), m, scope, None));
                compiled.map_or_else(
                    || Work::Uses(Tree::Literal(Json::Null)),
                    |c| Work::Assert(c, message),
                )
            }
        }
    }

    fn time_range(
        &mut self,
        pointer: &str,
        range: &TimeRange,
        scope: &Scope,
    ) -> Option<PlanTimeRange> {
        let pointer = join(pointer, "time_range");
        match range {
            TimeRange::Last(last) => {
                let last =
                    self.template(&join(&pointer, "last"), last, scope, Some(&Type::Duration))?;
                Some(PlanTimeRange::Last(last))
            }
            TimeRange::Between { start, end } => {
                let start = self.template(
                    &join(&pointer, "start"),
                    start,
                    scope,
                    Some(&Type::Timestamp),
                );
                let end = self.template(&join(&pointer, "end"), end, scope, Some(&Type::Timestamp));
                Some(PlanTimeRange::Between(start?, end?))
            }
        }
    }

    /// The steps of the same section that it waits for: those written, and those that it mentions.
    fn needs(
        &mut self,
        pointer: &str,
        step: &Step,
        plan: &PlanStep,
        places: &BTreeMap<&str, u32>,
    ) -> Vec<u32> {
        let mut needs = BTreeSet::new();
        for (index, need) in step.needs.iter().enumerate() {
            match places.get(need.as_str()) {
                Some(place) => {
                    needs.insert(*place);
                }
                None => {
                    let near = expression::nearest::did_you_mean(need, places.keys().copied());
                    let pointer = format!("{pointer}/needs/{index}");
                    self.say(
                        &pointer,
                        format!("there is no step {need} in this section"),
                        near,
                    );
                }
            }
        }
        let names = names_of(plan);
        needs.extend(names.under("steps").filter_map(|id| places.get(id)));
        if places
            .get(step.id.as_str())
            .is_some_and(|own| needs.contains(own))
        {
            self.say(
                &join(pointer, "needs"),
                format!("step {} waits for itself", step.id),
                None,
            );
        }
        needs.into_iter().collect()
    }

    /// Steps that wait for each other in a circle would never begin.
    fn check_order(&mut self, section: &str, steps: &[PlanStep]) {
        let order: BTreeSet<usize> = plan::in_order(steps).into_iter().collect();
        let stuck = (0..steps.len()).filter(|place| !order.contains(place));
        let stuck: Vec<usize> = stuck.collect();
        if let Some(first) = stuck.first()
            && self.faults.is_empty()
        {
            let stuck: Vec<&str> = stuck.iter().map(|i| steps[*i].step.id.as_str()).collect();
            let message = format!(
                "these steps wait for each other, or for one that does: {}",
                stuck.join(", ")
            );
            let hint = Some(
                "`needs: []` starts a step at once; a step that is mentioned is always waited for"
                    .to_owned(),
            );
            self.say(&format!("/{section}/{first}"), message, hint);
        }
    }

    fn triggers(&mut self) -> Vec<PlanTrigger> {
        let scope = Scope::new().with("event", scopes::event());
        let workflow = self.workflow;
        let mut triggers = Vec::new();
        for (index, trigger) in workflow.read_triggers() {
            let pointer = format!("/on/{index}");
            let condition =
                self.condition(&join(&pointer, "if"), trigger.condition.as_ref(), &scope);
            let with = self.trigger_inputs(&join(&pointer, "with"), &trigger.with, &scope);
            for (name, input) in &workflow.inputs {
                if input.default.is_none() && !trigger.with.contains_key(name) {
                    let message = format!("the input {name} has no default: an event must give it");
                    self.say(&pointer, message, Some(format!("with: {{ {name}: … }}")));
                }
            }
            triggers.push(PlanTrigger { condition, with });
        }
        triggers
    }

    fn trigger_inputs(
        &mut self,
        pointer: &str,
        with: &BTreeMap<String, Json>,
        scope: &Scope,
    ) -> Vec<(String, Tree)> {
        let inputs = &self.workflow.inputs;
        let mut trees = Vec::new();
        for (name, json) in with {
            let pointer = join(pointer, name);
            let Some(input) = inputs.get(name) else {
                let near =
                    expression::nearest::did_you_mean(name, inputs.keys().map(String::as_str));
                self.say(&pointer, format!("the workflow has no input {name}"), near);
                continue;
            };
            let expected = scopes::input(input);
            trees.push((
                name.clone(),
                self.typed_tree(&pointer, json, scope, Some(&expected)),
            ));
        }
        trees
    }

    /// What `steps` is, where these sections are known.
    fn step_types(&self, sections: &[&Vec<Step>]) -> Type {
        let steps = sections.iter().flat_map(|s| s.iter());
        Type::object(steps.map(|step| (step.id.clone(), scopes::step(step, self.actions))))
    }
}

/// All names that a step mentions anywhere.
fn names_of(plan: &PlanStep) -> Names {
    let mut names = Names::default();
    let expressions = [&plan.condition, &plan.items, &plan.retry_if];
    expressions
        .into_iter()
        .flatten()
        .for_each(|e| names.join(e.names()));
    plan.key.iter().for_each(|t| names.join(t.names()));
    match &plan.work {
        Work::Uses(tree) => names.join(&tree.names()),
        Work::Wait(template) => names.join(template.names()),
        Work::Assert(condition, message) => {
            names.join(condition.names());
            message.iter().for_each(|m| names.join(m.names()));
        }
    }
    match &plan.time_range {
        Some(PlanTimeRange::Last(last)) => names.join(last.names()),
        Some(PlanTimeRange::Between(start, end)) => {
            names.join(start.names());
            names.join(end.names());
        }
        None => {}
    }
    names
}

fn type_of(tree: &Tree) -> Type {
    match tree {
        Tree::Literal(json) => scopes::literal(json),
        Tree::Template(template) => template.ty().clone(),
        Tree::List(_) => Type::list(Type::Dyn),
        Tree::Map(entries) => Type::object(
            entries
                .iter()
                .map(|(name, entry)| (name.clone(), type_of(entry))),
        ),
    }
}

fn element_of(ty: &Type) -> Option<Type> {
    if let Type::Nullable(inner) = ty {
        return element_of(inner);
    }
    let Type::List(element) = ty else { return None };
    Some((**element).clone())
}

fn field_of(ty: &Type, name: &str) -> Option<Type> {
    if let Type::Nullable(inner) = ty {
        return field_of(inner, name);
    }
    if let Type::Map(value) = ty {
        return Some((**value).clone());
    }
    let Type::Object(object) = ty else {
        return None;
    };
    let Object { fields, rest } = &**object;
    fields.get(name).or(rest.as_ref()).cloned()
}

/// A list without anything to compute is a literal.
fn folded_list(items: Vec<Tree>) -> Tree {
    if items.iter().any(|item| !matches!(item, Tree::Literal(_))) {
        return Tree::List(items);
    }
    Tree::Literal(items.into_iter().map(literal).collect())
}

fn folded_map(entries: BTreeMap<String, Tree>) -> Tree {
    if entries
        .values()
        .any(|entry| !matches!(entry, Tree::Literal(_)))
    {
        return Tree::Map(entries);
    }
    Tree::Literal(
        entries
            .into_iter()
            .map(|(name, entry)| (name, literal(entry)))
            .collect(),
    )
}

fn literal(tree: Tree) -> Json {
    match tree {
        Tree::Literal(json) => json,
        Tree::Template(_) | Tree::List(_) | Tree::Map(_) => Json::Null,
    }
}
