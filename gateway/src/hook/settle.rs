//! Keys and runs for what has happened.
//!
//! The key comes first and holds the plan: which workflows, under which run ids. Then the runs are created. Whoever
//! meets the key later creates what is missing, so that a crash in between costs nothing.

use engine::command::Command;
use engine::definition::{Per, Resolved};
use engine::digest::Digest;
use engine::duration::Duration;
use engine::event::{Trigger, TriggerKind};
use engine::id::{CommandId, Nonce, RunId, Tenant};
use engine::key::{Episode, KeyState, PlannedRun, episode_key, event_key};
use engine::principal::Principal;
use engine::value::{Labels, Trust, Value};
use serde_json::Value as Json;
use store::port::KeyValue;

use crate::gate::Gate;
use crate::hook::alertmanager::Seen;
use crate::hook::episode::{Next, next};
use crate::hook::trigger::{Asked, Wanted, failed, wanted};
use crate::hook::{Came, Delivery, Found, Occurrence};
use crate::idempotency::KEPT;
use crate::plans::Triggered;
use crate::problem::Problem;
use crate::submit::{Asking, EVENT_INLINE_MAX, Labelled, Order};

/// An alert that nobody has mentioned for so long is forgotten.
const EPISODE_KEPT: Duration = Duration::from_secs(8 * 86_400);
/// Deliveries of one alert at the same time cannot be faster than one of them this often.
const TRIES: usize = 16;

/// Settles what one delivery says.
pub(crate) struct Settle<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) tenant: &'a Tenant,
    pub(crate) delivery: Delivery<'a>,
    pub(crate) triggered: &'a Triggered,
}

impl Settle<'_> {
    /// What is said of one alert, or of one group.
    ///
    /// # Errors
    /// 503: say it again.
    pub(crate) async fn alert(&self, per: Per, seen: &Seen) -> Result<Came, Problem> {
        let kind = match per {
            Per::Alert => "alert",
            Per::Group => "group",
        };
        let name = episode_key(self.delivery.hook, kind, &seen.fingerprint);
        for _ in 0..TRIES {
            if let Some(came) = self.sighted(per, seen, &name).await? {
                return Ok(came);
            }
        }
        Err(Problem::unavailable(
            "this alert is delivered many times at once: send it again",
        ))
    }

    /// One try; `None`: somebody else was faster.
    async fn sighted(&self, per: Per, seen: &Seen, name: &str) -> Result<Option<Came>, Problem> {
        let now = self.gate.now();
        let kept = self.gate.backend.keys.get(self.tenant, name, now).await?;
        let known = kept.as_ref().map(|k| episode(name, k)).transpose()?;
        let about = About {
            per: Some(per),
            what: &seen.occurrence,
            name,
        };
        match next(known.as_ref(), seen.sighting, now) {
            Next::Opens(new) => self.opens(about, kept, new).await,
            Next::Goes(mut episode) => {
                self.refresh(&mut episode.runs).await?;
                if !self.put(name, kept, &episode).await? {
                    return Ok(None);
                }
                Ok(Some(Came::Known(
                    self.mend(about, &episode.runs, false).await?,
                )))
            }
            Next::Ends(episode) => self.ends(about, kept, episode).await,
            next @ (Next::Over | Next::Late) => match (known, kept) {
                (Some(e), Some(kept)) => self.over(about, (kept, e), next == Next::Over).await,
                _ => Ok(Some(Came::Unmatched)),
            },
            Next::Nothing => Ok(Some(
                known.map_or(Came::Unmatched, |e| Came::Known(found(&e.runs))),
            )),
        }
    }

    async fn opens(
        &self,
        about: About<'_>,
        kept: Option<KeyValue>,
        mut episode: Episode,
    ) -> Result<Option<Came>, Problem> {
        let wanted = self.wanted(about, false);
        if wanted.is_empty() {
            return Ok(Some(Came::Unmatched));
        }
        episode.runs = self.planned(&wanted);
        if !self.put(about.name, kept, &episode).await? {
            return Ok(None);
        }
        let made = self.make(about, &episode.runs, wanted).await?;
        Ok(Some(Came::Of(made)))
    }

    /// Marks the end first, then makes what is missing, then cancels: whoever says it again does the rest.
    async fn ends(
        &self,
        about: About<'_>,
        kept: Option<KeyValue>,
        mut episode: Episode,
    ) -> Result<Option<Came>, Problem> {
        let starts = self.wanted(about, true);
        if kept.is_none() && starts.is_empty() {
            return Ok(Some(Came::Unmatched));
        }
        self.refresh(&mut episode.runs).await?;
        episode.ended_runs = self.planned(&starts);
        for planned in &mut episode.ended_runs {
            planned.cancel = false;
        }
        if !self.put(about.name, kept, &episode).await? {
            return Ok(None);
        }
        let mut all = self.mend(about, &episode.runs, false).await?;
        self.cancel(&episode.runs).await?;
        all.extend(self.make(about, &episode.ended_runs, starts).await?);
        Ok(Some(Came::Of(all)))
    }

    /// The end was said before, and what was asked for may not have been done; `at_end`: what the end asks for, too.
    async fn over(
        &self,
        about: About<'_>,
        (kept, mut episode): (KeyValue, Episode),
        at_end: bool,
    ) -> Result<Option<Came>, Problem> {
        let fresh =
            self.refresh(&mut episode.runs).await? | self.refresh(&mut episode.ended_runs).await?;
        if fresh && !self.put(about.name, Some(kept), &episode).await? {
            return Ok(None);
        }
        let mut all = self.mend(about, &episode.runs, false).await?;
        self.cancel(&episode.runs).await?;
        if at_end {
            all.extend(self.mend(about, &episode.ended_runs, true).await?);
        }
        Ok(Some(Came::Known(all)))
    }

    /// An event that stands for itself. `identity` makes two of them one.
    ///
    /// # Errors
    /// 503: say it again.
    pub(crate) async fn event(
        &self,
        what: &Occurrence,
        identity: Result<Option<String>, String>,
    ) -> Result<Came, Problem> {
        let about = |name| About {
            per: None,
            what,
            name,
        };
        let (wanted, identity) = match identity {
            Ok(identity) => (self.wanted(about(""), false), identity),
            Err(why) => (self.all_failed(&why), None),
        };
        if wanted.is_empty() {
            return Ok(Came::Unmatched);
        }
        let Some(identity) = identity else {
            let runs = self.planned(&wanted);
            return Ok(Came::Of(self.make(about(""), &runs, wanted).await?));
        };
        let name = event_key(self.delivery.hook, &identity);
        let runs = self.planned(&wanted);
        let value = KeyState::Event { runs: runs.clone() }.encode();
        let expires = self.gate.now().plus(KEPT);
        let keys = &self.gate.backend.keys;
        match keys.create(self.tenant, &name, &value, expires).await {
            Ok(_) => Ok(Came::Of(self.make(about(&name), &runs, wanted).await?)),
            Err(store::Error::Conflict(_)) => self.again(about(&name)).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn again(&self, about: About<'_>) -> Result<Came, Problem> {
        let keys = &self.gate.backend.keys;
        for _ in 0..TRIES {
            let now = self.gate.now();
            let Some(kept) = keys.get(self.tenant, about.name, now).await? else {
                break;
            };
            let Ok(KeyState::Event { mut runs }) = KeyState::decode(&kept.value) else {
                return Err(unreadable(about.name));
            };
            if self.refresh(&mut runs).await? {
                let value = KeyState::Event { runs: runs.clone() }.encode();
                let put = keys.put(self.tenant, about.name, &kept, &value, kept.expires);
                match put.await {
                    Ok(_) => {}
                    Err(store::Error::Conflict(_)) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            return Ok(Came::Known(self.mend(about, &runs, false).await?));
        }
        Err(Problem::unavailable(
            "this event just expired: send it again",
        ))
    }

    fn wanted(&self, about: About<'_>, at_end: bool) -> Vec<Wanted> {
        let asked = Asked {
            hook: self.delivery.hook,
            tenant: self.tenant.as_str(),
            event: &about.what.event,
            per: about.per,
            at_end,
        };
        wanted(self.triggered, asked)
    }

    /// Every workflow of the hook, with a run that fails at once.
    fn all_failed(&self, why: &str) -> Vec<Wanted> {
        let all = self.triggered.iter().map(|(made, workflow, _)| Wanted {
            made: made.clone(),
            name: workflow.name.clone(),
            labels: workflow.labels.clone(),
            resolved: Resolved::Ignore,
            inputs: Err(failed(format!("dedupe: {why}"))),
        });
        all.collect()
    }

    fn planned(&self, wanted: &[Wanted]) -> Vec<PlannedRun> {
        let plan = |wanted: &Wanted| PlannedRun {
            cancel: wanted.resolved == Resolved::Cancel,
            ..PlannedRun::new(&wanted.name, self.gate.new_run_id())
        };
        wanted.iter().map(plan).collect()
    }

    async fn put(
        &self,
        name: &str,
        kept: Option<KeyValue>,
        episode: &Episode,
    ) -> Result<bool, Problem> {
        let value = KeyState::Episode(episode.clone()).encode();
        let expires = self.gate.now().plus(EPISODE_KEPT);
        let keys = &self.gate.backend.keys;
        let put = match kept {
            None => keys.create(self.tenant, name, &value, expires).await,
            Some(kept) => keys.put(self.tenant, name, &kept, &value, expires).await,
        };
        match put {
            Ok(_) => Ok(true),
            Err(store::Error::Conflict(_)) => Ok(engine::planted!("episode_opened_twice")),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives fresh ids to runs that were planned, never created, and are too late for it. Answers whether it did.
    async fn refresh(&self, runs: &mut [PlannedRun]) -> Result<bool, Problem> {
        let mut fresh = false;
        for planned in runs.iter_mut().filter(|planned| !planned.gone) {
            let late = !self.gate.may_create(planned.run);
            if late && self.is_missing(planned.run).await? {
                planned.run = self.gate.new_run_id();
                fresh = true;
            }
        }
        Ok(fresh)
    }

    async fn is_missing(&self, run: RunId) -> Result<bool, Problem> {
        if self.gate.created.knows(run) {
            return Ok(false);
        }
        let there = self
            .gate
            .exists(&self.gate.run_key(self.tenant, run))
            .await?;
        if there {
            self.gate.created.learn(run);
        }
        Ok(!there)
    }

    /// The runs of a plan, after those that are missing were created as far as they are wanted still.
    async fn mend(
        &self,
        about: About<'_>,
        runs: &[PlannedRun],
        at_end: bool,
    ) -> Result<Vec<Found>, Problem> {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for planned in runs.iter().filter(|planned| !planned.gone) {
            let missed = self.is_missing(planned.run).await?;
            let list = if missed { &mut missing } else { &mut there };
            list.push(planned.clone());
        }
        let mut all = found(&there);
        if !missing.is_empty() {
            let wanted = self.wanted(about, at_end);
            all.extend(self.make(about, &missing, wanted).await?);
        }
        Ok(all)
    }

    /// Creates runs, each with what its workflow wants.
    async fn make(
        &self,
        about: About<'_>,
        runs: &[PlannedRun],
        mut wanted: Vec<Wanted>,
    ) -> Result<Vec<Found>, Problem> {
        let mut made = Vec::new();
        for planned in runs {
            let place = wanted.iter().position(|w| w.name == planned.workflow);
            let Some(place) = place else {
                // It was planned by somebody who died, and its workflow wants it no more.
                tracing::warn!(run = %planned.run, workflow = planned.workflow, "a planned run is not wanted any more");
                continue;
            };
            let wanted = wanted.swap_remove(place);
            let failed = wanted.inputs.is_err();
            let order = self.order(about, wanted);
            let key = self.gate.run_key(self.tenant, planned.run);
            self.gate.create(&key, order).await?;
            self.gate.created.learn(planned.run);
            made.push(Found {
                workflow: planned.workflow.clone(),
                run: planned.run,
                failed,
            });
        }
        Ok(made)
    }

    fn order(&self, about: About<'_>, wanted: Wanted) -> Order {
        let (inputs, failure) = match wanted.inputs {
            Ok(inputs) => (inputs, None),
            Err(failure) => (Labelled::default(), Some(failure)),
        };
        let mut asking = Asking {
            inputs,
            labels: wanted.labels,
            requester: Principal::Hook(self.delivery.hook.to_owned()),
            trigger: Trigger {
                kind: TriggerKind::Hook,
                hook: Some(self.delivery.hook.to_owned()),
                delivery: Some(self.delivery.id.to_owned()),
                redelivery_of: None,
                fingerprint: about.what.fingerprint.clone(),
                event: None,
            },
            traceparent: Some(self.delivery.traceparent.to_owned()),
            asked: None,
            keys: (!about.name.is_empty())
                .then(|| about.name.to_owned())
                .into_iter()
                .collect(),
        };
        asking.trigger.event = self.event_value(&about.what.event, &mut asking.inputs);
        match (failure, &wanted.made) {
            (None, Ok(ready)) => Order::of_workflow(ready, asking, self.gate.now()),
            (failure, made) => {
                let failure =
                    failure.unwrap_or_else(|| failed("the workflow cannot be started".to_owned()));
                Order::failed(made, asking, failure)
            }
        }
    }

    fn event_value(&self, event: &Json, inputs: &mut Labelled) -> Option<Value> {
        let source = format!("hook:{}", self.delivery.hook);
        let labels = Labels::new(Trust::Outside, &source, self.tenant.as_str());
        // A body has at most 1 MiB, and a value may have four.
        let made = Value::make(event, labels, EVENT_INLINE_MAX).ok()?;
        if let Some(bytes) = made.blob {
            inputs.blobs.push((made.value.digest, bytes));
        }
        Some(made.value)
    }

    /// Cancels what has changed nothing yet. Saying it again changes nothing: the id is the same.
    async fn cancel(&self, runs: &[PlannedRun]) -> Result<(), Problem> {
        let command = Command::Cancel {
            who: Principal::Hook(self.delivery.hook.to_owned()),
            reason: Some("the alert resolved".to_owned()),
            if_unchanged: true,
        };
        for planned in runs.iter().filter(|run| run.cancel && !run.gone) {
            let key = self.gate.run_key(self.tenant, planned.run);
            let id = resolved_id(planned.run);
            self.gate.hand_in(&key, id, &command).await?;
        }
        Ok(())
    }
}

/// What an occurrence is settled with.
#[derive(Clone, Copy)]
struct About<'a> {
    per: Option<Per>,
    what: &'a Occurrence,
    /// The key that leads to the runs; empty: there is none.
    name: &'a str,
}

fn episode(name: &str, kept: &KeyValue) -> Result<Episode, Problem> {
    match KeyState::decode(&kept.value) {
        Ok(KeyState::Episode(episode)) => Ok(episode),
        Ok(KeyState::Submit { .. } | KeyState::Answer { .. } | KeyState::Event { .. }) | Err(_) => {
            Err(unreadable(name))
        }
    }
}

fn unreadable(name: &str) -> Problem {
    tracing::error!(key = name, "a key of a hook cannot be read");
    Problem::internal()
}

fn found(runs: &[PlannedRun]) -> Vec<Found> {
    let there = |planned: &PlannedRun| Found {
        workflow: planned.workflow.clone(),
        run: planned.run,
        failed: false,
    };
    runs.iter().filter(|run| !run.gone).map(there).collect()
}

/// The id of the command that says that a run's alert has resolved.
fn resolved_id(run: RunId) -> CommandId {
    let digest = Digest::of(format!("resolved/{run}").as_bytes());
    let mut id = [0u8; 16];
    id.copy_from_slice(&digest.as_bytes()[..16]);
    Nonce(id)
}
