//! An agent as a process: how it is started, found, guarded and ended. What holds for this one holds for
//! every agent built with the SDK.

use std::{
    path::Path,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use proto::{
    address::Address,
    client::{CallOptions, PluginClient},
    engine_server::{Engine, EngineServer, Sender},
    environment,
    manifest::{Manifest, Permission},
    v1::{
        DeregisterPluginRequest, DeregisterPluginResponse, ExecuteRequest, RegisterPluginRequest,
        RegisterPluginResponse, execute_event::Event,
    },
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tonic::{Request, Status, transport::server::TcpIncoming};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mirastack-agent-demo");
const SECRET: &str = "the secret of this start";
/// How long anything may take before a test is said to hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// A started agent.
struct Agent {
    child: Child,
    output: BufReader<ChildStdout>,
    address: Address,
}

impl Agent {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(PROGRAM);
        command
            .env(environment::CALL_SECRET, SECRET)
            .envs(variables.iter().copied());
        Self::spawn(&mut command).await
    }

    async fn spawn(command: &mut Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("the program is built");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        timeout(PATIENCE, output.read_line(&mut line))
            .await
            .expect("in time")
            .expect("readable");
        let port = line
            .trim_end()
            .strip_prefix(environment::PORT_LINE)
            .expect("the port line comes first");
        let address = Address::Tcp(format!("127.0.0.1:{port}"));
        Self {
            child,
            output,
            address,
        }
    }

    async fn client(&self) -> PluginClient {
        PluginClient::connect(&self.address, Some(SECRET))
            .await
            .expect("it listens")
    }

    fn signal(&self, signal: Signal) {
        let pid = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).expect("a pid")))
            .expect("it runs");
        kill_process(pid, signal).expect("it may be signalled");
    }

    /// Waits for the end, and says whether it was a good one.
    async fn ended(&mut self) -> bool {
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("in time")
            .expect("it was started")
            .success()
    }
}

fn options() -> CallOptions {
    CallOptions::within(PATIENCE)
}

fn slow(steps: u32) -> ExecuteRequest {
    let params = format!("{{\"steps\": {steps}, \"step_ms\": 100}}");
    ExecuteRequest {
        action_id: "slow".to_owned(),
        params_json: params.into(),
        ..ExecuteRequest::default()
    }
}

async fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .output()
        .await
        .expect("the program is built")
}

/// An engine that refuses the first registration and tells what it was asked.
struct Recorder {
    asked: mpsc::UnboundedSender<(String, Asked)>,
    refusals: std::sync::atomic::AtomicU32,
}

#[derive(Debug, PartialEq)]
enum Asked {
    Register(RegisterPluginRequest),
    Deregister(DeregisterPluginRequest),
}

#[tonic::async_trait]
impl Engine for Recorder {
    fn admit(&self, _: &Request<()>, _: &str) -> Result<Sender, Status> {
        Ok(Sender::Proven)
    }

    async fn register_plugin(
        &self,
        request: Request<RegisterPluginRequest>,
    ) -> Result<RegisterPluginResponse, Status> {
        self.note(&request, Asked::Register(request.get_ref().clone()));
        let refuse = self
            .refusals
            .fetch_update(SEQ, SEQ, |left| left.checked_sub(1))
            .is_ok();
        let error = if refuse {
            "not yet".to_owned()
        } else {
            String::new()
        };
        Ok(RegisterPluginResponse {
            success: !refuse,
            error,
            ..RegisterPluginResponse::default()
        })
    }

    async fn deregister_plugin(
        &self,
        request: Request<DeregisterPluginRequest>,
    ) -> Result<DeregisterPluginResponse, Status> {
        self.note(&request, Asked::Deregister(request.get_ref().clone()));
        Ok(DeregisterPluginResponse { acknowledged: true })
    }
}

const SEQ: std::sync::atomic::Ordering = std::sync::atomic::Ordering::SeqCst;

impl Recorder {
    fn note<M>(&self, request: &Request<M>, asked: Asked) {
        let token = request
            .metadata()
            .get("authorization")
            .and_then(|v| v.to_str().ok());
        let _ = self
            .asked
            .send((token.unwrap_or_default().to_owned(), asked));
    }

    /// Serves on a free port; tells each call with its credentials.
    async fn serve(
        refusals: u32,
        tasks: &mut JoinSet<()>,
    ) -> (String, mpsc::UnboundedReceiver<(String, Asked)>) {
        let (asked, calls) = mpsc::unbounded_channel();
        let engine = Arc::new(Self {
            asked,
            refusals: refusals.into(),
        });
        let engine = EngineServer::new(engine, Duration::from_secs(30));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        tasks.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(engine);
            server
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .expect("serving goes on");
        });
        (address, calls)
    }
}

async fn next(calls: &mut mpsc::UnboundedReceiver<(String, Asked)>) -> (String, Asked) {
    timeout(PATIENCE, calls.recv())
        .await
        .expect("in time")
        .expect("the engine lives")
}

#[tokio::test]
async fn the_manifest_is_printed_without_serving() {
    let printed = run(&["--manifest"]).await;
    assert!(printed.status.success());
    let manifest = Manifest::parse(&printed.stdout).expect("a good manifest");
    let change = manifest.action("change").expect("it has one");
    assert!(change.permission == Permission::Modify && change.idempotent && change.lookup);
    assert_eq!(run(&["--manifets"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn info_and_manifest_say_the_same() {
    let agent = Agent::start(&[]).await;
    let info = agent
        .client()
        .await
        .info(&options())
        .await
        .expect("an answer");
    let printed = run(&["--manifest"]).await.stdout;
    assert_eq!(Manifest::from_info(info), Manifest::parse(&printed));
}

#[tokio::test]
async fn only_its_starter_can_call_it() {
    let agent = Agent::start(&[]).await;
    for secret in [None, Some("wrong")] {
        let stranger = PluginClient::connect(&agent.address, secret)
            .await
            .expect("it listens");
        let refused = stranger
            .execute(&slow(1), &options())
            .await
            .expect_err("a stranger");
        assert_eq!(refused.code, tonic::Code::Unauthenticated);
    }
    let answer = agent
        .client()
        .await
        .execute(&slow(1), &options())
        .await
        .expect("its starter");
    assert!(answer.success, "{}", answer.error);
}

#[tokio::test]
async fn it_ends_when_its_input_closes() {
    let mut agent = Agent::start(&[]).await;
    drop(agent.child.stdin.take());
    assert!(agent.ended().await);
}

#[tokio::test]
async fn a_plugin_that_the_engine_did_not_start_outlives_its_input() {
    let mut agent = Agent::spawn(&mut Command::new(PROGRAM)).await;
    drop(agent.child.stdin.take());
    let client = agent.client().await;
    assert!(
        client
            .health_check(&options())
            .await
            .expect("it serves")
            .healthy
    );
    agent.signal(Signal::TERM);
    assert!(agent.ended().await);
}

#[tokio::test]
async fn it_ends_when_its_parent_is_gone_though_its_input_stays_open() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 3<&0; \"$0\" <&3 & wait", PROGRAM]);
    let mut agent = Agent::spawn(shell.env(environment::CALL_SECRET, SECRET)).await;
    agent.child.kill().await.expect("the shell runs");
    let mut rest = Vec::new();
    timeout(PATIENCE, agent.output.read_to_end(&mut rest))
        .await
        .expect("it ends")
        .expect("readable");
}

#[tokio::test]
async fn a_running_call_ends_before_the_plugin_does() {
    let mut agent = Agent::start(&[]).await;
    let client = agent.client().await;
    let mut events = client
        .execute_stream(&slow(5), &options())
        .await
        .expect("taken");
    events.next().await.expect("its first event");
    agent.signal(Signal::TERM);
    let mut result = None;
    while let Some(event) = events.next().await.expect("a result in the end") {
        if let Event::Result(answer) = event {
            result = Some(answer);
        }
    }
    assert!(result.expect("it comes last").success);
    assert!(agent.ended().await);
}

#[tokio::test]
async fn a_killed_plugin_is_known_to_be_gone() {
    let mut agent = Agent::start(&[]).await;
    let client = agent.client().await;
    let mut events = client
        .execute_stream(&slow(1000), &options())
        .await
        .expect("taken");
    events.next().await.expect("its first event");
    agent.child.kill().await.expect("it runs");
    timeout(PATIENCE, client.closed()).await.expect("noticed");
    let lost = loop {
        if let Err(lost) = events.next().await {
            break lost;
        }
    };
    assert!(lost.sent, "the call was under way: {lost}");
    let refused = client
        .execute(&slow(1), &options())
        .await
        .expect_err("gone");
    assert!(
        !refused.sent && client.is_closed(),
        "nothing can have been sent: {refused}"
    );
}

#[tokio::test]
async fn it_registers_with_its_token_until_it_is_taken_and_says_goodbye() {
    let mut tasks = JoinSet::new();
    let (engine, mut calls) = Recorder::serve(1, &mut tasks).await;
    let mut agent = Agent::start(&[
        (environment::ENGINE_ADDR, &engine),
        (environment::TENANT_ID, "default"),
        (environment::TOKEN, "v4.local.token"),
    ])
    .await;
    let (token, first) = next(&mut calls).await;
    let Asked::Register(registration) = &first else {
        panic!("{first:?}")
    };
    assert_eq!(token, "Bearer v4.local.token");
    assert_eq!(
        (registration.name.as_str(), registration.tenant_id.as_str()),
        ("demo", "default")
    );
    assert_eq!(registration.grpc_addr, agent.address.to_string());
    assert_eq!(
        next(&mut calls).await,
        (token.clone(), Asked::Register(registration.clone())),
        "it tries again"
    );
    agent.signal(Signal::TERM);
    let (_, goodbye) = next(&mut calls).await;
    let instance_id = registration.instance_id.clone();
    assert_eq!(
        goodbye,
        Asked::Deregister(DeregisterPluginRequest {
            name: "demo".to_owned(),
            instance_id
        })
    );
    assert!(agent.ended().await);
}

#[tokio::test]
async fn being_asked_twice_to_end_cuts_calls_off() {
    let mut tasks = JoinSet::new();
    let (engine, mut calls) = Recorder::serve(0, &mut tasks).await;
    let mut agent = Agent::start(&[
        (environment::ENGINE_ADDR, &engine),
        (environment::TENANT_ID, "default"),
    ])
    .await;
    next(&mut calls).await;
    let client = agent.client().await;
    let mut events = client
        .execute_stream(&slow(1000), &options())
        .await
        .expect("taken");
    events.next().await.expect("its first event");
    agent.signal(Signal::TERM);
    assert!(matches!(next(&mut calls).await, (_, Asked::Deregister(_))));
    agent.signal(Signal::TERM);
    assert!(agent.ended().await);
}

#[tokio::test]
async fn it_serves_on_a_unix_socket_and_removes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("demo.sock");
    let address = Address::Unix(socket.clone());
    let mut agent = Agent::start(&[(environment::PLUGIN_ADDR, &address.to_string())]).await;
    let client = PluginClient::connect(&address, Some(SECRET))
        .await
        .expect("it listens");
    assert_eq!(
        client.info(&options()).await.expect("an answer").name,
        "demo"
    );
    drop(client);
    agent.signal(Signal::TERM);
    assert!(agent.ended().await);
    assert!(!Path::exists(&socket));
}

#[tokio::test]
async fn it_keeps_its_file_in_the_data_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a plain path");
    let agent = Agent::start(&[(environment::DATA_DIR, path)]).await;
    let request = ExecuteRequest {
        action_id: "change".to_owned(),
        params_json: "{\"key\": \"k\", \"value\": \"v\"}".into(),
        ..ExecuteRequest::default()
    };
    let answer = agent
        .client()
        .await
        .execute(&request, &options())
        .await
        .expect("an answer");
    assert!(answer.success, "{}", answer.error);
    assert!(folder.path().join("demo.json").is_file());
}
