//! The engine's side of `PluginService`.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{
    Code, Request, Streaming,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
};

use crate::{
    address::Address,
    connection::Connection,
    failure::CallFailure,
    json, limits, metadata, path,
    tls::ClientConfig,
    v1::{
        ConfigUpdatedRequest, ConfigUpdatedResponse, ExecuteEvent, ExecuteRequest, ExecuteResponse,
        HealthCheckRequest, HealthCheckResponse, InfoRequest, InfoResponse, LookUpRequest,
        LookUpResponse, execute_event::Event,
    },
    wire::{self, Form, RawCodec},
};

/// How long connecting to a plugin on this machine may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// The content type of the JSON form.
const JSON_CONTENT_TYPE: &str = "application/grpc+json";

/// How long the end of a stream is waited for after its result, which it follows at once.
const LAST_FRAME: Duration = Duration::from_millis(100);

/// Calls one plugin process. Clones share its connection.
///
/// It never retries and never reconnects: what a lost call means is for the caller to decide.
#[derive(Clone, Debug)]
pub struct PluginClient {
    connection: Connection,
    call_secret: Option<MetadataValue<Ascii>>,
    form: Form,
}

/// The circumstances of one call.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// How long the answer is waited for, the last event of a stream included.
    pub timeout: Duration,
    /// W3C trace context, passed on to the plugin.
    pub traceparent: Option<String>,
}

impl CallOptions {
    /// A call that may take so long.
    #[must_use]
    pub fn within(timeout: Duration) -> Self {
        Self {
            timeout,
            traceparent: None,
        }
    }
}

impl PluginClient {
    /// Connects to a plugin. `call_secret` is what its starter gave it.
    ///
    /// # Errors
    /// When the plugin cannot be reached, or the secret is no visible ASCII.
    pub async fn connect(address: &Address, call_secret: Option<&str>) -> io::Result<Self> {
        let call_secret = call_secret
            .map(|secret| {
                let mut value = MetadataValue::try_from(secret).map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "the call secret is no visible ASCII",
                    )
                })?;
                value.set_sensitive(true);
                Ok::<_, io::Error>(value)
            })
            .transpose()?;
        Ok(Self {
            connection: Connection::open(address, CONNECT_PATIENCE).await?,
            call_secret,
            form: Form::Protobuf,
        })
    }

    /// Connects to a plugin that was not started here and speaks this form.
    ///
    /// # Errors
    /// When the plugin cannot be reached.
    pub async fn connect_to(
        address: &Address,
        form: Form,
        tls: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        let connection = Connection::open_with(address, CONNECT_PATIENCE, tls).await?;
        Ok(Self {
            connection: match form {
                Form::Protobuf => connection,
                // Peers of the Go dialect need it, and those of the other one do not look at it.
                Form::Json(_) => connection.with_content_type(JSON_CONTENT_TYPE),
            },
            call_secret: None,
            form,
        })
    }

    /// How its peer writes messages.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whether the plugin is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Waits until the plugin is gone.
    pub async fn closed(&self) {
        self.connection.closed().await;
    }

    /// Who the plugin is and what it can do.
    ///
    /// # Errors
    /// [`CallFailure`], as with every call here.
    pub async fn info(&self, options: &CallOptions) -> Result<InfoResponse, CallFailure> {
        self.unary(path::INFO, &InfoRequest {}, options).await
    }

    /// Runs an action; what it says while it runs is lost.
    ///
    /// # Errors
    /// [`CallFailure`]. A failed action is an answer, not an error.
    pub async fn execute(
        &self,
        request: &ExecuteRequest,
        options: &CallOptions,
    ) -> Result<ExecuteResponse, CallFailure> {
        match self.form {
            Form::Protobuf => self.unary(path::EXECUTE, request, options).await,
            Form::Json(_) => {
                let request = json::execute_request(request).map_err(|e| CallFailure {
                    sent: false,
                    code: Code::InvalidArgument,
                    message: format!("the parameters are no JSON object: {e}"),
                })?;
                let answer = self.unary(path::EXECUTE, &request, options).await?;
                Ok(json::execute_response(answer))
            }
        }
    }

    /// Runs an action and follows it. Native peers only. Dropping what this returns, or this future, cancels the call.
    ///
    /// # Errors
    /// [`CallFailure`]. A failed action is an answer, not an error.
    pub async fn execute_stream(
        &self,
        request: &ExecuteRequest,
        options: &CallOptions,
    ) -> Result<Events, CallFailure> {
        let deadline = Instant::now() + options.timeout;
        let request = self.request(wire::encode(request, self.form), options)?;
        let mut grpc = self.grpc();
        let call = grpc.server_streaming(
            request,
            PathAndQuery::from_static(path::EXECUTE_STREAM),
            RawCodec,
        );
        let stream = timeout_at(deadline, call)
            .await
            .map_err(|_| too_late())??
            .into_inner();
        Ok(Events {
            stream: Some(stream),
            result: None,
            deadline,
        })
    }

    /// What became of an earlier call.
    ///
    /// # Errors
    /// [`CallFailure`].
    pub async fn look_up(
        &self,
        request: &LookUpRequest,
        options: &CallOptions,
    ) -> Result<LookUpResponse, CallFailure> {
        self.unary(path::LOOK_UP, request, options).await
    }

    /// Gives the plugin its settings, all of them.
    ///
    /// # Errors
    /// [`CallFailure`]. Settings that the plugin refuses are an answer, not an error.
    pub async fn config_updated(
        &self,
        request: &ConfigUpdatedRequest,
        options: &CallOptions,
    ) -> Result<ConfigUpdatedResponse, CallFailure> {
        self.unary(path::CONFIG_UPDATED, request, options).await
    }

    /// Whether the plugin works.
    ///
    /// # Errors
    /// [`CallFailure`].
    pub async fn health_check(
        &self,
        options: &CallOptions,
    ) -> Result<HealthCheckResponse, CallFailure> {
        self.unary(path::HEALTH_CHECK, &HealthCheckRequest {}, options)
            .await
    }

    async fn unary<Q: Message + Serialize, A: Message + Default + DeserializeOwned>(
        &self,
        path: &'static str,
        request: &Q,
        options: &CallOptions,
    ) -> Result<A, CallFailure> {
        let request = self.request(wire::encode(request, self.form), options)?;
        let mut grpc = self.grpc();
        let call = grpc.unary(request, PathAndQuery::from_static(path), RawCodec);
        let answer = timeout(options.timeout, call)
            .await
            .map_err(|_| too_late())??;
        wire::decode(answer.into_inner(), self.form).map_err(unreadable)
    }

    fn grpc(&self) -> Grpc<Connection> {
        Grpc::with_origin(self.connection.clone(), Connection::origin())
            .max_decoding_message_size(limits::EXECUTE_REPLY)
    }

    fn request(
        &self,
        message: Bytes,
        options: &CallOptions,
    ) -> Result<Request<Bytes>, CallFailure> {
        let mut request = Request::new(message);
        request.set_timeout(options.timeout);
        if let Some(secret) = &self.call_secret {
            request
                .metadata_mut()
                .insert(metadata::CALL_SECRET, secret.clone());
        }
        if let Some(trace) = &options.traceparent {
            let value = MetadataValue::try_from(trace.as_str()).map_err(|_| CallFailure {
                sent: false,
                code: Code::InvalidArgument,
                message: "the trace context is no visible ASCII".to_owned(),
            })?;
            request.metadata_mut().insert(metadata::TRACEPARENT, value);
        }
        Ok(request)
    }
}

/// What a running call says. Dropping it cancels the call.
#[derive(Debug)]
pub struct Events {
    stream: Option<Streaming<Bytes>>,
    result: Option<Event>,
    deadline: Instant,
}

impl Events {
    /// The next event; `None` after the result, which comes exactly once. This future may be dropped and
    /// asked for again: nothing is lost.
    ///
    /// # Errors
    /// [`CallFailure`] when the plugin is gone, the time is over, or it ends without a result. After an
    /// error there is nothing more to come.
    pub async fn next(&mut self) -> Result<Option<Event>, CallFailure> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        if self.result.is_none() {
            match read(stream, self.deadline).await {
                Ok(result @ Event::Result(_)) => self.result = Some(result),
                Ok(event) => return Ok(Some(event)),
                Err(failure) => {
                    self.stream = None;
                    return Err(failure);
                }
            }
        }
        // A stream that is dropped before its end is reset, and many resets are taken for an attack.
        let _ = timeout(LAST_FRAME, stream.message()).await;
        self.stream = None;
        Ok(self.result.take())
    }
}

async fn read(stream: &mut Streaming<Bytes>, deadline: Instant) -> Result<Event, CallFailure> {
    let broken = |what| Err(CallFailure::sent(Code::Internal, what));
    // Where there is always something to read, the time that is over is never looked at below.
    if Instant::now() >= deadline {
        return Err(too_late());
    }
    match timeout_at(deadline, stream.message()).await {
        Ok(Ok(Some(message))) => match wire::decode::<ExecuteEvent>(message, Form::Protobuf)
            .map_err(unreadable)?
        {
            ExecuteEvent { event: Some(event) } => Ok(event),
            // It says nothing that this version could use, and a plugin that sends only such events must not
            // keep us busy.
            ExecuteEvent { event: None } => broken("the plugin sent an event of an unknown kind"),
        },
        Ok(Ok(None)) => broken("the plugin ended the call without a result"),
        Ok(Err(status)) => Err(CallFailure {
            sent: true,
            ..status.into()
        }),
        Err(_) => Err(too_late()),
    }
}

fn too_late() -> CallFailure {
    CallFailure::sent(Code::DeadlineExceeded, "the plugin did not answer in time")
}

fn unreadable(error: wire::DecodeError) -> CallFailure {
    CallFailure::sent(
        Code::Internal,
        format!("the plugin's answer cannot be read: {error}"),
    )
}
