//! What expressions see of a run, and the labels of what they answer.
//!
//! Only what an expression mentions is put in scope, so that an output of 4 MiB that nobody asks for is never touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::code::Code;
use crate::digest::Digest;
use crate::duration::Duration;
use crate::event::StepStatus;
use crate::event::{Failure, Section};
use crate::expression::{self, Budget, Expression, Names, Template, Values, View};
use crate::facts::{Missing, Rejection};
use crate::id::StepNo;
use crate::plan::Tree;
use crate::run::draft::{Draft, failure};
use crate::time::Timestamp;
use crate::value::{Labels, Trust, Value};

/// Why something could not be computed.
pub(crate) enum Fail {
    /// A fact is missing.
    Rejected(Rejection),
    /// The step or run fails with this.
    Failed(Failure),
}

/// The names that may be in scope.
const ROOTS: &str = "inputs vars run trigger environment steps item index failure error";

/// What is in scope besides the run itself.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scope<'s> {
    step: Option<StepNo>,
    item: Option<(&'s Json, usize)>,
    vars: Option<&'s BTreeMap<String, Value>>,
    error: Option<&'s Failure>,
}

impl<'s> Scope<'s> {
    pub(crate) fn with_item<'t>(self, item: &'t Json, index: usize) -> Scope<'t>
    where
        's: 't,
    {
        Scope {
            item: Some((item, index)),
            ..self
        }
    }

    pub(crate) fn with_vars<'t>(self, vars: &'t BTreeMap<String, Value>) -> Scope<'t>
    where
        's: 't,
    {
        Scope {
            vars: Some(vars),
            ..self
        }
    }

    pub(crate) fn with_error<'t>(self, error: &'t Failure) -> Scope<'t>
    where
        's: 't,
    {
        Scope {
            error: Some(error),
            ..self
        }
    }
}

/// A computed JSON tree.
pub(crate) struct Rendered {
    /// The tree; where a secret stands, its place holds an empty string.
    pub(crate) json: Json,
    /// Where it came from.
    pub(crate) labels: Labels,
    /// Strings with secrets, by their place (RFC 6901).
    pub(crate) secrets: Vec<(String, Vec<Piece>)>,
    /// Labels of each entry, where the tree is an object.
    pub(crate) sources: BTreeMap<String, Labels>,
}

/// A piece of a string with secrets.
pub(crate) enum Piece {
    /// Text as it stands.
    Text(String),
    /// A secret, by name.
    Secret(String),
}

/// Something in scope.
pub(super) enum Cell {
    Json(Json),
    Shared(Arc<Json>),
    Map(Cells),
    Missing(Vec<Digest>),
}

/// Names in scope.
#[derive(Default)]
pub(super) struct Cells(pub(super) BTreeMap<String, Cell>);

/// All names in scope, and what evaluating may cost.
struct Root<'d> {
    cells: Cells,
    budget: &'d Budget,
}

impl Values for Root<'_> {
    fn get(&self, name: &str) -> Option<View<'_>> {
        self.cells.get(name)
    }

    fn names(&self) -> Vec<String> {
        self.cells.names()
    }

    fn budget(&self) -> Option<&Budget> {
        Some(self.budget)
    }
}

impl Values for Cells {
    fn get(&self, name: &str) -> Option<View<'_>> {
        self.0.get(name).map(|cell| match cell {
            Cell::Json(json) => View::Json(json),
            Cell::Shared(json) => View::Json(json),
            Cell::Map(cells) => View::Values(cells),
            Cell::Missing(all) => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                View::Missing(all.join(" "))
            }
        })
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl Draft<'_> {
    pub(crate) fn run_scope(&self) -> Scope<'static> {
        Scope::default()
    }

    pub(crate) fn step_scope(&self, no: StepNo) -> Scope<'static> {
        Scope {
            step: Some(no),
            ..Scope::default()
        }
    }

    /// The answer of an expression.
    pub(crate) fn json(&self, expression: &Expression, scope: &Scope<'_>) -> Result<Json, Fail> {
        let cells = self.cells(expression.names(), scope)?;
        expression
            .evaluate(&cells)
            .map_err(|e| in_source(fail(&e), expression.source()))
    }

    /// The answer of a condition.
    pub(crate) fn is_true(&self, condition: &Expression, scope: &Scope<'_>) -> Result<bool, Fail> {
        let cells = self.cells(condition.names(), scope)?;
        condition
            .test(&cells)
            .map_err(|e| in_source(fail(&e), condition.source()))
    }

    /// A template as text.
    pub(crate) fn text(&self, template: &Template, scope: &Scope<'_>) -> Result<String, Fail> {
        let cells = self.cells(template.names(), scope)?;
        match template.render(&cells).map_err(|e| fail(&e))? {
            expression::Rendered::Value(Json::String(text)) => Ok(text),
            expression::Rendered::Value(other) => Ok(other.to_string()),
            expression::Rendered::Secret(_) => {
                Err(failure(Code::Expression, "a secret is possible only in `with`").into())
            }
        }
    }

    pub(crate) fn duration(
        &self,
        template: &Template,
        scope: &Scope<'_>,
        what: &str,
    ) -> Result<Duration, Fail> {
        let text = self.text(template, scope)?;
        text.parse()
            .map_err(|e| failure(Code::Expression, format!("{what}: {text:?} is {e}")).into())
    }

    pub(crate) fn timestamp(
        &self,
        template: &Template,
        scope: &Scope<'_>,
        what: &str,
    ) -> Result<Timestamp, Fail> {
        let text = self.text(template, scope)?;
        text.parse()
            .map_err(|e| failure(Code::Expression, format!("{what}: {text:?} is {e}")).into())
    }

    /// A JSON tree with its templates filled in.
    pub(crate) fn render(&self, tree: &Tree, scope: &Scope<'_>) -> Result<Rendered, Fail> {
        let names = tree.names();
        let cells = self.cells(&names, scope)?;
        let mut labels = self.config_labels();
        labels.join(&self.labels(&names, scope));
        let mut rendered = Rendered::literal(Json::Null, labels);
        rendered.json = fill(tree, &cells, &mut String::new(), &mut rendered.secrets)?;
        rendered.sources = self.sources_of(tree, scope);
        Ok(rendered)
    }

    /// The labels of everything that is mentioned.
    pub(crate) fn labels(&self, names: &Names, scope: &Scope<'_>) -> Labels {
        let mut labels = Labels::default();
        for path in names.paths() {
            self.join_path(&mut labels, path, scope);
        }
        if labels.is_empty() {
            self.config_labels()
        } else {
            labels
        }
    }

    fn join_path(&self, labels: &mut Labels, path: &[String], scope: &Scope<'_>) {
        let second = path.get(1).map(String::as_str);
        let mut join = |value: Option<&Value>| {
            if let Some(value) = value {
                labels.join(&value.labels);
            }
        };
        let created = &self.head().created;
        match (path[0].as_str(), second) {
            ("inputs", Some(name)) => join(created.inputs.get(name)),
            ("inputs", None) => created.inputs.values().for_each(|v| join(Some(v))),
            ("vars", Some(name)) => join(self.var(name, scope)),
            ("vars", None) => self.head().vars.values().for_each(|v| join(Some(v))),
            ("steps", Some(id)) => self
                .state
                .named(id)
                .into_iter()
                .for_each(|s| join(s.output.as_ref())),
            ("steps", None) => self
                .head()
                .names
                .values()
                .for_each(|no| join(self.step(*no).output.as_ref())),
            ("item" | "index", _) => join(self.list_of(scope)),
            ("trigger" | "event", _) => join(created.trigger.event.as_ref()),
            ("error" | "failure", _) => {
                labels.join(&Labels::new(
                    Trust::Plugin,
                    path[0].as_str(),
                    self.head().key.tenant.as_str(),
                ));
            }
            _ => {}
        }
    }

    fn list_of(&self, scope: &Scope<'_>) -> Option<&Value> {
        let step = self.step(scope.step?);
        let holder = step.item().map_or(step.no, |(of, _)| of);
        self.step(holder).fan_out.as_deref().map(|f| &f.items)
    }

    fn var<'v>(&'v self, name: &str, scope: &Scope<'v>) -> Option<&'v Value> {
        scope.vars.unwrap_or(&self.head().vars).get(name)
    }

    fn cells(&self, names: &Names, scope: &Scope<'_>) -> Result<Root<'_>, Fail> {
        let mut cells = BTreeMap::new();
        for root in ROOTS.split(' ') {
            if names.mentions(root)
                && let Some(cell) = self.cell(root, names, scope)?
            {
                cells.insert(root.to_owned(), cell);
            }
        }
        let cells = Cells(cells);
        Ok(Root {
            cells,
            budget: &self.budget,
        })
    }

    fn cell(&self, root: &str, names: &Names, scope: &Scope<'_>) -> Result<Option<Cell>, Fail> {
        let created = &self.head().created;
        Ok(Some(match root {
            "inputs" => self.cells_of(&created.inputs, names, root),
            "vars" => self.cells_of(scope.vars.unwrap_or(&self.head().vars), names, root),
            "run" => Cell::Json(self.run_json()),
            "trigger" => Cell::Json(json!({
                "kind": created.trigger.kind,
                "hook": created.trigger.hook,
                "delivery": created.trigger.delivery,
                "redelivery_of": created.trigger.redelivery_of,
            })),
            "environment" => Cell::Json(Json::Null),
            "steps" => self.steps_cell(names)?,
            "item" => match scope.item {
                Some((item, _)) => Cell::Json(item.clone()),
                None => return Ok(None),
            },
            "index" => match scope.item {
                Some((_, index)) => Cell::Json(json!(index)),
                None => return Ok(None),
            },
            "failure" => Cell::Json(self.failure_json()),
            "error" => match scope.error {
                Some(e) => Cell::Json(
                    json!({"code": e.code, "message": e.message, "retryable": e.retryable}),
                ),
                None => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }

    fn cells_of(&self, values: &BTreeMap<String, Value>, names: &Names, root: &str) -> Cell {
        let mut cells = BTreeMap::new();
        let whole = names.whole(root);
        let wanted: Vec<&str> = names.under(root).collect();
        for (name, value) in values
            .iter()
            .filter(|(n, _)| whole || wanted.contains(&n.as_str()))
        {
            cells.insert(name.clone(), self.value_cell(value));
        }
        Cell::Map(Cells(cells))
    }

    pub(super) fn value_cell(&self, value: &Value) -> Cell {
        match self.shared(value) {
            Ok(json) => Cell::Shared(json),
            Err(_) if crate::planted!("missing_value_passed") => Cell::Json(Json::Null),
            Err(_) => Cell::Missing(vec![value.digest]),
        }
    }

    fn run_json(&self) -> Json {
        let head = self.head();
        let workflow = head.created.workflow.as_ref();
        json!({
            "id": head.key.run,
            "url": format!("{}/{}", self.facts.url_base, head.key.run),
            "workflow": workflow.map(|w| &w.name),
            "revision": workflow.map(|w| w.revision),
            "created_at": head.created_at,
            "started_at": head.started_at,
            "requester": head.created.requester,
            "labels": head.created.labels,
            "now": self.now,
        })
    }

    fn failure_json(&self) -> Json {
        let stop = self
            .head()
            .stop
            .as_ref()
            .filter(|_| self.head().section != Section::Steps);
        stop.map_or(Json::Null, |stop| {
            json!({"step": stop.failure.step, "code": stop.failure.code, "message": stop.failure.message})
        })
    }

    fn steps_cell(&self, names: &Names) -> Result<Cell, Fail> {
        let whole = names.whole("steps");
        let wanted: Vec<&str> = names.under("steps").collect();
        let mut cells = BTreeMap::new();
        for (name, no) in self
            .head()
            .names
            .iter()
            .filter(|(n, _)| whole || wanted.contains(&n.as_str()))
        {
            cells.insert(name.clone(), self.step_cell(self.step(*no), names)?);
        }
        let absent = |id: &&str| !self.head().names.contains_key(*id);
        for id in wanted.into_iter().filter(absent) {
            cells.insert(id.to_owned(), Cell::Json(never_added()));
        }
        Ok(Cell::Map(Cells(cells)))
    }
}

/// A step that the run never came to: one of `on_failure` after a success.
fn never_added() -> Json {
    json!({"status": StepStatus::Skipped, "output": null, "error": null})
}

fn fill(
    tree: &Tree,
    cells: &Root<'_>,
    pointer: &mut String,
    secrets: &mut Vec<(String, Vec<Piece>)>,
) -> Result<Json, Fail> {
    match tree {
        Tree::Literal(json) => Ok(json.clone()),
        Tree::Template(template) => fill_text(template, cells, pointer, secrets),
        Tree::List(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                list.push(fill_at(item, cells, pointer, &index.to_string(), secrets)?);
            }
            Ok(Json::Array(list))
        }
        Tree::Map(entries) => {
            let mut map = serde_json::Map::new();
            for (name, entry) in entries {
                map.insert(name.clone(), fill_at(entry, cells, pointer, name, secrets)?);
            }
            Ok(Json::Object(map))
        }
    }
}

fn fill_at(
    tree: &Tree,
    cells: &Root<'_>,
    pointer: &mut String,
    name: &str,
    secrets: &mut Vec<(String, Vec<Piece>)>,
) -> Result<Json, Fail> {
    let length = pointer.len();
    pointer.extend(["/", name.replace('~', "~0").replace('/', "~1").as_str()]);
    let filled = fill(tree, cells, pointer, secrets);
    pointer.truncate(length);
    filled
}

fn fill_text(
    template: &Template,
    cells: &Root<'_>,
    pointer: &str,
    secrets: &mut Vec<(String, Vec<Piece>)>,
) -> Result<Json, Fail> {
    let parts = match template.render(cells).map_err(|e| fail(&e))? {
        expression::Rendered::Value(json) => return Ok(json),
        expression::Rendered::Secret(parts) => parts,
    };
    let pieces = parts.into_iter().map(|part| match part {
        expression::Part::Text(text) => Piece::Text(text),
        expression::Part::Secret(name) => Piece::Secret(name),
    });
    secrets.push((pointer.to_owned(), pieces.collect()));
    Ok(Json::String(String::new()))
}

fn fail(error: &expression::Error) -> Fail {
    if error.kind == expression::ErrorKind::Missing
        && let Ok(all) = error.message.split(' ').map(str::parse).collect()
    {
        let all: Vec<Digest> = all;
        return Rejection::Missing(all.into_iter().map(Missing::Value).collect()).into();
    }
    Fail::Failed(failure(Code::Expression, error.message.clone()))
}

/// Says which expression it was.
fn in_source(fail: Fail, source: &str) -> Fail {
    match fail {
        Fail::Failed(mut failure) => {
            failure.message = format!("{source}: {}", failure.message);
            Fail::Failed(failure)
        }
        Fail::Rejected(rejection) => Fail::Rejected(rejection),
    }
}
