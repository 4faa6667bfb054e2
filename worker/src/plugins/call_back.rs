//! What plugins may ask of us: their own settings and cache, and words about what they are running now.

use std::sync::Arc;
use std::time::Duration;

use engine::id::RunId;
use proto::engine_server::Engine;
use proto::metadata::{AUTHORIZATION, PLUGIN_NAME};
use proto::v1::{
    CacheEntry, CacheGetBatchRequest, CacheGetBatchResponse, CacheGetRequest, CacheGetResponse,
    CacheSetRequest, CacheSetResponse, CallPluginRequest, CallPluginResponse,
    DeregisterPluginRequest, DeregisterPluginResponse, GetConfigRequest, GetConfigResponse,
    GetKpiRequest, GetKpiResponse, HeartbeatRequest, HeartbeatResponse, ListKpIsRequest,
    ListKpIsResponse, LogEventRequest, LogEventResponse, PublishResultRequest,
    PublishResultResponse, RegisterPluginRequest, RegisterPluginResponse, RequestApprovalRequest,
    RequestApprovalResponse,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, async_trait};
use tracing::debug;

use super::Common;
use super::launches::Launch;
use super::settings;
use crate::caller::Said;

/// How long a value stays in the cache when the plugin does not say, and at most.
const CACHE_TTL: Duration = Duration::from_secs(300);
const CACHE_TTL_MAX: Duration = Duration::from_secs(86_400);
/// The longest key of the cache, in bytes, and the most keys asked for at once.
const CACHE_KEY_MAX: usize = 1024;
const CACHE_KEYS_MAX: usize = 1_000;

/// The engine's service for co-located plugins.
pub(super) struct Service(pub(super) Arc<Common>);

impl Service {
    /// Which of our processes asks. Nobody else is answered.
    fn caller<T>(&self, request: &Request<T>) -> Result<Arc<Launch>, Status> {
        let refused = || {
            Status::unauthenticated("the call does not carry the token of a plugin that runs here")
        };
        let metadata = request.metadata();
        let token = text(metadata, AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let launch = self
            .0
            .launches
            .by_token(token.ok_or_else(refused)?.as_bytes())
            .ok_or_else(refused)?;
        if text(metadata, PLUGIN_NAME).is_some_and(|name| name != launch.name) {
            return Err(foreign("another plugin's name"));
        }
        Ok(launch)
    }

    /// The same, for a request that names its tenant, which must be the one that the process serves.
    fn caller_of<T>(&self, request: &Request<T>, tenant: &str) -> Result<Arc<Launch>, Status> {
        let launch = self.caller(request)?;
        if tenant.is_empty() || tenant == launch.tenant.as_str() {
            return Ok(launch);
        }
        Err(foreign("another tenant"))
    }

    async fn cached(&self, launch: &Launch, key: String) -> Result<CacheEntry, Status> {
        let value = self.0.ports.memory.get(&cache_key(launch, &key)?).await;
        let value = value.map_err(|e| Status::unavailable(e.to_string()))?;
        Ok(CacheEntry {
            key,
            found: value.is_some(),
            value: value.unwrap_or_default().into(),
        })
    }
}

fn text<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name)?.to_str().ok()
}

fn foreign(what: &str) -> Status {
    Status::permission_denied(format!("the token was not given for {what}"))
}

/// Each plugin of each tenant has a cache of its own.
fn cache_key(launch: &Launch, key: &str) -> Result<String, Status> {
    if key.is_empty() || key.len() > CACHE_KEY_MAX {
        return Err(Status::invalid_argument(format!(
            "a cache key has 1 to {CACHE_KEY_MAX} bytes"
        )));
    }
    Ok(format!("cache/{}/{}/{key}", launch.tenant, launch.name))
}

#[async_trait]
impl Engine for Service {
    async fn register_plugin(
        &self,
        request: Request<RegisterPluginRequest>,
    ) -> Result<RegisterPluginResponse, Status> {
        let launch = self.caller_of(&request, &request.get_ref().tenant_id)?;
        let asked = request.into_inner();
        if asked.name != launch.name {
            return Err(foreign("another plugin's name"));
        }
        if asked.instance_id.is_empty() || !launch.register(&asked.instance_id) {
            return Err(foreign("another instance"));
        }
        Ok(RegisterPluginResponse {
            success: true,
            plugin_id: format!("{}/{}/{}", launch.tenant, launch.name, asked.instance_id),
            ..RegisterPluginResponse::default()
        })
    }

    async fn deregister_plugin(
        &self,
        request: Request<DeregisterPluginRequest>,
    ) -> Result<DeregisterPluginResponse, Status> {
        // Its end is seen where its process is watched; this is only polite.
        let launch = self.caller(&request)?;
        let acknowledged = launch.is_instance(&request.get_ref().instance_id);
        Ok(DeregisterPluginResponse { acknowledged })
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<HeartbeatResponse, Status> {
        let launch = self.caller(&request)?;
        Ok(HeartbeatResponse {
            acknowledged: true,
            re_register_required: !launch.is_instance(&request.get_ref().instance_id),
            ..HeartbeatResponse::default()
        })
    }

    async fn get_config(
        &self,
        request: Request<GetConfigRequest>,
    ) -> Result<GetConfigResponse, Status> {
        let launch = self.caller_of(&request, &request.get_ref().tenant_id)?;
        if request.get_ref().plugin_name != launch.name {
            return Err(foreign("another plugin's settings"));
        }
        let settings = settings::in_force(&self.0, &launch)
            .await
            .map_err(Status::unavailable)?;
        Ok(GetConfigResponse {
            config_json: serde_json::to_string(&settings.values).unwrap_or_default(),
            config: settings.values.into_iter().collect(),
            version: i64::try_from(settings.revision).unwrap_or(i64::MAX),
        })
    }

    async fn cache_get(
        &self,
        request: Request<CacheGetRequest>,
    ) -> Result<CacheGetResponse, Status> {
        let launch = self.caller_of(&request, &request.get_ref().tenant_id)?;
        let CacheEntry { value, found, .. } =
            self.cached(&launch, request.into_inner().key).await?;
        Ok(CacheGetResponse { value, found })
    }

    async fn cache_get_batch(
        &self,
        request: Request<CacheGetBatchRequest>,
    ) -> Result<CacheGetBatchResponse, Status> {
        let launch = self.caller_of(&request, &request.get_ref().tenant_id)?;
        let keys = request.into_inner().keys;
        if keys.len() > CACHE_KEYS_MAX {
            return Err(Status::invalid_argument(format!(
                "at most {CACHE_KEYS_MAX} keys at once"
            )));
        }
        let mut entries = Vec::with_capacity(keys.len());
        let mut bytes = 0;
        for key in keys {
            let entry = self.cached(&launch, key).await?;
            bytes += entry.value.len();
            if bytes > proto::limits::MESSAGE {
                return Err(Status::resource_exhausted(
                    "the values asked for are over 4 MiB together: ask for fewer",
                ));
            }
            entries.push(entry);
        }
        Ok(CacheGetBatchResponse { entries })
    }

    async fn cache_set(
        &self,
        request: Request<CacheSetRequest>,
    ) -> Result<CacheSetResponse, Status> {
        let launch = self.caller_of(&request, &request.get_ref().tenant_id)?;
        let asked = request.into_inner();
        let seconds = u64::try_from(asked.ttl_seconds).unwrap_or(0);
        let ttl = if seconds == 0 {
            CACHE_TTL
        } else {
            Duration::from_secs(seconds).min(CACHE_TTL_MAX)
        };
        let put = self
            .0
            .ports
            .memory
            .put(&cache_key(&launch, &asked.key)?, &asked.value, ttl)
            .await;
        Ok(CacheSetResponse {
            success: put.is_ok(),
        })
    }

    /// What a call became of is what its own answer says; this is only shown to who watches.
    async fn publish_result(
        &self,
        request: Request<PublishResultRequest>,
    ) -> Result<PublishResultResponse, Status> {
        let launch = self.caller_of(&request, &request.get_ref().tenant_id)?;
        let asked = request.into_inner();
        let runs = asked
            .execution_id
            .parse::<RunId>()
            .is_ok_and(|run| launch.runs(run));
        if !runs {
            return Err(Status::permission_denied(
                "this plugin does not run that execution now",
            ));
        }
        debug!(
            agent = launch.name,
            run = asked.execution_id,
            success = asked.success,
            "a plugin published a result"
        );
        Ok(PublishResultResponse { acknowledged: true })
    }

    async fn request_approval(
        &self,
        request: Request<RequestApprovalRequest>,
    ) -> Result<RequestApprovalResponse, Status> {
        self.caller(&request)?;
        Err(Status::permission_denied(
            "a plugin does not ask for consent itself: declare the action as MODIFY or ADMIN, and the engine asks before it is called",
        ))
    }

    async fn log_event(
        &self,
        request: Request<LogEventRequest>,
    ) -> Result<LogEventResponse, Status> {
        let launch = self.caller_of(&request, &request.get_ref().tenant_id)?;
        let asked = request.into_inner();
        let level = match asked.severity.as_str() {
            "debug" => "debug",
            "warn" | "warning" => "warn",
            "error" => "error",
            _ => "info",
        };
        let message = launch.clean(&asked.event_type);
        debug!(target: "plugin", agent = launch.name, level, message);
        for listener in launch.listeners() {
            let message = message.clone();
            listener.said(Said::Log { level, message }).await;
        }
        Ok(LogEventResponse { acknowledged: true })
    }

    async fn call_plugin(
        &self,
        request: Request<CallPluginRequest>,
    ) -> Result<CallPluginResponse, Status> {
        self.caller(&request)?;
        Err(Status::permission_denied(
            "a plugin does not call another one: make the call a step of the workflow",
        ))
    }

    async fn list_kpis(
        &self,
        request: Request<ListKpIsRequest>,
    ) -> Result<ListKpIsResponse, Status> {
        self.caller_of(&request, &request.get_ref().tenant_id)?;
        Ok(ListKpIsResponse::default())
    }

    async fn get_kpi(&self, request: Request<GetKpiRequest>) -> Result<GetKpiResponse, Status> {
        self.caller_of(&request, &request.get_ref().tenant_id)?;
        Ok(GetKpiResponse::default())
    }
}
