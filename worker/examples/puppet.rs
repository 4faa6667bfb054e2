//! A plugin for tests that does as it is told, in good manners and bad.
//!
//! Called as `puppet NAME MANNERS`, or under its own name without arguments. It is built from the protocol alone, so
//! that it can break every promise that the SDK keeps.

use std::io::Write;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;

use futures::{Stream, StreamExt, stream};
use proto::connection::Connection;
use proto::environment;
use proto::manifest::{Action, Kind, Manifest, Permission, Setting, SettingType};
use proto::v1::engine_service_client::EngineServiceClient;
use proto::v1::execute_event::Event;
use proto::v1::plugin_service_server::{PluginService, PluginServiceServer};
use proto::v1::{self, ExecuteEvent, ExecuteRequest, ExecuteResponse, LookUpOutcome, PluginType};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().collect();
    let asked_for_manifest = arguments.last().is_some_and(|last| last == "--manifest");
    if asked_for_manifest {
        arguments.pop();
    }
    let own = Path::new(&arguments[0])
        .file_name()
        .map(|n| n.to_string_lossy().replace("mirastack-agent-", ""));
    let name = arguments.get(1).cloned().or(own).unwrap_or_default();
    let manners = arguments.get(2).cloned().unwrap_or_default();
    if asked_for_manifest {
        return print_manifest(&name, &manners);
    }
    match manners.as_str() {
        "dies" => {
            say("no more will to live");
            return ExitCode::from(3);
        }
        "silent" => return std::future::pending().await,
        "garbage" => println!("hello"),
        _ => {}
    }
    serve(Puppet { name, manners }).await
}

fn print_manifest(name: &str, manners: &str) -> ExitCode {
    match manners {
        "manifest-hangs" => loop {
            std::thread::park();
        },
        "manifest-huge" => println!("{}", "x".repeat(proto::limits::MANIFEST + 1)),
        "manifest-other-name" => println!("{}", json!(manifest("somebody-else", false))),
        _ => println!("{}", json!(manifest(name, Path::new("extra").exists()))),
    }
    ExitCode::SUCCESS
}

fn manifest(name: &str, extra: bool) -> Manifest {
    let mut actions = vec![
        action("act", Permission::Read),
        action("change", Permission::Modify),
    ];
    if extra {
        actions.push(action("extra", Permission::Read));
    }
    Manifest {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        description: "Does as it is told.".to_owned(),
        kind: Kind::Agent,
        actions,
        settings: vec![Setting {
            key: "url".to_owned(),
            kind: SettingType::String,
            required: false,
            default: None,
            description: "Nothing.".to_owned(),
            secret: false,
        }],
    }
}

fn action(id: &str, permission: Permission) -> Action {
    Action {
        id: id.to_owned(),
        description: "Does as it is told.".to_owned(),
        permission,
        idempotent: false,
        lookup: true,
        plan: false,
        settle_ms: None,
        timeout_ms: None,
        input_schema: json!({ "type": "object" }),
        output_schema: json!({ "type": "object" }),
    }
}

async fn serve(puppet: Puppet) -> ExitCode {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let mut out = std::io::stdout();
    writeln!(out, "{}{}", environment::PORT_LINE, address.port()).expect("an open pipe");
    out.flush().expect("an open pipe");
    let stubborn = puppet.manners == "stubborn";
    let registering = async {
        if puppet.manners != "mute" {
            puppet.register(&address.to_string()).await;
        }
        std::future::pending::<()>().await;
    };
    let server = Server::builder()
        .add_service(PluginServiceServer::new(puppet.clone()).max_decoding_message_size(16 << 20))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("signals");
    let asked = async {
        loop {
            terminate.recv().await;
            if !stubborn {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = asked => {}
        served = server => served.expect("a server"),
        () = registering => {}
    }
    ExitCode::SUCCESS
}

#[derive(Clone)]
struct Puppet {
    name: String,
    manners: String,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl Puppet {
    async fn engine(&self) -> EngineServiceClient<Connection> {
        let address = variable(environment::ENGINE_ADDR)
            .parse()
            .expect("an address");
        let connection = Connection::open(&address, std::time::Duration::from_secs(5))
            .await
            .expect("the engine");
        EngineServiceClient::with_origin(connection, Connection::origin())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", variable(environment::TOKEN));
        request
            .metadata_mut()
            .insert("authorization", bearer.parse().expect("text"));
        request
            .metadata_mut()
            .insert("x-plugin-name", self.name.parse().expect("text"));
        request
    }

    async fn register(&self, address: &str) {
        let request = self.request(v1::RegisterPluginRequest {
            name: self.name.clone(),
            version: "1.0.0".to_owned(),
            grpc_addr: address.to_owned(),
            plugin_type: PluginType::Agent.into(),
            instance_id: "one".to_owned(),
            tenant_id: variable(environment::TENANT_ID),
        });
        let answer = self.engine().await.register_plugin(request).await;
        say(&format!(
            "registered: {}",
            answer.is_ok_and(|a| a.into_inner().success)
        ));
    }

    /// What the engine answers to each thing that a plugin may and may not ask.
    async fn call_back(&self, request: &ExecuteRequest) -> Value {
        let mut engine = self.engine().await;
        let own = |run: &str| v1::PublishResultRequest {
            execution_id: run.to_owned(),
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

    async fn act(&self, request: ExecuteRequest) -> Result<Events, Status> {
        let params: Value = serde_json::from_slice(&request.params_json).unwrap_or_default();
        let result = |value: Value| {
            Event::Result(ExecuteResponse {
                success: true,
                result_json: value.to_string().into(),
                ..ExecuteResponse::default()
            })
        };
        let events = match params["do"].as_str().unwrap_or("echo") {
            "pid" => vec![result(json!({ "pid": std::process::id() }))],
            "environment" => vec![result(environment_of_this())],
            "request" => vec![result(told(&request))],
            "call back" => vec![result(self.call_back(&request).await)],
            "die" => {
                say(params["last words"].as_str().unwrap_or("aargh"));
                std::process::exit(9);
            }
            "hang" => return Ok(stream::pending().boxed()),
            "hang up" => Vec::new(),
            "answer twice" => vec![result(json!({ "n": 1 })), result(json!({ "n": 2 }))],
            "talk on" => return Ok(talk_on()),
            "nonsense" => return Ok(stream::iter([Ok(ExecuteEvent { event: None })]).boxed()),
            "huge" => vec![result(
                json!({ "text": "x".repeat(proto::limits::EXECUTE_REPLY) }),
            )],
            "refuse" => return Err(Status::new(Code::Unauthenticated, "who are you?")),
            "fail" => vec![failure(&params)],
            "talk" => vec![
                Event::Progress(v1::Progress {
                    percent: 50.0,
                    message: "half".to_owned(),
                }),
                Event::Checkpoint(v1::Checkpoint {
                    bytes: "here".into(),
                }),
                result(json!({})),
            ],
            _ => vec![result(params)],
        };
        Ok(stream::iter(events)
            .map(|event| Ok(ExecuteEvent { event: Some(event) }))
            .boxed())
    }
}

fn code<T>(answer: Result<Response<T>, Status>) -> String {
    answer.map_or_else(|status| format!("{:?}", status.code()), |_| "Ok".to_owned())
}

fn found(batch: v1::CacheGetBatchResponse) -> Vec<bool> {
    batch.entries.into_iter().map(|entry| entry.found).collect()
}

fn environment_of_this() -> Value {
    let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    json!({ "names": names, "data": variable(environment::DATA_DIR) })
}

fn told(request: &ExecuteRequest) -> Value {
    json!({
        "run": request.execution_id, "step": request.step_id, "tenant": request.tenant_id,
        "workflow": request.workflow_id, "key": request.idempotency_key, "fence": request.fence,
        "attempt": request.attempt, "deadline": request.deadline_epoch_ms,
        "start": request.time_range.as_ref().map(|t| t.start_epoch_ms),
        "who": request.principal.as_ref().map(|p| p.name.clone()),
        "rights": request.principal.as_ref().map(|p| p.rights.clone()),
        "checkpoint": String::from_utf8_lossy(&request.checkpoint),
    })
}

fn failure(params: &Value) -> Event {
    let text = |key: &str| params[key].as_str().unwrap_or_default().to_owned();
    Event::Result(ExecuteResponse {
        error: text("error"),
        code: text("code"),
        retryable: true,
        change: v1::Change::NotMade.into(),
        ..ExecuteResponse::default()
    })
}

fn talk_on() -> Events {
    let line = || {
        Ok(ExecuteEvent {
            event: Some(Event::Log(v1::LogLine {
                message: "and another thing".to_owned(),
                ..v1::LogLine::default()
            })),
        })
    };
    stream::repeat_with(line).boxed()
}

type Events = Pin<Box<dyn Stream<Item = Result<ExecuteEvent, Status>> + Send>>;

#[tonic::async_trait]
impl PluginService for Puppet {
    type ExecuteStreamStream = Events;

    async fn info(
        &self,
        _: Request<v1::InfoRequest>,
    ) -> Result<Response<v1::InfoResponse>, Status> {
        let extra = self.manners == "imposter" || Path::new("extra").exists();
        Ok(Response::new(manifest(&self.name, extra).to_info("one")))
    }

    async fn get_schema(
        &self,
        _: Request<v1::GetSchemaRequest>,
    ) -> Result<Response<v1::GetSchemaResponse>, Status> {
        Ok(Response::new(v1::GetSchemaResponse::default()))
    }

    async fn execute(
        &self,
        _: Request<ExecuteRequest>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        Err(Status::unimplemented("only as a stream"))
    }

    async fn execute_stream(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<Events>, Status> {
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
        let error = match config.config.get("url") {
            Some(url) if url == "refused" => "I do not like it".to_owned(),
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
        Ok(Response::new(v1::HealthCheckResponse {
            healthy: true,
            message: "fine".to_owned(),
            ..v1::HealthCheckResponse::default()
        }))
    }
}
