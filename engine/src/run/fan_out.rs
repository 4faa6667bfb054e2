//! Fan-out: the list is fixed when the step begins, items are added as a window, and the end joins them.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::approval::{ApprovedCall, BYTES_MAX, CALLS_MAX, item_name};
use crate::code::Code;
use crate::definition::{MaxFailed, StepKind};
use crate::event::{ApprovalState, Call, Event, Origin, StepStatus};
use crate::facts::Rejection;
use crate::id::StepNo;
use crate::manifest::ActionName;
use crate::principal::Permission;
use crate::run::asking::too_large;
use crate::run::draft::{Decided, Draft, failure, limit};
use crate::run::scope::Fail;
use crate::run::state::{At, FanOut, Steps};
use crate::value::{Labels, TooLarge, VALUE_BYTES_MAX};

/// No run has more steps, items included.
const STEPS_MAX: usize = 10_000;
/// An item's key is cut to this many bytes in a step's name.
const KEY_BYTES_MAX: usize = 200;
/// All keys of a fan-out together: they stand in one record.
const KEYS_BYTES_MAX: usize = crate::record::RECORD_BYTES_MAX / 4 * 3;

impl Draft<'_> {
    pub(super) fn open_fan_out(&mut self, no: StepNo) -> Result<(), Fail> {
        let written = self.written(no);
        let Some(expression) = &written.items else {
            return Ok(());
        };
        let scope = self.step_scope(no);
        let labels = self.labels(expression.names(), &scope);
        let items = self.json(expression, &scope)?;
        let Json::Array(items) = items else {
            let message = format!("for_each needs a list, and this is {}", kind(&items));
            return Err(failure(Code::Expression, message).into());
        };
        if self.state.steps.count() + items.len() > STEPS_MAX {
            return Err(limit(format!(
                "a run has at most {STEPS_MAX} steps, items included, and these are {} more",
                items.len()
            ))
            .into());
        }
        let keys = self.keys(no, &items)?;
        let max_failed = max_failed(
            written.step.for_each.as_ref().map(|f| f.max_failed),
            items.len(),
        );
        let value = self.lasting_value(Json::Array(items.clone()), labels)?;
        self.emit(Event::FanOutOpened {
            step: no,
            items: value,
            keys: keys.clone(),
            max_failed,
        });
        self.ask_for_items(no, &items, &keys)
    }

    fn keys(&self, no: StepNo, items: &[Json]) -> Result<Vec<String>, Fail> {
        let Some(template) = &self.written(no).key else {
            return Ok((0..items.len()).map(|i| i.to_string()).collect());
        };
        let mut seen = std::collections::BTreeSet::new();
        let mut keys = Vec::with_capacity(items.len());
        let mut bytes = 0;
        for (index, item) in items.iter().enumerate() {
            let scope = self.step_scope(no).with_item(item, index);
            let key = self.text(template, &scope)?;
            if key.is_empty() || key.len() > KEY_BYTES_MAX {
                return Err(failure(
                    Code::Expression,
                    format!(
                        "key: item {index} has a key of {} bytes; 1 to {KEY_BYTES_MAX} are allowed",
                        key.len()
                    ),
                )
                .into());
            }
            if !seen.insert(key.clone()) {
                return Err(failure(
                    Code::Expression,
                    format!("key: two items have the key {key:?}; each needs its own"),
                )
                .into());
            }
            bytes += key.len();
            if bytes > KEYS_BYTES_MAX {
                return Err(limit(format!(
                    "key: the keys of {} items are together over {} KiB: make them shorter",
                    items.len(),
                    KEYS_BYTES_MAX / 1024
                ))
                .into());
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// Whether the step, or each of its items, changes something.
    pub(super) fn is_change(&self, no: StepNo) -> bool {
        let StepKind::Uses { action, .. } = &self.written(no).step.kind else {
            return false;
        };
        let mut actions = self.head().created.actions.iter();
        let pinned = actions.find(|a| a.name == *action);
        pinned.is_some_and(|a| a.permission > Permission::Read)
    }

    /// One approval covers all items: their calls are fixed now.
    fn ask_for_items(&mut self, no: StepNo, items: &[Json], keys: &[String]) -> Result<(), Fail> {
        if items.is_empty() || !self.is_change(no) {
            return Ok(());
        }
        if items.len() > CALLS_MAX {
            return Err(limit(format!(
                "an approval covers at most {CALLS_MAX} items, and these are {}",
                items.len()
            ))
            .into());
        }
        let mut calls = Vec::with_capacity(items.len());
        let mut bytes = 0;
        for (index, (item, key)) in items.iter().zip(keys).enumerate() {
            let scope = self.step_scope(no).with_item(item, index);
            let call = self.call(no, &scope)?;
            bytes += call.params.size as usize;
            if bytes > BYTES_MAX {
                return Err(too_large().into());
            }
            calls.push((Some(key.clone()), call));
        }
        self.ask(no, &calls)
    }

    /// Adds items while the window has room, and joins a fan-out whose items have all ended.
    pub(super) fn tend_fan_outs(&mut self) -> Decided {
        let open: Vec<StepNo> = self.head().open.iter().copied().collect();
        for no in open {
            if self.step(no).at == At::Items && !self.is_full() {
                self.tend_fan_out(no)?;
            }
        }
        Ok(())
    }

    fn tend_fan_out(&mut self, no: StepNo) -> Decided {
        let window = self
            .written(no)
            .step
            .for_each
            .as_ref()
            .map_or(1, |f| f.max_parallel);
        loop {
            let halted = self.head().halted;
            let Some(fan) = self.step(no).fan_out.as_deref() else {
                return Ok(());
            };
            let all_added = fan.steps.len() == fan.keys.len();
            let over = fan.failed > fan.max_failed;
            if fan.running == 0 && (all_added || over) {
                return self.join(no);
            }
            if all_added || over || halted || self.is_outside(fan, window) {
                return Ok(());
            }
            self.add_item(no);
        }
    }

    fn is_outside(&self, fan: &FanOut, window: u32) -> bool {
        let is_closed = fan.running >= window && !crate::planted!("window_exceeded");
        is_closed || self.is_full()
    }

    fn add_item(&mut self, of: StepNo) {
        let step =
            StepNo(u32::try_from(self.state.steps.count()).expect("bounded by 10,000 steps"));
        let holder = self.step(of);
        let Some(fan) = holder.fan_out.as_deref() else {
            return;
        };
        let place = fan.steps.len();
        let name = item_name(&holder.name, Some(&fan.keys[place]));
        let index = u32::try_from(place).expect("bounded by 10,000 steps");
        self.emit(Event::StepAdded {
            step,
            name,
            origin: Origin::Item { of, index },
        });
    }

    pub(super) fn begin_item(&mut self, no: StepNo) -> Result<(), Fail> {
        let Some((of, index)) = self.step(no).item() else {
            return Ok(());
        };
        let call = match self.approved_item(of, index)? {
            Some(call) => call,
            None => {
                let item = self.item(of, index)?;
                let scope = self.step_scope(no).with_item(&item, index as usize);
                self.call(no, &scope)?
            }
        };
        self.emit(Event::StepPrepared {
            step: no,
            call: Box::new(call),
        });
        self.dispatch(no);
        Ok(())
    }

    pub(super) fn item(&self, of: StepNo, index: u32) -> Decided<Json> {
        let items = self.step(of).fan_out.as_deref().map(|f| &f.items);
        let items = items.expect("an item belongs to an opened fan-out");
        let list = self.shared(items)?;
        Ok(list.get(index as usize).cloned().unwrap_or(Json::Null))
    }

    /// The call that was consented to: of these bytes and nothing else.
    fn approved_item(&mut self, of: StepNo, index: u32) -> Result<Option<Call>, Fail> {
        let Some(consent) = self.step(of).approval.as_deref() else {
            return Ok(None);
        };
        if consent.state != ApprovalState::Approved {
            return Err(
                failure(Code::ApprovalMismatch, "the items' approval does not stand").into(),
            );
        }
        let approval = self.shared(&consent.asked.bytes)?;
        let broken = || failure(Code::ApprovalMismatch, "the approved bytes cannot be read");
        // Only what is of this item is copied: the bytes of all are up to 4 MiB.
        let action = ActionName::deserialize(&approval["action"]).map_err(|_| broken())?;
        let timeout_ms = approval["timeout_ms"].as_u64().ok_or_else(broken)?;
        let approved = &approval["calls"][index as usize];
        let approved = ApprovedCall::deserialize(approved).map_err(|_| broken())?;
        let place = self
            .head()
            .created
            .actions
            .iter()
            .position(|a| a.name == action);
        let place = place.ok_or_else(broken)?;
        let params: Json = serde_json::from_str(&approved.params).map_err(|_| broken())?;
        let labels = joined(approved.sources.values(), self.config_labels());
        let params = self.value(&params, labels)?;
        Ok(Some(Call {
            action: u32::try_from(place).map_err(|_| broken())?,
            params,
            secrets: approved.secrets,
            time_range: approved.time_range,
            timeout_ms,
            sources: approved.sources,
        }))
    }

    fn join(&mut self, no: StepNo) -> Decided {
        if self.head().halted {
            return Ok(());
        }
        let step = self.step(no);
        let Some(fan) = step.fan_out.as_deref() else {
            return Ok(());
        };
        if fan.failed > fan.max_failed {
            let message = format!(
                "{} of {} items failed, and {} may",
                fan.failed,
                fan.keys.len(),
                fan.max_failed
            );
            self.fail(no, StepStatus::Failed, failure(Code::ItemsFailed, message));
            return Ok(());
        }
        let size = fan
            .steps
            .iter()
            .filter_map(|no| self.step(*no).output.as_ref())
            .map(|output| output.size as usize)
            .sum();
        if size > VALUE_BYTES_MAX {
            let message = format!("the outputs of its items: {}", TooLarge { size });
            self.fail(no, StepStatus::Failed, limit(message));
            return Ok(());
        }
        let (list, labels) = self.outputs_of(fan)?;
        match self.lasting_value(Json::Array(list), labels) {
            Ok(output) => {
                if crate::planted!("joined_twice") {
                    self.succeed(no, Some(output.clone()));
                }
                self.succeed(no, Some(output));
            }
            Err(too_large) => self.fail(no, StepStatus::Failed, too_large),
        }
        Ok(())
    }

    /// The outputs of all items in the order of the list, null where one failed.
    fn outputs_of(&self, fan: &FanOut) -> Decided<(Vec<Json>, Labels)> {
        let mut labels = fan.items.labels.clone();
        let mut list = Vec::with_capacity(fan.steps.len());
        let mut missing = Vec::new();
        for no in &fan.steps {
            let Some(output) = &self.step(*no).output else {
                list.push(Json::Null);
                continue;
            };
            labels.join(&output.labels);
            match self.json_of(output) {
                Ok(json) => list.push(json),
                Err(Rejection::Missing(more)) => missing.extend(more),
                Err(other) => return Err(other),
            }
        }
        if missing.is_empty() {
            Ok((list, labels))
        } else {
            Err(Rejection::Missing(missing))
        }
    }
}

fn joined<'l>(all: impl Iterator<Item = &'l Labels>, mut labels: Labels) -> Labels {
    all.for_each(|more| labels.join(more));
    labels
}

fn max_failed(written: Option<MaxFailed>, items: usize) -> u32 {
    let items = u32::try_from(items).unwrap_or(u32::MAX);
    match written {
        None => 0,
        Some(MaxFailed::Number(number)) => number,
        Some(MaxFailed::Percent(percent)) => {
            items / 100 * u32::from(percent) + items % 100 * u32::from(percent) / 100
        }
    }
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_of_items_rounds_down() {
        assert_eq!(max_failed(Some(MaxFailed::Percent(5)), 99), 4);
        assert_eq!(max_failed(Some(MaxFailed::Percent(5)), 1_000), 50);
        assert_eq!(max_failed(Some(MaxFailed::Percent(100)), 7), 7);
        assert_eq!(max_failed(Some(MaxFailed::Number(3)), 7), 3);
        assert_eq!(max_failed(None, 7), 0);
    }
}
