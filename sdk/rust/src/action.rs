//! One thing that an agent can do.

use std::{fmt, future::Future, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use jsonschema::Validator;
use proto::manifest::{self, Permission};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{ActionError, Context, Found, LookUp, schema};

/// An action that takes an `I` and gives an `O`.
///
/// The schemas of both are made from the types; doc comments of fields become descriptions.
pub struct Action<I, O> {
    pub(crate) erased: Erased,
    types: PhantomData<fn(I) -> O>,
}

/// An action whose types are forgotten: JSON in, JSON out.
#[derive(Clone)]
pub(crate) struct Erased {
    pub(crate) manifest: manifest::Action,
    pub(crate) input: Arc<Validator>,
    pub(crate) run: Run,
    pub(crate) look_up: Option<Look>,
}

type Run =
    Arc<dyn Fn(Context, Value) -> BoxFuture<'static, Result<Bytes, ActionError>> + Send + Sync>;
type Look = Arc<
    dyn Fn(Context, LookUp<Value>) -> BoxFuture<'static, Result<Found<Bytes>, ActionError>>
        + Send
        + Sync,
>;

impl<I: DeserializeOwned + JsonSchema + Send + 'static, O: Serialize + JsonSchema + Send + 'static>
    Action<I, O>
{
    /// An action that only looks.
    #[must_use]
    pub fn read<F, W>(id: &str, description: &str, handler: F) -> Self
    where
        F: Fn(Context, I) -> W + Send + Sync + 'static,
        W: Future<Output = Result<O, ActionError>> + Send + 'static,
    {
        Self::new(id, description, Permission::Read, handler)
    }

    /// An action that changes something. Give it [`Action::look_up`] or say that it is
    /// [`Action::idempotent`], or a person must settle each call whose answer was lost.
    #[must_use]
    pub fn modify<F, W>(id: &str, description: &str, handler: F) -> Self
    where
        F: Fn(Context, I) -> W + Send + Sync + 'static,
        W: Future<Output = Result<O, ActionError>> + Send + 'static,
    {
        Self::new(id, description, Permission::Modify, handler)
    }

    /// An action that changes something that takes an administrator to answer for.
    #[must_use]
    pub fn admin<F, W>(id: &str, description: &str, handler: F) -> Self
    where
        F: Fn(Context, I) -> W + Send + Sync + 'static,
        W: Future<Output = Result<O, ActionError>> + Send + 'static,
    {
        Self::new(id, description, Permission::Admin, handler)
    }

    fn new<F, W>(id: &str, description: &str, permission: Permission, handler: F) -> Self
    where
        F: Fn(Context, I) -> W + Send + Sync + 'static,
        W: Future<Output = Result<O, ActionError>> + Send + 'static,
    {
        let run = move |context, input| {
            let work = read_input(input).map(|input| handler(context, input));
            async move { write_output(&work?.await?) }.boxed()
        };
        let input_schema = schema::of_input::<I>();
        let validator = schema::compile(&input_schema).expect("schemars makes valid schemas");
        let manifest = manifest::Action {
            id: id.to_owned(),
            description: description.to_owned(),
            permission,
            idempotent: false,
            lookup: false,
            plan: false,
            settle_ms: None,
            timeout_ms: None,
            input_schema,
            output_schema: schema::of_output::<O>(),
        };
        let erased = Erased {
            manifest,
            input: Arc::new(validator),
            run: Arc::new(run),
            look_up: None,
        };
        Self {
            erased,
            types: PhantomData,
        }
    }

    /// Says that calling it twice with the same idempotency key changes no more than calling it once, and
    /// answers the same.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.erased.manifest.idempotent = true;
        self
    }

    /// Says what became of an earlier call, found by its idempotency key.
    #[must_use]
    pub fn look_up<F, W>(mut self, handler: F) -> Self
    where
        F: Fn(Context, LookUp<I>) -> W + Send + Sync + 'static,
        W: Future<Output = Result<Found<O>, ActionError>> + Send + 'static,
    {
        let look = move |context, asked: LookUp<Value>| {
            let LookUp {
                idempotency_key,
                input,
            } = asked;
            let work = read_input(input).map(|input| {
                handler(
                    context,
                    LookUp {
                        idempotency_key,
                        input,
                    },
                )
            });
            async move {
                Ok(match work?.await? {
                    Found::Done(output) => Found::Done(write_output(&output)?),
                    Found::NotDone => Found::NotDone,
                    Found::Unknown(why) => Found::Unknown(why),
                })
            }
            .boxed()
        };
        self.erased.look_up = Some(Arc::new(look));
        self.erased.manifest.lookup = true;
        self
    }

    /// How long after this process's death a request of it may still be travelling. Only then is a look-up's
    /// "not done" believed. Default: 5 s.
    #[must_use]
    pub fn settle(mut self, time: std::time::Duration) -> Self {
        self.erased.manifest.settle_ms = Some(whole_ms(time));
        self
    }

    /// How long one attempt may take when the workflow does not say. Default: 1 m, for changes 10 m.
    #[must_use]
    pub fn timeout(mut self, time: std::time::Duration) -> Self {
        self.erased.manifest.timeout_ms = Some(whole_ms(time));
        self
    }
}

impl<I, O> fmt::Debug for Action<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Action")
            .field(&self.erased.manifest)
            .finish()
    }
}

/// The schema was held to before this, so what fails here the schema could not say.
fn read_input<I: DeserializeOwned>(input: Value) -> Result<I, ActionError> {
    serde_json::from_value(input).map_err(|e| {
        ActionError::not_made("invalid_input", format!("the input cannot be read: {e}"))
    })
}

fn write_output<O: Serialize>(output: &O) -> Result<Bytes, ActionError> {
    serde_json::to_vec(output).map(Bytes::from).map_err(|e| {
        ActionError::failed(
            "invalid_output",
            format!("the output cannot be written as JSON: {e}"),
        )
    })
}

fn whole_ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
