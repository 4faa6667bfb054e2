//! What it asks of the engine, and what it is answered.

use proto::v1;
use proto::v1::ExecuteRequest;
use serde_json::{Value, json};
use tonic::{Response, Status};

use crate::Puppet;

impl Puppet {
    /// What the engine answers to each thing that a plugin may and may not ask.
    pub(crate) async fn call_back(&self, request: &ExecuteRequest) -> Value {
        let mut engine = self.engine().await;
        let own = |run: &str| v1::PublishResultRequest {
            execution_id: run.to_owned(),
            result_json: r#"{"n":1}"#.into(),
            success: true,
            ..v1::PublishResultRequest::default()
        };
        let config = v1::GetConfigRequest {
            plugin_name: self.name.clone(),
            tenant_id: request.tenant_id.clone(),
        };
        let of_other = v1::GetConfigRequest {
            plugin_name: "other".to_owned(),
            ..config.clone()
        };
        let of_tenant = v1::GetConfigRequest {
            tenant_id: "other".to_owned(),
            ..config.clone()
        };
        let set = v1::CacheSetRequest {
            key: "k".to_owned(),
            value: "v".into(),
            ttl_seconds: 60,
            tenant_id: request.tenant_id.clone(),
        };
        let keys = vec!["none".to_owned(), "k".to_owned()];
        let batch = v1::CacheGetBatchRequest {
            keys,
            tenant_id: request.tenant_id.clone(),
        };
        let line = v1::LogEventRequest {
            event_type: "said by a call-back".to_owned(),
            severity: "warn".to_owned(),
            data_json: r#"{"url":"http://secret-place","n":{"a":null},"execution_id":"none"}"#
                .into(),
            ..v1::LogEventRequest::default()
        };
        let beat = v1::HeartbeatRequest {
            name: self.name.clone(),
            instance_id: "another".to_owned(),
        };
        let again = v1::RegisterPluginRequest {
            name: self.name.clone(),
            instance_id: "another".to_owned(),
            ..v1::RegisterPluginRequest::default()
        };
        let mut wrong = self.request(config.clone());
        wrong
            .metadata_mut()
            .insert("authorization", "Bearer guessed".parse().expect("text"));
        json!({
            "config": engine.get_config(self.request(config)).await.map(|c| c.into_inner().config_json).unwrap_or_default(),
            "config of another": code(engine.get_config(self.request(of_other)).await),
            "config of another tenant": code(engine.get_config(self.request(of_tenant)).await),
            "a guessed token": code(engine.get_config(wrong).await),
            "cache set": code(engine.cache_set(self.request(set)).await),
            "cache": engine.cache_get_batch(self.request(batch)).await.map(|b| found(b.into_inner())).unwrap_or_default(),
            "publish own": code(engine.publish_result(self.request(own(&request.execution_id))).await),
            "publish foreign": code(engine.publish_result(self.request(own("0190a5f0-0000-7000-8000-000000000000"))).await),
            "log": code(engine.log_event(self.request(line)).await),
            "beat of another": engine.heartbeat(self.request(beat)).await.is_ok_and(|b| b.into_inner().re_register_required),
            "register as another": code(engine.register_plugin(self.request(again)).await),
            "call plugin": code(engine.call_plugin(self.request(v1::CallPluginRequest::default())).await),
            "approval": code(engine.request_approval(self.request(v1::RequestApprovalRequest::default())).await),
            "kpis": code(engine.list_kp_is(self.request(v1::ListKpIsRequest::default())).await),
        })
    }
}

impl Puppet {
    /// What people say.
    pub(crate) async fn ask(
        &self,
        request: &ExecuteRequest,
        params: &Value,
    ) -> Result<Value, Status> {
        let level = params["level"].as_i64().and_then(|n| i32::try_from(n).ok());
        let asked = v1::RequestApprovalRequest {
            execution_id: request.execution_id.clone(),
            step_id: request.step_id.clone(),
            description: params["why"].as_str().unwrap_or_default().to_owned(),
            required_permission: level.unwrap_or_default(),
            context_json: r#"{"host":"a"}"#.into(),
            ..v1::RequestApprovalRequest::default()
        };
        let mut engine = self.engine().await;
        let answer = engine.request_approval(self.request(asked)).await?;
        let answer = answer.into_inner();
        Ok(json!({
            "approved": answer.approved,
            "timed_out": answer.timed_out,
            "reviewer": answer.reviewer,
            "comment": answer.comment,
        }))
    }
}

fn code<T>(answer: Result<Response<T>, Status>) -> String {
    answer.map_or_else(|status| format!("{:?}", status.code()), |_| "Ok".to_owned())
}

fn found(batch: v1::CacheGetBatchResponse) -> Vec<bool> {
    batch.entries.into_iter().map(|entry| entry.found).collect()
}
