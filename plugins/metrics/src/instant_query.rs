//! `metrics/instant_query`.

use jiff::Timestamp;
use mirastack_sdk::{Action, ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::{self, Data, InstantSeries, ResultType},
    backend::Backend,
    time,
};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// The query, in PromQL.
    #[schemars(length(min = 1))]
    query: String,
    /// The moment that is asked about: RFC 3339, or seconds since 1970. When it is left out: the end of the
    /// call's time range, or else now.
    time: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The kind of the result.
    result_type: ResultType,
    /// The series that were found; one without labels for a scalar or a string.
    series: Vec<InstantSeries>,
    /// What the server warns of.
    warnings: Vec<String>,
}

pub(crate) fn action(backend: Backend) -> Action<Input, Output> {
    Action::read(
        "instant_query",
        "Evaluates a query at one moment.",
        move |context, input| {
            let backend = backend.clone();
            async move { ask(&backend, &context, &input).await }
        },
    )
}

async fn ask(backend: &Backend, context: &Context, input: &Input) -> Result<Output, ActionError> {
    let moment = time::wire(moment(context, input)?);
    let form = [("query", input.query.as_str()), ("time", &moment)];
    let answered = backend.ask(context, "api/v1/query", &form).await?;
    let (result_type, (series, left_out)) = match answered.data {
        Data::Vector(items) => (ResultType::Vector, answer::instants(items)),
        Data::Scalar(point) => (ResultType::Scalar, (answer::unlabelled(point), 0)),
        Data::String(point) => (ResultType::String, (answer::unlabelled(point), 0)),
        Data::Matrix(_) => {
            let message = "the query selects a range: put a function such as rate() around it, or use metrics/range_query";
            return Err(ActionError::failed("bad_query", message));
        }
    };
    let mut warnings = answered.warnings;
    warnings.extend(answer::left_out(left_out));
    Ok(Output {
        result_type,
        series,
        warnings,
    })
}

fn moment(context: &Context, input: &Input) -> Result<Timestamp, ActionError> {
    match (context.time_range(), &input.time) {
        (Some(range), _) => time::from_ms("end", range.end_epoch_ms),
        (None, Some(text)) => time::parse("time", text),
        (None, None) => Ok(Timestamp::now()),
    }
}
