//! `alertmanager/expire_silence`.

use mirastack_sdk::{Action, ActionError, Context, Found, LookUp, http::Failure};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    backend::Backend,
    silence::{self, Settled, State, Wire},
};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// The server's id of the silence.
    #[schemars(regex(pattern = "^[A-Za-z0-9-]{1,64}$"))]
    id: String,
}

pub(crate) fn action(backend: Backend) -> Action<Input, Settled> {
    let looking = backend.clone();
    Action::modify(
        "expire_silence",
        "Ends a silence. One that is over already is left as it is.",
        move |context, input: Input| {
            let backend = backend.clone();
            async move { expire(&backend, &context, &input.id).await }
        },
    )
    .idempotent()
    .look_up(move |context, asked: LookUp<Input>| {
        let backend = looking.clone();
        async move { look_up(&backend, &context, &asked.input.id).await }
    })
}

async fn expire(backend: &Backend, context: &Context, id: &str) -> Result<Settled, ActionError> {
    let silence = silence::by_id(backend, context, id)
        .await
        .map_err(Failure::of_preparation)?;
    let silence = silence
        .ok_or_else(|| ActionError::not_made("not_found", format!("there is no silence {id}")))?;
    if silence.state() == State::Expired {
        return Ok(silence.settled());
    }
    let deleted = backend.delete(context, &format!("silence/{id}")).await;
    // What the silence is now counts, whatever the answer was: somebody else may have ended it in between.
    match (expired(backend, context, id).await, deleted) {
        (Ok(Some(silence)), _) => Ok(silence.settled()),
        (Ok(None) | Err(_), Err(failure)) => Err(failure.of_change()),
        (Ok(None), Ok(())) => Err(ActionError::unknown(
            "not_expired",
            format!("the silence {id} is still in force"),
        )),
        (Err(failure), Ok(())) => Err(ActionError::made("not_read_back", failure.to_string())),
    }
}

async fn expired(backend: &Backend, context: &Context, id: &str) -> Result<Option<Wire>, Failure> {
    Ok(silence::by_id(backend, context, id)
        .await?
        .filter(|silence| silence.state() == State::Expired))
}

async fn look_up(
    backend: &Backend,
    context: &Context,
    id: &str,
) -> Result<Found<Settled>, ActionError> {
    let silence = silence::by_id(backend, context, id)
        .await
        .map_err(Failure::of_read)?;
    Ok(match silence {
        Some(silence) if silence.state() == State::Expired => Found::Done(silence.settled()),
        Some(_) | None => Found::NotDone,
    })
}
