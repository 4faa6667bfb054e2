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
use tokio::{task::spawn_blocking, time::timeout};
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

pub use crate::room::Sender;

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The calls of `EngineService`, each with its messages, its path and the largest request it takes.
macro_rules! engine_calls {
    ($($(#[$doc:meta])* $call:ident($request:ident) -> $answer:ident, $path:path, $limit:expr;)*) => {
        /// What plugins may ask of the engine. The caller's metadata (token, name, trace context) is in each
        /// [`Request`], and its [`Form`] in the extensions. A call that an implementation leaves out is answered with `UNIMPLEMENTED`.
        #[tonic::async_trait]
        pub trait Engine: Send + Sync + 'static {
            /// Whether the message of this caller is read at all, and who sends it. `call` is a path.
            ///
            /// # Errors
            /// What the caller is told instead.
            fn admit(&self, caller: &Request<()>, call: &str) -> Result<Sender, Status>;

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
            let sender = match engine.admit(&caller(&request), request.uri().path()) {
                Ok(sender) => sender,
                Err(status) => return Box::pin(std::future::ready(status.into_http())),
            };
            let (room, within) = room;
            let taken = Taken::of(room, sender);
            match request.uri().path() {
                $($path => unary(request, (taken, within, $limit), move |r| {
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
    (taken, within, limit): (Arc<Taken>, Duration, usize),
    ask: F,
) -> Answer<http::Response<Body>>
where
    B::Error: Into<StdError> + Send,
    Q: Message + Default + DeserializeOwned + 'static,
    A: Message + Serialize,
    F: Fn(Request<Q>) -> W + Clone + Send + 'static,
    W: Future<Output = Result<A, Status>> + Send + 'static,
{
    Box::pin(async move {
        let waits = request.uri().path() == path::REQUEST_APPROVAL;
        let request = request.map(|body| Counted::new(body, Arc::clone(&taken), within));
        let mut grpc = Grpc::new(RawCodec).max_decoding_message_size(limit);
        let decoded = Decoded {
            ask,
            taken,
            waits,
            request: PhantomData,
        };
        grpc.unary(decoded, request).await
    })
}

/// A call on decoded messages, made one on raw bytes.
struct Decoded<F, Q> {
    ask: F,
    taken: Arc<Taken>,
    /// It waits for people: what is held while they think is bounded by the number of their questions, so the room is
    /// given back as soon as the message is read.
    waits: bool,
    request: PhantomData<fn(Q)>,
}

impl<Q, A, F, W> UnaryService<Bytes> for Decoded<F, Q>
where
    Q: Message + Default + DeserializeOwned + 'static,
    A: Message + Serialize,
    F: Fn(Request<Q>) -> W + Clone + Send + 'static,
    W: Future<Output = Result<A, Status>> + Send + 'static,
{
    type Response = Bytes;
    type Future = Answer<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (metadata, mut extensions, message) = request.into_parts();
        let content_type = metadata.get(CONTENT_TYPE.as_str());
        let form = Form::of(&message, content_type.map_or(b"", |value| value.as_bytes()));
        extensions.insert(form);
        let (ask, taken, waits) = (self.ask.clone(), Arc::clone(&self.taken), self.waits);
        Box::pin(async move {
            let message = read(message, form, &taken).await?;
            if waits {
                taken.give_back();
            }
            let answer = ask(Request::from_parts(metadata, extensions, message)).await?;
            Ok(Response::new(wire::encode(&answer, form)))
        })
    }
}

/// Reads a message: a large one in the JSON form off the threads that answer, which it would keep for a while.
async fn read<Q: Message + Default + DeserializeOwned + 'static>(
    message: Bytes,
    form: Form,
    taken: &Taken,
) -> Result<Q, Status> {
    let refused = |e: wire::DecodeError| Status::invalid_argument(e.to_string());
    if form == Form::Protobuf {
        return match message.len() > limits::MESSAGE {
            true => Err(Status::out_of_range("the message is over 4 MiB")),
            false => wire::decode(message, form).map_err(refused),
        };
    }
    if message.len() <= limits::SMALL {
        return wire::decode(message, form).map_err(refused);
    }
    // It goes on when its caller goes away, and keeps its turn for so long.
    let turn = taken.turn().await;
    let read = move || {
        let _turn = turn;
        wire::decode(message, form)
    };
    match spawn_blocking(read).await {
        Ok(read) => read.map_err(refused),
        Err(_) => Err(Status::internal("the message could not be read")),
    }
}
