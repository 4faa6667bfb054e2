//! What expressions see of one step, and of its items.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::event::StepStatus;
use crate::expression::{Names, READ_BYTES_MAX};
use crate::run::draft::{Draft, limit};
use crate::run::scope::{Cell, Cells, Fail};
use crate::run::state::{FanOut, Step};

impl Draft<'_> {
    pub(super) fn step_cell(&self, step: &Step, names: &Names) -> Result<Cell, Fail> {
        let output = match &step.output {
            Some(output) if step.status == StepStatus::Succeeded => self.value_cell(output),
            Some(_) | None => Cell::Json(Json::Null),
        };
        let mut cells = BTreeMap::from([
            ("status".to_owned(), Cell::Json(json!(step.status))),
            ("output".to_owned(), output),
            ("error".to_owned(), Cell::Json(json!(step.failure))),
        ]);
        if let Some(fan) = step.fan_out.as_deref() {
            if wants(names, &step.name, "counts") {
                cells.insert("counts".to_owned(), Cell::Json(self.counts_json(fan)));
            }
            if wants(names, &step.name, "items") {
                cells.insert("items".to_owned(), self.items_cell(step, fan)?);
            }
        }
        Ok(Cell::Map(Cells(cells)))
    }

    fn counts_json(&self, fan: &FanOut) -> Json {
        let count = |status: StepStatus| {
            fan.steps
                .iter()
                .filter(|no| self.step(**no).status == status)
                .count()
        };
        json!({"succeeded": count(StepStatus::Succeeded), "failed": fan.failed, "skipped": count(StepStatus::Skipped)})
    }

    /// `[{key, item, status, output, error}]` in the order of the list. All that is missing is told at once, and nothing
    /// is copied before all is there.
    fn items_cell(&self, step: &Step, fan: &FanOut) -> Result<Cell, Fail> {
        let outputs = || {
            fan.steps
                .iter()
                .filter_map(|no| self.step(*no).output.as_ref())
        };
        let size: usize = outputs().map(|output| output.size as usize).sum();
        if size > READ_BYTES_MAX {
            return Err(limit(format!(
                "steps.{}.items: the outputs are {size} bytes together, and an expression reads at most {READ_BYTES_MAX}",
                step.name
            ))
            .into());
        }
        let needed = outputs().chain([&fan.items]);
        let missing: Vec<Digest> = needed
            .filter(|value| !self.is_known(value))
            .map(|value| value.digest)
            .collect();
        if !missing.is_empty() {
            return Ok(Cell::Missing(missing));
        }
        let list = self.json_of(&fan.items)?;
        let mut items = Vec::with_capacity(fan.steps.len());
        for (place, no) in fan.steps.iter().enumerate() {
            let step = self.step(*no);
            let output = step.output.as_ref().map(|o| self.json_of(o)).transpose()?;
            items.push(json!({
                "key": fan.keys[place],
                "item": list.get(place),
                "status": step.status,
                "output": output,
                "error": step.failure,
            }));
        }
        Ok(Cell::Json(Json::Array(items)))
    }
}

/// Whether this part of the step is mentioned, or all of it.
fn wants(names: &Names, step: &str, part: &str) -> bool {
    let wanted = ["steps", step, part];
    names
        .paths()
        .any(|path| path.iter().zip(wanted).all(|(name, wanted)| name == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{Expression, Scope, Type};

    #[test]
    fn items_are_put_in_scope_only_where_they_are_mentioned() {
        let scope = Scope::new()
            .with("inputs", Type::Dyn)
            .with("steps", Type::Dyn);
        let wants = |source: &str, part: &str| {
            let compiled = Expression::compile(source, &scope, None).expect("an expression");
            wants(compiled.names(), "each", part)
        };
        for source in [
            "inputs.x",
            "steps.other.items",
            "steps.each.output",
            "inputs",
        ] {
            assert!(!wants(source, "items"), "{source}");
        }
        for source in ["steps.each.items", "steps.each", "steps[inputs.x]"] {
            assert!(wants(source, "items"), "{source}");
        }
        assert!(wants("steps.each.counts.failed", "counts"));
        assert!(!wants("steps.each.counts.failed", "items"));
    }
}
