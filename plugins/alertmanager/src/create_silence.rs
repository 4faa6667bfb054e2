//! `alertmanager/create_silence`.

use jiff::{SignedDuration, Timestamp};
use mirastack_sdk::{Action, ActionError, Context, Duration, Found, LookUp, http::Failure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    backend::Backend,
    matcher::{self, Matcher},
    silence::{self, Settled, Timestamped},
    token,
};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// What is silenced: alerts that all of these match.
    #[schemars(length(min = 1, max = 100))]
    matchers: Vec<Matcher>,
    /// How long, from its begin, such as `1h`. Either this or `ends_at`.
    duration: Option<Duration>,
    /// Until when (RFC 3339). Either this or `duration`.
    ends_at: Option<String>,
    /// From when (RFC 3339). When it is left out: now.
    starts_at: Option<String>,
    /// Why, for people.
    #[schemars(length(max = 4096))]
    comment: String,
    /// Who is said to have made it. When it is left out: who asked for the run.
    #[schemars(length(max = 256))]
    created_by: Option<String>,
}

/// As the server takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    matchers: Vec<matcher::Wire>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    created_by: String,
    comment: String,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "silenceID")]
    id: String,
}

pub(crate) fn action(backend: Backend) -> Action<Input, Settled> {
    let looking = backend.clone();
    Action::modify(
        "create_silence",
        "Silences alerts. Its call is known by the end of the comment, so that the same step never makes two.",
        move |context, input| {
            let backend = backend.clone();
            async move { create(&backend, &context, input).await }
        },
    )
    .look_up(move |context, asked: LookUp<Input>| {
        let backend = looking.clone();
        async move { look_up(&backend, &context, &asked.idempotency_key).await }
    })
}

/// Not declared idempotent: a request whose answer was lost may still be travelling, and a second one sent
/// before it arrives would make a second silence. The engine waits before it believes a look-up.
async fn create(
    backend: &Backend,
    context: &Context,
    input: Input,
) -> Result<Settled, ActionError> {
    let order = order(context, input)?;
    let earlier = silence::by_key(backend, context, context.idempotency_key()).await;
    if let Some(earlier) = earlier.map_err(Failure::of_preparation)? {
        context.info(format!(
            "an earlier attempt made the silence {}",
            earlier.id
        ));
        return Ok(earlier.settled());
    }
    let Created { id } = backend
        .post(context, "silences", &order)
        .await
        .map_err(Failure::of_change)?;
    // The server moves a begin in the past; what it says is what holds.
    match silence::by_id(backend, context, &id).await {
        Ok(Some(silence)) => Ok(silence.settled()),
        Ok(None) | Err(_) => {
            context.warn(format!(
                "the silence {id} was made, but could not be read back"
            ));
            Ok(Settled {
                id,
                starts_at: Timestamped(order.starts_at),
                ends_at: Timestamped(order.ends_at),
            })
        }
    }
}

async fn look_up(
    backend: &Backend,
    context: &Context,
    key: &str,
) -> Result<Found<Settled>, ActionError> {
    let found = silence::by_key(backend, context, key)
        .await
        .map_err(Failure::of_read)?;
    Ok(found.map_or(Found::NotDone, |silence| Found::Done(silence.settled())))
}

fn order(context: &Context, input: Input) -> Result<Order, ActionError> {
    let now = Timestamp::now();
    let starts_at = input
        .starts_at
        .map(|text| moment("starts_at", &text))
        .transpose()?
        .unwrap_or(now);
    let ends_at = match (input.duration, input.ends_at) {
        (Some(duration), None) => end_of(starts_at, duration)?,
        (None, Some(text)) => moment("ends_at", &text)?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(invalid("give either `duration` or `ends_at`"));
        }
    };
    if ends_at <= starts_at.max(now) {
        return Err(invalid(&format!(
            "the silence would end at {ends_at}, before it does anything"
        )));
    }
    let asker = context
        .principal()
        .map(|principal| principal.name.clone())
        .filter(|name| !name.is_empty());
    Ok(Order {
        matchers: input
            .matchers
            .into_iter()
            .map(matcher::Wire::from)
            .collect(),
        starts_at,
        ends_at,
        created_by: input
            .created_by
            .or(asker)
            .unwrap_or_else(|| "mirastack".to_owned()),
        comment: token::sign(&input.comment, context.idempotency_key()),
    })
}

fn end_of(starts_at: Timestamp, duration: Duration) -> Result<Timestamp, ActionError> {
    SignedDuration::try_from(duration.get())
        .and_then(|duration| starts_at.checked_add(duration))
        .map_err(|e| invalid(&format!("`duration`: {e}")))
}

fn moment(name: &str, text: &str) -> Result<Timestamp, ActionError> {
    text.parse().map_err(|_| {
        invalid(&format!(
            "`{name}`: `{text}` is no RFC 3339 time, such as 2025-01-31T12:00:00Z"
        ))
    })
}

fn invalid(problem: &str) -> ActionError {
    ActionError::not_made("invalid_input", problem)
}
