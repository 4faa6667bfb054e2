//! `PluginService`, served by one agent.

use std::{
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context as Task, Poll, ready},
    time::Duration,
};

use futures::Stream;
use proto::{
    limits, metadata,
    v1::{
        self,
        execute_event::Event,
        plugin_service_server::{PluginService, PluginServiceServer},
    },
};
use subtle::ConstantTimeEq;
use tokio::{sync::mpsc, time::timeout};
use tonic::{
    Request, Response, Status,
    service::{Interceptor, interceptor::InterceptedService},
};

use crate::{Agent, Config, call::Calls};

/// How long a health check may take.
const HEALTH_MAX: Duration = Duration::from_secs(5);

/// One running process of an agent. Clones are the same process.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) id: uuid::Uuid,
    pub(crate) calls: Arc<Calls>,
    config: Arc<RwLock<Arc<Config>>>,
    call_secret: Option<Arc<str>>,
}

impl Instance {
    pub(crate) fn new(agent: Agent, call_secret: Option<String>) -> Self {
        let config = Config::defaults(&agent.manifest.settings);
        Self {
            id: uuid::Uuid::now_v7(),
            calls: Arc::new(Calls::new(agent)),
            config: Arc::new(RwLock::new(Arc::new(config))),
            call_secret: call_secret.map(Arc::from),
        }
    }

    /// The service, behind the call secret.
    pub(crate) fn service(&self) -> InterceptedService<PluginServiceServer<Self>, Guard> {
        let server = PluginServiceServer::new(self.clone())
            .max_decoding_message_size(limits::EXECUTE_REQUEST);
        InterceptedService::new(server, Guard(self.call_secret.clone()))
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn agent(&self) -> &Agent {
        &self.calls.agent
    }

    async fn health(&self) -> Result<String, String> {
        let config = self.config();
        if let Some(missing) = config.missing(&self.agent().manifest.settings) {
            return Err(missing);
        }
        match &self.agent().health {
            None => Ok("serving".to_owned()),
            Some(health) => timeout(HEALTH_MAX, health(config))
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {} s", HEALTH_MAX.as_secs()))),
        }
    }
}

/// Lets only the starter call: on a shared machine every process can reach a loopback port.
#[derive(Clone)]
pub(crate) struct Guard(Option<Arc<str>>);

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(expected) = &self.0 else {
            return Ok(request);
        };
        let given = request.metadata().get(metadata::CALL_SECRET);
        let given = given.map_or(&b""[..], |value| value.as_bytes());
        if bool::from(given.ct_eq(expected.as_bytes())) {
            return Ok(request);
        }
        Err(Status::unauthenticated(
            "the call does not carry this plugin's call secret",
        ))
    }
}

#[tonic::async_trait]
impl PluginService for Instance {
    type ExecuteStreamStream = Answers;

    async fn info(
        &self,
        _: Request<v1::InfoRequest>,
    ) -> Result<Response<v1::InfoResponse>, Status> {
        Ok(Response::new(
            self.agent().manifest.to_info(&self.id.to_string()),
        ))
    }

    async fn get_schema(
        &self,
        _: Request<v1::GetSchemaRequest>,
    ) -> Result<Response<v1::GetSchemaResponse>, Status> {
        let actions = self.agent().manifest.to_info("").actions;
        Ok(Response::new(v1::GetSchemaResponse {
            actions,
            ..Default::default()
        }))
    }

    async fn execute(
        &self,
        request: Request<v1::ExecuteRequest>,
    ) -> Result<Response<v1::ExecuteResponse>, Status> {
        let mut events = self.calls.start(request.into_inner(), self.config());
        while let Some(event) = events.recv().await {
            match event {
                Event::Result(result) => return Ok(Response::new(result)),
                Event::Progress(_) | Event::Log(_) | Event::Checkpoint(_) => {}
            }
        }
        Err(Status::internal("the call ended without a result"))
    }

    async fn execute_stream(
        &self,
        request: Request<v1::ExecuteRequest>,
    ) -> Result<Response<Answers>, Status> {
        let events = self.calls.start(request.into_inner(), self.config());
        Ok(Response::new(Answers(Some(events))))
    }

    async fn look_up(
        &self,
        request: Request<v1::LookUpRequest>,
    ) -> Result<Response<v1::LookUpResponse>, Status> {
        Ok(Response::new(
            self.calls
                .look_up(request.into_inner(), self.config())
                .await,
        ))
    }

    async fn config_updated(
        &self,
        request: Request<v1::ConfigUpdatedRequest>,
    ) -> Result<Response<v1::ConfigUpdatedResponse>, Status> {
        let agent = self.agent();
        let checked = Config::checked(&agent.manifest.settings, request.into_inner().config)
            .and_then(|config| {
                agent
                    .check
                    .as_ref()
                    .map_or(Ok(()), |check| check(&config))?;
                Ok(config)
            });
        let error = match checked {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                String::new()
            }
            Err(problems) => problems,
        };
        Ok(Response::new(v1::ConfigUpdatedResponse {
            acknowledged: error.is_empty(),
            error,
        }))
    }

    async fn health_check(
        &self,
        _: Request<v1::HealthCheckRequest>,
    ) -> Result<Response<v1::HealthCheckResponse>, Status> {
        let health = self.health().await;
        let healthy = health.is_ok();
        let message = health.unwrap_or_else(|problem| problem);
        Ok(Response::new(v1::HealthCheckResponse {
            healthy,
            message,
            ..Default::default()
        }))
    }
}

/// The events of a call, up to and including its result. Dropping them drops the call.
pub(crate) struct Answers(Option<mpsc::Receiver<Event>>);

impl Stream for Answers {
    type Item = Result<v1::ExecuteEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let Some(events) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let event = ready!(events.poll_recv(task));
        // A handler may keep its context, and with it the channel, longer than its call.
        if matches!(event, None | Some(Event::Result(_))) {
            self.0 = None;
        }
        Poll::Ready(event.map(|event| Ok(v1::ExecuteEvent { event: Some(event) })))
    }
}
