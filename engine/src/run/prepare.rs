//! Getting a step to the point where something is asked of the world: parameters are fixed, or a time, or a condition.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::code::Code;
use crate::definition::StepKind;
use crate::duration::Duration;
use crate::event::{Call, Event, Part, SecretPart, StepStatus, TimeSpan};
use crate::facts::{Missing, Rejection};
use crate::id::{Attempt, StepNo};
use crate::plan::{PlanTimeRange, Work};
use crate::principal::Permission;
use crate::run::draft::{Draft, failure};
use crate::run::scope::{Fail, Rendered, Scope};
use crate::value::{Labels, Trust};

/// One attempt of READ, when neither the step nor the action says.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// One attempt of MODIFY or ADMIN, when neither the step nor the action says.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(600);

impl Draft<'_> {
    /// Fixes the parameters of a step that stands alone, and hands it out or asks people.
    pub(super) fn prepare(&mut self, no: StepNo) -> Result<(), Fail> {
        let scope = self.step_scope(no);
        let call = self.call(no, &scope)?;
        let permission = self.head().created.actions[call.action as usize].permission;
        if permission == Permission::Read {
            self.emit(Event::StepPrepared {
                step: no,
                call: Box::new(call),
            });
            self.dispatch(no);
            return Ok(());
        }
        self.emit(Event::StepPrepared {
            step: no,
            call: Box::new(call.clone()),
        });
        self.ask(no, &[(None, call)])
    }

    /// Hands out the next attempt, unless the change may have been made already.
    pub(super) fn dispatch(&mut self, no: StepNo) {
        if self.may_have_been_made(no) {
            self.make_sure(no);
        } else {
            self.hand_out(no);
        }
    }

    pub(super) fn hand_out(&mut self, no: StepNo) {
        let attempt = Attempt(self.step(no).last_attempt() + 1);
        self.emit(Event::AttemptDispatched { step: no, attempt });
    }

    /// The call of a step or item, as it will be made.
    pub(super) fn call(&mut self, no: StepNo, scope: &Scope<'_>) -> Result<Call, Fail> {
        let written = self.written(no);
        let (StepKind::Uses { action, .. }, Work::Uses(tree)) = (&written.step.kind, &written.work)
        else {
            return Err(failure(Code::Internal, "a step without an action has no call").into());
        };
        let place = self
            .head()
            .created
            .actions
            .iter()
            .position(|a| a.name == *action);
        let place = place.ok_or_else(|| {
            failure(
                Code::Internal,
                format!("{action} is not pinned by this run"),
            )
        })?;
        let pinned = self.head().created.actions[place].clone();
        let schemas = self.facts.schemas.get(&pinned.digest);
        let schemas = schemas
            .ok_or_else(|| Rejection::missing(Missing::Schemas(pinned.digest)))?
            .clone();
        let rendered = self.render(tree, scope)?;
        let params = schemas.input.coerce(rendered.json);
        // Where a secret comes in later nothing stands yet: what it must look like is for the agent to say.
        let is_secret = |at: &str| rendered.secrets.iter().any(|(pointer, _)| pointer == at);
        let mut problems = schemas.input.validate(&params).err().unwrap_or_default();
        problems.retain(|problem| !is_secret(&problem.pointer));
        if !problems.is_empty() {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let message = format!(
                "the parameters do not fit {action}: {}",
                problems.join("; ")
            );
            return Err(failure(Code::ParametersInvalid, message).into());
        }
        let secrets = self.secrets(&rendered.secrets)?;
        let time_range = self.time_range(no, scope)?;
        let timeout = written
            .step
            .timeout
            .or(pinned.timeout_ms.map(Duration::from_millis));
        let default = if pinned.permission == Permission::Read {
            READ_TIMEOUT
        } else {
            CHANGE_TIMEOUT
        };
        let params = self.value(&params, rendered.labels)?;
        Ok(Call {
            action: u32::try_from(place).expect("a workflow has at most 1,000 steps"),
            params,
            secrets,
            time_range,
            timeout_ms: timeout.unwrap_or(default).millis(),
            sources: rendered.sources,
        })
    }

    fn secrets(
        &self,
        named: &[(String, Vec<crate::run::scope::Piece>)],
    ) -> Result<Vec<SecretPart>, Fail> {
        let mut parts = Vec::new();
        for (pointer, pieces) in named {
            let pieces = pieces
                .iter()
                .map(|piece| self.secret_piece(piece))
                .collect::<Result<_, Fail>>()?;
            parts.push(SecretPart {
                pointer: pointer.clone(),
                parts: pieces,
            });
        }
        Ok(parts)
    }

    fn secret_piece(&self, piece: &crate::run::scope::Piece) -> Result<Part, Fail> {
        match piece {
            crate::run::scope::Piece::Text(text) => Ok(Part::Text(text.clone())),
            crate::run::scope::Piece::Secret(name) => {
                let version = self.facts.secrets.get(name);
                let version =
                    version.ok_or_else(|| Rejection::missing(Missing::Secret(name.clone())))?;
                let missing = || {
                    failure(
                        Code::SecretMissing,
                        format!(
                            "there is no secret {name}: set it with `miractl secret set {name}`"
                        ),
                    )
                };
                Ok(Part::Secret {
                    name: name.clone(),
                    version: version.ok_or_else(missing)?,
                })
            }
        }
    }

    fn time_range(&self, no: StepNo, scope: &Scope<'_>) -> Result<Option<TimeSpan>, Fail> {
        let span = match &self.written(no).time_range {
            None => return Ok(None),
            Some(PlanTimeRange::Last(last)) => {
                let last = self.duration(last, scope, "time_range.last")?;
                let start = crate::time::Timestamp::from_millis(
                    self.now.millis().saturating_sub(last.millis()),
                );
                TimeSpan {
                    start,
                    end: self.now,
                }
            }
            Some(PlanTimeRange::Between(start, end)) => TimeSpan {
                start: self.timestamp(start, scope, "time_range.start")?,
                end: self.timestamp(end, scope, "time_range.end")?,
            },
        };
        if span.start > span.end {
            return Err(failure(
                Code::Expression,
                "time_range: its start is later than its end",
            )
            .into());
        }
        Ok(Some(span))
    }

    pub(super) fn begin_wait(&mut self, no: StepNo) -> Result<(), Fail> {
        let Work::Wait(template) = &self.written(no).work else {
            return Ok(());
        };
        let duration = self.duration(template, &self.step_scope(no), "wait")?;
        self.emit(Event::WaitStarted {
            step: no,
            until: self.now.plus(duration),
        });
        Ok(())
    }

    pub(super) fn assert(&mut self, no: StepNo) -> Result<(), Fail> {
        let written = self.written(no);
        let Work::Assert(condition, message) = &written.work else {
            return Ok(());
        };
        let scope = self.step_scope(no);
        if self.is_true(condition, &scope)? {
            self.succeed(no, None);
            return Ok(());
        }
        let message = match message {
            Some(template) => self.text(template, &scope)?,
            None => "the condition is not true".to_owned(),
        };
        self.fail(no, StepStatus::Failed, failure(Code::AssertFailed, message));
        Ok(())
    }

    /// A JSON object's entries, each with the labels of what its expressions mention.
    pub(super) fn sources_of(
        &self,
        tree: &crate::plan::Tree,
        scope: &Scope<'_>,
    ) -> BTreeMap<String, Labels> {
        let crate::plan::Tree::Map(entries) = tree else {
            return BTreeMap::new();
        };
        let each = |(name, entry): (&String, &crate::plan::Tree)| {
            (name.clone(), self.labels(&entry.names(), scope))
        };
        entries.iter().map(each).collect()
    }

    pub(super) fn config_labels(&self) -> Labels {
        let name = self
            .head()
            .created
            .workflow
            .as_ref()
            .map_or("ad-hoc", |w| w.name.as_str());
        Labels::new(
            Trust::Config,
            &format!("workflow:{name}"),
            self.head().key.tenant.as_str(),
        )
    }
}

impl Rendered {
    /// A literal.
    pub(super) fn literal(json: Json, labels: Labels) -> Self {
        Self {
            json,
            labels,
            secrets: Vec::new(),
            sources: BTreeMap::new(),
        }
    }
}
