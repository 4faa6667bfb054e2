//! `metrics/range_query`.

use mirastack_sdk::{Action, ActionError, Context, Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    answer::{self, Data, RangeSeries, ResultType},
    backend::Backend,
    span::{self, Span},
    time,
};

/// How many points a series gets when no step is given.
const POINTS: i64 = 250;
/// The most points of a series that a server gives.
const POINTS_MAX: i64 = 11_000;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// The query, in PromQL.
    #[schemars(length(min = 1))]
    query: String,
    /// Where the span begins: RFC 3339, or seconds since 1970. The call's time range wins over it. When both
    /// are left out: an hour before its end.
    start: Option<String>,
    /// Where the span ends. The call's time range wins over it. When both are left out: now.
    end: Option<String>,
    /// The distance of two points, such as `30s`. When it is left out: a 250th of the span, at least 1s.
    step: Option<Duration>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The kind of the result: `matrix`.
    result_type: ResultType,
    /// The series that were found.
    series: Vec<RangeSeries>,
    /// What the server warns of.
    warnings: Vec<String>,
}

pub(crate) fn action(backend: Backend) -> Action<Input, Output> {
    Action::read(
        "range_query",
        "Evaluates a query at each step of a span of time.",
        move |context, input| {
            let backend = backend.clone();
            async move { ask(&backend, &context, &input).await }
        },
    )
}

async fn ask(backend: &Backend, context: &Context, input: &Input) -> Result<Output, ActionError> {
    let span = Span::of(context, (input.start.as_deref(), input.end.as_deref()))?;
    let step_ms = step_ms(&span, input.step)?;
    let (start, end) = (time::wire(span.start), time::wire(span.end));
    let step = format!("{}.{:03}", step_ms / 1000, step_ms % 1000);
    let form = [
        ("query", input.query.as_str()),
        ("start", &start),
        ("end", &end),
        ("step", &step),
    ];
    let answered = backend.ask(context, "api/v1/query_range", &form).await?;
    let Data::Matrix(items) = answered.data else {
        return Err(ActionError::failed(
            "bad_answer",
            "the server answered a range query with something else than a matrix",
        ));
    };
    let (series, left_out) = answer::ranges(items);
    let mut warnings = answered.warnings;
    warnings.extend(answer::left_out(left_out));
    Ok(Output {
        result_type: ResultType::Matrix,
        series,
        warnings,
    })
}

fn step_ms(span: &Span, step: Option<Duration>) -> Result<i64, ActionError> {
    let span_ms = span.end.as_millisecond() - span.start.as_millisecond();
    let Some(step) = step else {
        // Whole seconds, so that neighbouring spans are answered at the same moments.
        return Ok(
            (span_ms / POINTS / 1000 + i64::from(span_ms % (POINTS * 1000) > 0)).max(1) * 1000,
        );
    };
    let step_ms = i64::try_from(step.get().as_millis()).unwrap_or(i64::MAX);
    if step_ms == 0 {
        return Err(span::invalid("`step` must be longer than 0s".to_owned()));
    }
    if span_ms / step_ms >= POINTS_MAX {
        let points = span_ms / step_ms + 1;
        return Err(span::invalid(format!(
            "`step`: {step} makes {points} points a series; at most {POINTS_MAX} are allowed: take a longer step"
        )));
    }
    Ok(step_ms)
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;

    fn span_of(seconds: i64) -> Span {
        let end = Timestamp::from_second(1_738_324_800).expect("in range");
        Span {
            start: end - SignedDuration::from_secs(seconds),
            end,
        }
    }

    #[test]
    fn a_step_is_chosen_in_whole_seconds() {
        for (span_s, step_s) in [
            (0, 1),
            (60, 1),
            (250, 1),
            (251, 2),
            (3600, 15),
            (86_400, 346),
        ] {
            let step = step_ms(&span_of(span_s), None).map_err(|e| e.to_string());
            assert_eq!(step, Ok(step_s * 1000), "{span_s} s");
        }
    }

    #[test]
    fn a_step_that_makes_too_many_points_is_refused_with_the_number() {
        let step = |text: &str| Some(text.parse::<Duration>().expect(text));
        assert_eq!(
            step_ms(&span_of(10_999), step("1s")).map_err(|e| e.to_string()),
            Ok(1000)
        );
        let refused = step_ms(&span_of(11_000), step("1s"))
            .expect_err("too many")
            .to_string();
        assert!(refused.contains("11001 points"), "{refused}");
        assert!(step_ms(&span_of(1), step("0s")).is_err());
    }
}
