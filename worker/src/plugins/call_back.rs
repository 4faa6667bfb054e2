//! What plugins may ask of us: their own settings and cache, and words about what they are running now.

use std::sync::Arc;
use std::time::Duration;

use engine::id::Tenant;
use proto::engine_server::{Engine, Sender};
use proto::metadata::PLUGIN_NAME;
use proto::path;
use proto::v1::{
    CacheEntry, CacheGetBatchRequest, CacheGetBatchResponse, CacheGetRequest, CacheGetResponse,
    CacheSetRequest, CacheSetResponse, CallPluginRequest, CallPluginResponse,
    DeregisterPluginRequest, DeregisterPluginResponse, GetConfigRequest, GetConfigResponse,
    GetKpiRequest, GetKpiResponse, HeartbeatRequest, HeartbeatResponse, ListKpIsRequest,
    ListKpIsResponse, LogEventRequest, LogEventResponse, PublishResultRequest,
    PublishResultResponse, RegisterPluginRequest, RegisterPluginResponse, RequestApprovalRequest,
    RequestApprovalResponse,
};
use proto::wire::Form;
use tonic::{Request, Status, async_trait};
use tracing::warn;

use super::asker::{Asker, foreign, text, unknown};
use super::cached::CacheAnswer;
use super::line::{self, Data, tell};
use super::{Common, errand, question, remote, settings};

/// How long a value stays in the cache when the plugin does not say, and at most.
const CACHE_TTL: Duration = Duration::from_secs(300);
const CACHE_TTL_MAX: Duration = Duration::from_secs(86_400);
/// The most keys of the cache asked for at once.
const CACHE_KEYS_MAX: usize = 1_000;

/// What those may call who have not registered.
const INTRODUCTIONS: [&str; 3] = [
    path::REGISTER_PLUGIN,
    path::DEREGISTER_PLUGIN,
    path::HEARTBEAT,
];

/// The engine's service for plugins: those that we started, told by their tokens, and those that registered without.
pub(super) struct Service(pub(super) Arc<Common>);

#[async_trait]
impl Engine for Service {
    /// While nobody has registered from elsewhere, strangers can only introduce themselves. Who says its name beside
    /// its message, as the Go SDK does, must have registered under it.
    fn admit(&self, caller: &Request<()>, call: &str) -> Result<Sender, Status> {
        match self.asker(caller)? {
            Asker::Ours(_) => Ok(Sender::Proven),
            Asker::Stranger(peer) => {
                let known = || self.0.remotes.has(text(caller.metadata(), PLUGIN_NAME));
                if !INTRODUCTIONS.contains(&call) && !known() {
                    return Err(unknown());
                }
                Ok(Sender::Stranger(peer))
            }
        }
    }

    async fn register_plugin(
        &self,
        request: Request<RegisterPluginRequest>,
    ) -> Result<RegisterPluginResponse, Status> {
        let asker = self.asker(&request)?;
        let form = request.extensions().get().copied();
        let form = form.unwrap_or(Form::Protobuf);
        let asked = request.into_inner();
        match asker {
            Asker::Ours(launch) => {
                if !asked.tenant_id.is_empty() && asked.tenant_id != launch.tenant.as_str() {
                    return Err(foreign("another tenant"));
                }
                if asked.name != launch.name {
                    return Err(foreign("another plugin's name"));
                }
                if asked.instance_id.is_empty() || !launch.register(&asked.instance_id) {
                    return Err(foreign("another instance"));
                }
                Ok(welcome(&launch.tenant, &asked))
            }
            Asker::Stranger(peer) => match remote::register(&self.0, (peer, form), &asked).await {
                Ok(remote) => Ok(welcome(&remote.launch().tenant, &asked)),
                Err(error) => {
                    warn!(agent = asked.name, error, "a plugin was not let in");
                    Ok(RegisterPluginResponse {
                        error,
                        ..RegisterPluginResponse::default()
                    })
                }
            },
        }
    }

    async fn deregister_plugin(
        &self,
        request: Request<DeregisterPluginRequest>,
    ) -> Result<DeregisterPluginResponse, Status> {
        let asker = self.asker(&request)?;
        let DeregisterPluginRequest { name, instance_id } = request.into_inner();
        let acknowledged = match asker {
            // Its end is seen where its process is watched; this is only polite.
            Asker::Ours(launch) => launch.is_instance(&instance_id),
            Asker::Stranger(_) => {
                let remotes = &self.0.remotes;
                remotes
                    .find(&name, &instance_id)
                    .is_some_and(|remote| remotes.remove(&remote))
            }
        };
        Ok(DeregisterPluginResponse { acknowledged })
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<HeartbeatResponse, Status> {
        let asker = self.asker(&request)?;
        let HeartbeatRequest { name, instance_id } = request.into_inner();
        let (known, beat_s) = match asker {
            Asker::Ours(launch) => (launch.is_instance(&instance_id), 0),
            Asker::Stranger(_) => {
                let remote = self.0.remotes.find(&name, &instance_id);
                if let Some(remote) = &remote {
                    remote.heard();
                }
                (remote.is_some(), remote::beat_s(&self.0))
            }
        };
        Ok(HeartbeatResponse {
            acknowledged: true,
            re_register_required: !known,
            heartbeat_interval_seconds: beat_s,
            ..HeartbeatResponse::default()
        })
    }

    async fn get_config(
        &self,
        request: Request<GetConfigRequest>,
    ) -> Result<GetConfigResponse, Status> {
        let asked = request.get_ref();
        let party = self.party(&request, &asked.tenant_id, Some(&asked.plugin_name))?;
        let mut settings = settings::Settings::default();
        // Each of them: what is secret is hidden in what any of them writes.
        for launch in &party.launches {
            if asked.plugin_name != launch.name {
                return Err(foreign("another plugin's settings"));
            }
            settings = settings::in_force(&self.0, launch)
                .await
                .map_err(Status::unavailable)?;
        }
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
        let party = self.party(&request, &request.get_ref().tenant_id, None)?;
        let mut answer = CacheAnswer::of(&request);
        let key = request.into_inner().key;
        let CacheEntry { value, found, .. } = answer.entry(self, &party, key).await?;
        Ok(CacheGetResponse { value, found })
    }

    async fn cache_get_batch(
        &self,
        request: Request<CacheGetBatchRequest>,
    ) -> Result<CacheGetBatchResponse, Status> {
        let party = self.party(&request, &request.get_ref().tenant_id, None)?;
        let mut answer = CacheAnswer::of(&request);
        let keys = request.into_inner().keys;
        if keys.len() > CACHE_KEYS_MAX {
            return Err(Status::invalid_argument(format!(
                "at most {CACHE_KEYS_MAX} keys at once"
            )));
        }
        let mut entries = Vec::with_capacity(keys.len());
        for key in keys {
            entries.push(answer.entry(self, &party, key).await?);
        }
        Ok(CacheGetBatchResponse { entries })
    }

    async fn cache_set(
        &self,
        request: Request<CacheSetRequest>,
    ) -> Result<CacheSetResponse, Status> {
        let party = self.party(&request, &request.get_ref().tenant_id, None)?;
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
            .put(&party.cache_key(&asked.key)?, &asked.value, ttl)
            .await;
        Ok(CacheSetResponse {
            success: put.is_ok(),
        })
    }

    /// What a call became of is what its own answer says; this is a line for who watches.
    async fn publish_result(
        &self,
        request: Request<PublishResultRequest>,
    ) -> Result<PublishResultResponse, Status> {
        let party = self.party(&request, &request.get_ref().tenant_id, None)?;
        let asked = request.into_inner();
        let run = party.running(&asked.execution_id)?;
        let (level, message) = match asked.success {
            true => (
                "info",
                format!("result: {}", line::lossy(&asked.result_json)),
            ),
            false => ("error", format!("failed: {}", asked.error)),
        };
        tell(&party, Some(run), level, &message).await;
        Ok(PublishResultResponse { acknowledged: true })
    }

    async fn request_approval(
        &self,
        request: Request<RequestApprovalRequest>,
    ) -> Result<RequestApprovalResponse, Status> {
        let party = self.party(&request, &request.get_ref().tenant_id, None)?;
        question::ask(&self.0, &party, request.into_inner()).await
    }

    async fn log_event(
        &self,
        request: Request<LogEventRequest>,
    ) -> Result<LogEventResponse, Status> {
        let asked = request.get_ref();
        let name = Some(asked.plugin_name.as_str()).filter(|name| !name.is_empty());
        let party = self.party(&request, &asked.tenant_id, name)?;
        let data = Data::of(asked);
        let run = data.run(asked).map(|id| party.running(id)).transpose()?;
        let level = match asked.severity.as_str() {
            "debug" => "debug",
            "warn" | "warning" => "warn",
            "error" => "error",
            _ => "info",
        };
        let message = format!("{}{data}", asked.event_type);
        tell(&party, run, level, &message).await;
        Ok(LogEventResponse { acknowledged: true })
    }

    async fn call_plugin(
        &self,
        request: Request<CallPluginRequest>,
    ) -> Result<CallPluginResponse, Status> {
        let asked = request.get_ref();
        let name = Some(asked.caller_plugin.as_str()).filter(|name| !name.is_empty());
        let party = self.party(&request, &asked.tenant_id, name)?;
        errand::ask(&self.0, &party, request.into_inner()).await
    }

    async fn list_kpis(
        &self,
        request: Request<ListKpIsRequest>,
    ) -> Result<ListKpIsResponse, Status> {
        self.party(&request, &request.get_ref().tenant_id, None)?;
        Ok(ListKpIsResponse::default())
    }

    async fn get_kpi(&self, request: Request<GetKpiRequest>) -> Result<GetKpiResponse, Status> {
        self.party(&request, &request.get_ref().tenant_id, None)?;
        Ok(GetKpiResponse::default())
    }
}

fn welcome(tenant: &Tenant, asked: &RegisterPluginRequest) -> RegisterPluginResponse {
    RegisterPluginResponse {
        success: true,
        plugin_id: format!("{tenant}/{}/{}", asked.name, asked.instance_id),
        ..RegisterPluginResponse::default()
    }
}
