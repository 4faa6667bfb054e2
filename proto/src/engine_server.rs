//! The engine's side of `EngineService`.

use std::{
    convert::Infallible,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Body as HttpBody, Service, StdError},
    metadata::MetadataMap,
    server::{Grpc, NamedService, UnaryService},
};

use crate::{
    limits, path,
    room::{Counted, Room, Taken},
    v1,
    wire::{self, Form, RawCodec},
};

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The calls of `EngineService`, each with its messages, its path and the largest request it takes.
macro_rules! engine_calls {
    ($($(#[$doc:meta])* $call:ident($request:ident) -> $answer:ident, $path:path, $limit:expr;)*) => {
        /// What plugins may ask of the engine. The caller's metadata (token, name, trace context) is in each
        /// [`Request`], and its [`Form`] in the extensions. A call that an implementation leaves out is answered with `UNIMPLEMENTED`.
        #[tonic::async_trait]
        pub trait Engine: Send + Sync + 'static {
            /// Whether the message of this caller is read at all. `call` is a path.
            ///
            /// # Errors
            /// What the caller is told instead.
            fn admit(&self, caller: &Request<()>, call: &str) -> Result<(), Status> {
                let _ = (caller, call);
                Ok(())
            }

            $(
                $(#[$doc])*
                async fn $call(&self, request: Request<v1::$request>) -> Result<v1::$answer, Status> {
                    drop(request);
                    Err(Status::unimplemented(concat!("this engine does not answer ", stringify!($call))))
                }
            )*
        }

        fn route<E: Engine, B: RequestBody>(engine: Arc<E>, room: (Arc<Room>, Duration), request: http::Request<B>) -> Answer<http::Response<Body>>
        where
            B::Error: Into<StdError> + Send,
        {
            if let Err(status) = engine.admit(&caller(&request), request.uri().path()) {
                return Box::pin(std::future::ready(status.into_http()));
            }
            match request.uri().path() {
                $($path => unary(request, (room, $limit), move |r| {
                    let engine = Arc::clone(&engine);
                    async move { engine.$call(r).await }
                }),)*
                other => {
                    let status = Status::unimplemented(format!("the engine has no call {other}"));
                    Box::pin(std::future::ready(status.into_http()))
                }
            }
        }
    };
}

engine_calls! {
    /// An instance serves, and says where. The same instance may say so again.
    register_plugin(RegisterPluginRequest) -> RegisterPluginResponse, path::REGISTER_PLUGIN, limits::SMALL;
    /// An instance is about to end.
    deregister_plugin(DeregisterPluginRequest) -> DeregisterPluginResponse, path::DEREGISTER_PLUGIN, limits::SMALL;
    /// An instance is alive.
    heartbeat(HeartbeatRequest) -> HeartbeatResponse, path::HEARTBEAT, limits::SMALL;
    /// The plugin's own settings.
    get_config(GetConfigRequest) -> GetConfigResponse, path::GET_CONFIG, limits::SMALL;
    /// One value of the tenant's cache.
    cache_get(CacheGetRequest) -> CacheGetResponse, path::CACHE_GET, limits::SMALL;
    /// Several values, in the order asked.
    cache_get_batch(CacheGetBatchRequest) -> CacheGetBatchResponse, path::CACHE_GET_BATCH, limits::CACHE_KEYS;
    /// Puts a value into the tenant's cache.
    cache_set(CacheSetRequest) -> CacheSetResponse, path::CACHE_SET, limits::JSON_CACHE;
    /// Publishes a result about an execution that the caller is running.
    publish_result(PublishResultRequest) -> PublishResultResponse, path::PUBLISH_RESULT, limits::MESSAGE;
    /// Asks people; answers when they have decided.
    request_approval(RequestApprovalRequest) -> RequestApprovalResponse, path::REQUEST_APPROVAL, limits::APPROVAL_CONTEXT;
    /// Writes a line into the log of an execution.
    log_event(LogEventRequest) -> LogEventResponse, path::LOG_EVENT, limits::SMALL;
    /// Calls a READ action of another plugin.
    call_plugin(CallPluginRequest) -> CallPluginResponse, path::CALL_PLUGIN, limits::MESSAGE;
    /// The tenant's key performance indicators.
    list_kpis(ListKpIsRequest) -> ListKpIsResponse, path::LIST_KPIS, limits::SMALL;
    /// One of them.
    get_kpi(GetKpiRequest) -> GetKpiResponse, path::GET_KPI, limits::SMALL;
}

/// What a request's body must be able to do.
pub trait RequestBody: HttpBody + Send + 'static {}

impl<B: HttpBody + Send + 'static> RequestBody for B {}

/// Serves an [`Engine`] to peers of either form: messages arrive as raw bytes and are decoded here.
#[derive(Debug)]
pub struct EngineServer<E> {
    engine: Arc<E>,
    within: Duration,
    room: Arc<Room>,
}

impl<E: Engine> EngineServer<E> {
    /// A server over this engine. A call ends with `DEADLINE_EXCEEDED` after `within`; one that waits for people
    /// must have arrived by then.
    #[must_use]
    pub fn new(engine: Arc<E>, within: Duration) -> Self {
        Self {
            engine,
            within,
            room: Arc::default(),
        }
    }
}

impl<E> Clone for EngineServer<E> {
    fn clone(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            within: self.within,
            room: Arc::clone(&self.room),
        }
    }
}

impl<E> NamedService for EngineServer<E> {
    const NAME: &'static str = path::ENGINE_SERVICE;
}

impl<E: Engine, B: RequestBody> Service<http::Request<B>> for EngineServer<E>
where
    B::Error: Into<StdError> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let waits = request.uri().path() == path::REQUEST_APPROVAL;
        let within = self.within;
        let room = (Arc::clone(&self.room), within);
        let answer = route(Arc::clone(&self.engine), room, request);
        Box::pin(async move {
            if waits {
                return Ok(answer.await);
            }
            let late = || Status::deadline_exceeded("the engine has not answered in time");
            let answer = timeout(within, answer).await;
            Ok(answer.unwrap_or_else(|_| late().into_http()))
        })
    }
}

/// Who calls, without what they say.
fn caller<B>(request: &http::Request<B>) -> Request<()> {
    let metadata = MetadataMap::from_headers(request.headers().clone());
    Request::from_parts(metadata, request.extensions().clone(), ())
}

fn unary<B: RequestBody, Q, A, F, W>(
    request: http::Request<B>,
    ((room, within), limit): ((Arc<Room>, Duration), usize),
    ask: F,
) -> Answer<http::Response<Body>>
where
    B::Error: Into<StdError> + Send,
    Q: Message + Default + DeserializeOwned + 'static,
    A: Message + Serialize,
    F: Fn(Request<Q>) -> W + Send + 'static,
    W: Future<Output = Result<A, Status>> + Send + 'static,
{
    Box::pin(async move {
        let taken = Taken::of(room, limit);
        let waits = request.uri().path() == path::REQUEST_APPROVAL;
        let request = request.map(|body| Counted::new(body, Arc::clone(&taken), within));
        let mut grpc = Grpc::new(RawCodec).max_decoding_message_size(limit);
        let decoded = Decoded {
            ask,
            // What is held while people think is bounded by the number of their questions.
            read: waits.then(|| Arc::clone(&taken)),
            request: PhantomData,
        };
        let answer = grpc.unary(decoded, request).await;
        drop(taken);
        answer
    })
}

/// A call on decoded messages, made one on raw bytes.
struct Decoded<F, Q> {
    ask: F,
    /// What is given back as soon as the message is read.
    read: Option<Arc<Taken>>,
    request: PhantomData<fn(Q)>,
}

impl<Q, A, F, W> UnaryService<Bytes> for Decoded<F, Q>
where
    Q: Message + Default + DeserializeOwned,
    A: Message + Serialize,
    F: Fn(Request<Q>) -> W,
    W: Future<Output = Result<A, Status>> + Send + 'static,
{
    type Response = Bytes;
    type Future = Answer<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (metadata, mut extensions, message) = request.into_parts();
        let content_type = metadata.get(CONTENT_TYPE.as_str());
        let form = Form::of(&message, content_type.map_or(b"", |value| value.as_bytes()));
        if form == Form::Protobuf && message.len() > limits::MESSAGE {
            let refused = Status::out_of_range("the message is over 4 MiB");
            return Box::pin(std::future::ready(Err(refused)));
        }
        extensions.insert(form);
        let decoded = wire::decode(message, form);
        if let Some(read) = &self.read {
            read.give_back();
        }
        match decoded {
            Ok(message) => {
                let answer = (self.ask)(Request::from_parts(metadata, extensions, message));
                Box::pin(async move { Ok(Response::new(wire::encode(&answer.await?, form))) })
            }
            Err(e) => Box::pin(std::future::ready(Err(Status::invalid_argument(
                e.to_string(),
            )))),
        }
    }
}
