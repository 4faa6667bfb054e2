//! The service itself.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt;
use proto::environment;
use proto::v1::execute_event::Event;
use proto::v1::plugin_service_server::PluginService;
use proto::v1::{self, ExecuteRequest, ExecuteResponse, LookUpOutcome};
use serde_json::json;
use tonic::{Request, Response, Status};

use crate::act::Events;
use crate::{Puppet, manifest, say, variable};

/// So many streams were refused.
static REFUSED: AtomicU32 = AtomicU32::new(0);

pub(crate) fn refused() -> u32 {
    REFUSED.load(Ordering::Relaxed)
}

#[tonic::async_trait]
impl PluginService for Puppet {
    type ExecuteStreamStream = Events;

    async fn info(
        &self,
        _: Request<v1::InfoRequest>,
    ) -> Result<Response<v1::InfoResponse>, Status> {
        Ok(Response::new(match self.manners.as_str() {
            "info-hangs" => std::future::pending().await,
            "info-refused" => {
                return Err(Status::internal("\u{1b}[2J\u{1b}]0;gone\u{7} I am nobody"));
            }
            "info-empty" => v1::InfoResponse::default(),
            "info-huge" => v1::InfoResponse {
                description: "x".repeat(8 << 20),
                ..manifest::of(&self.name).to_info("one")
            },
            "info-of-another" => manifest::of("good").to_info("one"),
            "imposter" => manifest::with_extra(&self.name).to_info("one"),
            _ => manifest::of(&self.name).to_info("one"),
        }))
    }

    async fn get_schema(
        &self,
        _: Request<v1::GetSchemaRequest>,
    ) -> Result<Response<v1::GetSchemaResponse>, Status> {
        Ok(Response::new(v1::GetSchemaResponse::default()))
    }

    async fn execute(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        if self.manners != "no-stream" {
            return Err(Status::unimplemented("only as a stream"));
        }
        let mut events = self.act(request.into_inner()).await?;
        while let Some(event) = events.next().await {
            if let Some(Event::Result(result)) = event?.event {
                return Ok(Response::new(result));
            }
        }
        Err(Status::internal("no result"))
    }

    async fn execute_stream(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<Events>, Status> {
        if self.manners == "no-stream" {
            REFUSED.fetch_add(1, Ordering::Relaxed);
            return Err(Status::unimplemented("no such call"));
        }
        let secret = request.metadata().get("x-mirastack-call-secret");
        if secret.map(|s| s.as_bytes()) != Some(variable(environment::CALL_SECRET).as_bytes()) {
            return Err(Status::unauthenticated("not my starter"));
        }
        self.act(request.into_inner()).await.map(Response::new)
    }

    async fn look_up(
        &self,
        request: Request<v1::LookUpRequest>,
    ) -> Result<Response<v1::LookUpResponse>, Status> {
        let key = request.into_inner().idempotency_key;
        Ok(Response::new(v1::LookUpResponse {
            outcome: LookUpOutcome::Done.into(),
            result_json: json!({ "key": key }).to_string().into(),
            ..v1::LookUpResponse::default()
        }))
    }

    async fn config_updated(
        &self,
        request: Request<v1::ConfigUpdatedRequest>,
    ) -> Result<Response<v1::ConfigUpdatedResponse>, Status> {
        let config = request.into_inner();
        if self.manners == "no-settings" {
            std::future::pending::<()>().await;
        }
        let error = match config.config.get("url") {
            Some(url) if url == "refused" => "I do not like it".to_owned(),
            Some(url) if url == "refused at length" => "\u{1b}[31mno ".repeat(100_000),
            _ => String::new(),
        };
        say(&format!(
            "settings {}: {:?}",
            config.version,
            config.config.get("url")
        ));
        Ok(Response::new(v1::ConfigUpdatedResponse {
            acknowledged: error.is_empty(),
            error,
        }))
    }

    async fn health_check(
        &self,
        _: Request<v1::HealthCheckRequest>,
    ) -> Result<Response<v1::HealthCheckResponse>, Status> {
        if self.manners == "sick" {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        Ok(Response::new(v1::HealthCheckResponse {
            healthy: true,
            message: "fine".to_owned(),
            ..v1::HealthCheckResponse::default()
        }))
    }
}
