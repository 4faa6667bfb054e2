//! The steps of a run, and the items of a fan-out.

use axum::extract::{Path, State};
use axum::response::Response;
use engine::definition::Workflow;
use engine::run::{Run, Step};
use std::sync::Arc;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::gate::{Gate, Shared};
use crate::journal::run_key;
use crate::page::page_of;
use crate::problem::Problem;
use crate::request::{Args, CURSOR_ARG, LIMIT_ARG};
use crate::respond;
use crate::route::{Route, Shape};
use crate::routes::runs::get::blobs_of;
use crate::show::run::item_key;
use crate::show::step::{Around, ShownStep};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/runs/{id}/steps", Right::Read),
            "listSteps",
            "The steps of a run, without items, in the order in which they came into being.",
            list,
        )
        .args(&[LIMIT_ARG, CURSOR_ARG])
        .answer(200, "The steps.", Shape::list::<ShownStep>()),
        Route::get(
            ("/api/v1/runs/{id}/steps/{step}", Right::Read),
            "getStep",
            "One step of a run, or an item of a fan-out that has not ended, by its name `STEP[KEY]`.",
            get,
        )
        .answer(200, "The step.", Shape::json::<ShownStep>()),
        Route::get(
            ("/api/v1/runs/{id}/steps/{step}/items", Right::Read),
            "listItems",
            "The items of a fan-out, in the order of its list.",
            items,
        )
        .args(&[LIMIT_ARG, CURSOR_ARG])
        .answer(200, "The items.", Shape::list::<ShownStep>()),
        Route::get(
            ("/api/v1/runs/{id}/steps/{step}/items/{key}", Right::Read),
            "getItem",
            "One item of a fan-out.",
            item,
        )
        .answer(200, "The item.", Shape::json::<ShownStep>()),
    ]
}

/// A run with its definition.
struct Looked {
    run: Box<Run>,
    workflow: Arc<Workflow>,
    blobs: String,
}

impl Looked {
    async fn at(gate: &Gate, caller: &Caller, id: &str) -> Result<Self, Problem> {
        let key = run_key(&caller.tenant, id)?;
        let run = gate.whole_run(&key).await?;
        let digest = run.state().head.created.definition;
        Ok(Self {
            workflow: gate.definition(&caller.tenant, digest).await?,
            blobs: blobs_of(gate, &key),
            run,
        })
    }

    fn show(&self, step: &Step) -> ShownStep {
        let around = Around {
            state: self.run.state(),
            workflow: &self.workflow,
            blobs: &self.blobs,
        };
        ShownStep::of(step, around)
    }

    fn step(&self, name: &str) -> Result<&Step, Problem> {
        self.run
            .state()
            .named_or_open(name)
            .ok_or_else(|| Problem::not_found("step", name))
    }

    /// A part of some steps, by their numbers.
    fn page<'a>(
        &'a self,
        steps: impl Iterator<Item = &'a Step>,
        args: &Args,
    ) -> Result<Response, Problem> {
        let named = steps.map(|step| (format!("{:010}", step.no.0), step));
        let page = page_of(named, &args.page()?, |(name, _)| name);
        Ok(respond::json(&page.map(|(_, step)| self.show(step))))
    }

    fn items(&self, step: &str) -> Result<impl Iterator<Item = &Step>, Problem> {
        let fan_out = self.step(step)?.fan_out.as_ref();
        let fan_out = fan_out.ok_or_else(|| Problem::not_found("fan-out", step))?;
        let steps = &self.run.state().steps;
        Ok(fan_out.steps.iter().filter_map(|no| steps.get(no.index())))
    }
}

async fn list(
    State(gate): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    args: Args,
) -> Result<Response, Problem> {
    let looked = Looked::at(&gate, &caller, &id).await?;
    let steps = looked.run.state().steps.iter();
    looked.page(steps.filter(|step| step.item().is_none()), &args)
}

async fn get(
    State(gate): State<Shared>,
    caller: Caller,
    Path((id, step)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let looked = Looked::at(&gate, &caller, &id).await?;
    Ok(respond::json(&looked.show(looked.step(&step)?)))
}

async fn items(
    State(gate): State<Shared>,
    caller: Caller,
    Path((id, step)): Path<(String, String)>,
    args: Args,
) -> Result<Response, Problem> {
    let looked = Looked::at(&gate, &caller, &id).await?;
    looked.page(looked.items(&step)?, &args)
}

async fn item(
    State(gate): State<Shared>,
    caller: Caller,
    Path((id, step, key)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let looked = Looked::at(&gate, &caller, &id).await?;
    let state = looked.run.state();
    let found = looked
        .items(&step)?
        .find(|item| item_key(item, state).is_some_and(|known| known == key));
    let found = found.ok_or_else(|| Problem::not_found("item", &key))?;
    Ok(respond::json(&looked.show(found)))
}
