//! Secrets are planted, used, refused and echoed; then they are looked for everywhere.

use anyhow::Result;
use http::Method;
use mirastack_tests::api::{Api, ApiKey};
use mirastack_tests::canary::Hunt;
use mirastack_tests::echo::{BABBLE, Echo, REFUSE};
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::person;
use mirastack_tests::process::Stream;
use mirastack_tests::tamper::DataFile;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// With everything in them that some form of writing changes.
const IN_PARAMS: &str = "canary-of-params/8\"+ \\7";
/// What is left of it in every form but base64 and hex, however often it was quoted.
const OF_PARAMS: &str = "canary-of-params";
const OLD_PARAMS: &str = "canary-of-params-before";
const IN_METRICS: &str = "canary-of-metrics/+\"3";
const IN_ALERTS: &str = "canary-of-alertmanager=5";
const OF_HOOK: &str = "canary-of-the-hook-9";
const NOT_OF_HOOK: &str = "canary-of-somebody-2";
const SIGNING: &str = "canary-that-signs-6";

const WORKFLOW: &str = r#"
workflow: careless
inputs: { how: { type: string } }
steps:
  - id: ask
    uses: metrics/instant_query
    with: { query: "${{ inputs.how }}" }
    retry: { attempts: 1 }
    continue_on_error: true
  - id: list
    uses: alertmanager/list_alerts
    with: { matchers: [{ name: team, value: "${{ inputs.how }} ${{ secrets.note }}" }] }
    retry: { attempts: 1 }
    continue_on_error: true
  - id: silence
    if: inputs.how != 'babble-it'
    uses: alertmanager/create_silence
    with:
      matchers: [{ name: team, value: "${{ secrets.note }}" }]
      duration: 1h
      comment: "${{ inputs.how }} ${{ secrets.note }}"
outputs: { said: "${{ steps.list.output }}" }
"#;

const HOOK: &str = r#"
hook: alerts
type: alertmanager
auth: { bearer: ["${{ secrets.alerts_token }}"] }
role: operator
"#;

const SIGNED: &str = r#"
hook: signed
type: generic
auth: { hmac: { header: X-Sig, secrets: ["${{ secrets.signing }}"] } }
dedupe: none
role: operator
"#;

async fn put(api: &Api, path: &str, body: &Value) -> Result<Value> {
    api.send(api.request(Method::PUT, path).json(body))
        .await?
        .ok()
}

async fn patch(api: &Api, agent: &str, settings: &Value) -> Result<Value> {
    let path = format!("/api/v1/agents/{agent}/config");
    api.patch(&path, settings).await?.ok()
}

/// Everything that watchers of all runs are told.
#[derive(Default)]
struct Watched {
    said: Arc<Mutex<Vec<u8>>>,
    task: JoinSet<()>,
}

impl Watched {
    async fn begin(api: &Api) -> Result<Self> {
        let mut watched = Self::default();
        let events = api.request(Method::GET, "/api/v1/events").send().await?;
        let mut events = events.error_for_status()?;
        let said = Arc::clone(&watched.said);
        watched.task.spawn(async move {
            while let Ok(Some(chunk)) = events.chunk().await {
                said.lock().expect("no panic").extend_from_slice(&chunk);
            }
        });
        Ok(watched)
    }

    fn said(&self) -> Vec<u8> {
        self.said.lock().expect("no panic").clone()
    }
}

/// The product beside a careless server, with a secret in every place that takes one.
struct Ground {
    mirastack: Mirastack,
    echo: Echo,
    hunt: Hunt,
    api: Api,
}

impl Ground {
    async fn start() -> Result<Self> {
        let mirastack = Mirastack::start(Setup::default().arg("--log").arg("trace")).await?;
        let (echo, api) = (Echo::start().await?, mirastack.api().await?);
        let mut hunt = Hunt::default();
        for (name, secret) in [
            ("the secret of the parameters", IN_PARAMS),
            ("a part of it", OF_PARAMS),
            ("its value before", OLD_PARAMS),
            ("the token of metrics", IN_METRICS),
            ("the token of alertmanager", IN_ALERTS),
            ("the token of the hook", OF_HOOK),
            ("another one's token", NOT_OF_HOOK),
            ("the key that signs", SIGNING),
            ("the admin's key", &mirastack.bootstrap_key()?.api_secret),
            ("the admin's token", api.token().unwrap_or_default()),
        ] {
            hunt.plant(name, secret);
        }
        Ok(Self {
            mirastack,
            echo,
            hunt,
            api,
        })
    }

    /// By the API and by the command line; what both say is looked at.
    async fn plant(&mut self) -> Result<()> {
        let Self {
            api, echo, hunt, ..
        } = self;
        for value in [OLD_PARAMS, IN_PARAMS] {
            let set = put(api, "/api/v1/secrets/note", &json!({ "value": value })).await?;
            hunt.look("the answer to a secret", set.to_string());
        }
        let miractl = self.mirastack.miractl()?;
        for (name, value) in [("alerts_token", OF_HOOK), ("signing", SIGNING)] {
            let said = miractl.run_with(&["secret", "set", name], value).await?;
            said.ok()?;
            hunt.look("miractl secret set", said.stdout + &said.stderr);
        }
        let settings = json!({ "metrics_url": echo.url(), "bearer_token": IN_METRICS });
        let shown = patch(api, "metrics", &settings).await?;
        hunt.look("the answer to settings", shown.to_string());
        patch(
            api,
            "alertmanager",
            &json!({ "alertmanager_url": echo.url() }),
        )
        .await?;
        let set = ["agent", "config-set", "alertmanager", "bearer_token=-"];
        let said = miractl.run_with(&set, IN_ALERTS).await?;
        said.ok()?;
        hunt.look("miractl agent config-set", said.stdout + &said.stderr);
        for (name, document) in [("alerts", HOOK), ("signed", SIGNED)] {
            let path = format!("/api/v1/hooks/{name}");
            api.put_yaml(&path, document).await?.ok()?;
        }
        let path = "/api/v1/workflows/careless";
        api.put_yaml(path, WORKFLOW).await?.ok()?;
        Ok(())
    }

    /// A key of its own, and a hook whose secret is made by the server: both are told once, and never again.
    async fn make(&mut self) -> Result<()> {
        let key = json!({ "name": "ci", "role": "operator" });
        let made = self.api.post("/api/v1/api-keys", &key).await?.ok()?;
        let key: ApiKey = serde_json::from_value(made)?;
        self.hunt.plant("the key of ci", &key.api_secret);
        let ci = Api::login(&self.mirastack.url(), &key).await?;
        let token = ci.token().unwrap_or_default();
        self.hunt.plant("the token of ci", token);
        ci.get("/api/v1/whoami").await?.ok()?;
        let hook = json!({ "hook": "made", "type": "alertmanager" });
        let made = self.api.post("/api/v1/hooks", &hook).await?.ok()?;
        let secret = made["secret"].as_str().unwrap_or_default();
        anyhow::ensure!(!secret.is_empty(), "{made}");
        self.hunt.plant("the token of the made hook", secret);
        let wrong = json!({ "api_key_id": key.api_key_id, "api_secret": NOT_OF_HOOK });
        let nobody = Api::nobody(&self.mirastack.url());
        let refused = nobody.post("/api/v1/auth/token", &wrong).await?;
        refused.with_status(401)?;
        self.hunt.look("the refusal of a key", &refused.text);
        Ok(())
    }

    /// A run whose calls go well, or as `how` says.
    async fn run(&self, how: &str) -> Result<Value> {
        let run = person::starts(&self.api, "careless", &json!({ "how": how })).await?;
        if how != BABBLE {
            person::approves(&self.api, &run).await?;
        }
        person::ended(&self.api, &run).await
    }

    /// Deliveries with the right token and with a wrong one, and an event that is signed with nothing.
    async fn deliver(&mut self) -> Result<()> {
        let nobody = Api::nobody(&self.mirastack.url());
        let alert = json!({
            "status": "firing", "labels": { "alertname": "Down" }, "annotations": {},
            "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "f1",
        });
        let body = json!({
            "version": "4", "groupKey": "g", "status": "firing", "receiver": "r", "truncatedAlerts": 0,
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://x",
            "alerts": [alert],
        });
        for (token, status) in [(OF_HOOK, 202), (NOT_OF_HOOK, 401)] {
            let request = nobody.request(Method::POST, "/hooks/alerts");
            let request = request.bearer_auth(token).json(&body);
            let answer = nobody.send(request).await?;
            answer.with_status(status)?;
            self.hunt.look("the answer to a delivery", &answer.text);
        }
        let request = nobody.request(Method::POST, "/hooks/signed");
        let request = request.header("X-Sig", NOT_OF_HOOK).json(&json!({}));
        let answer = nobody.send(request).await?;
        answer.with_status(401)?;
        self.hunt.look("the answer to a delivery", &answer.text);
        Ok(())
    }

    /// Everything that the API shows: each path of its description, with every name that there is.
    async fn look_at_the_api(&mut self, runs: &[String]) -> Result<usize> {
        let described = self.api.get("/openapi.json").await?.ok()?;
        let paths = described["paths"].as_object().cloned().unwrap_or_default();
        let mut seen = 0;
        for (path, methods) in &paths {
            if methods.get("get").is_none() || path == "/api/v1/events" {
                continue;
            }
            for path in filled(path, runs) {
                let answer = self.api.get(&path).await?;
                seen += usize::from(answer.status.is_success());
                self.hunt.look(&path, &answer.text);
            }
        }
        for agent in ["metrics", "alertmanager"] {
            let path = format!("/api/v1/agents/{agent}/health");
            let answer = self.api.post(&path, &json!({})).await?;
            self.hunt.look(&path, &answer.text);
        }
        Ok(seen)
    }

    async fn look_at_miractl(&mut self, runs: &[String]) -> Result<()> {
        let miractl = self.mirastack.miractl()?;
        let mut lines: Vec<String> = [
            "status",
            "secret list",
            "key list",
            "hook list",
            "hook get alerts",
            "hook deliveries alerts",
            "agent get metrics",
            "agent config metrics",
            "agent config alertmanager",
            "agent health metrics",
            "workflow get careless",
            "run list",
            "approval list",
            "config view",
        ]
        .map(str::to_owned)
        .to_vec();
        for run in runs {
            lines.extend(["get", "watch", "journal"].map(|verb| format!("run {verb} {run}")));
        }
        for line in lines {
            for form in ["table", "json"] {
                let mut args: Vec<&str> = line.split(' ').collect();
                args.extend(["-o", form]);
                let said = miractl.run(&args).await?;
                anyhow::ensure!(said.code != 2, "{line}: {}", said.stderr);
                self.hunt
                    .look(&format!("miractl {line}"), said.stdout + &said.stderr);
            }
        }
        Ok(())
    }

    /// The data file cell by cell, every other file as it is, and what the process has said.
    async fn look_at_the_files(&mut self) -> Result<()> {
        let log = self.mirastack.process().output(Stream::Stderr)?;
        anyhow::ensure!(log.contains(" TRACE "), "the log has no details");
        for stream in [Stream::Stdout, Stream::Stderr] {
            let said = self.mirastack.process().output(stream)?;
            self.hunt.look(&format!("the log, {stream:?}"), said);
        }
        let data = self.mirastack.data();
        // The admin's own key stands there for the admin, and is readable by nobody else.
        let but = ["bootstrap.json"];
        self.hunt.look_below(&data, &but)?;
        self.mirastack.process().terminate().await?;
        let files = self.hunt.look_below(&data, &but)?;
        anyhow::ensure!(files >= 2, "only {files} files");
        for (place, bytes) in DataFile::open(&data)?.cells()? {
            self.hunt.look(&place, bytes);
        }
        Ok(())
    }
}

/// The paths that a path of the description stands for.
fn filled(path: &str, runs: &[String]) -> Vec<String> {
    let of_run = path.starts_with("/api/v1/runs/") || path.starts_with("/api/v1/approvals/");
    let names: Vec<String> = if of_run {
        runs.to_vec()
    } else {
        let names = [
            "careless",
            "alerts",
            "signed",
            "made",
            "note",
            "alerts_token",
            "metrics",
            "alertmanager",
            "ci",
        ];
        names.map(str::to_owned).to_vec()
    };
    if !path.contains('{') {
        return vec![path.to_owned()];
    }
    let mut filled = Vec::new();
    for name in &names {
        for step in ["ask", "list", "silence"] {
            let id = match path.starts_with("/api/v1/approvals/") {
                true => format!("{name}.2.1"),
                false => name.clone(),
            };
            let path = path.replace("{id}", &id).replace("{name}", &id);
            filled.push(path.replace("{step}", step));
        }
    }
    filled.dedup();
    filled
}

#[tokio::test]
async fn no_secret_comes_out_anywhere() {
    let mut ground = Ground::start().await.expect("it starts");
    ground.plant().await.expect("every secret is taken");
    let watched = Watched::begin(&ground.api).await.expect("it may watch");
    ground.make().await.expect("keys are made");
    ground.deliver().await.expect("one is let in");
    let mut runs = Vec::new();
    for how in ["well", REFUSE, BABBLE] {
        let run = ground
            .run(how)
            .await
            .expect("it ends, or waits for a person");
        runs.push(run["id"].as_str().expect("it has an id").to_owned());
    }
    let heard = ground.echo.heard();
    let told = |secret: &str| heard.iter().filter(|heard| heard.contains(secret)).count();
    for secret in [IN_PARAMS, IN_METRICS, IN_ALERTS] {
        assert!(told(secret) >= 2, "{secret} did not arrive: {heard:?}");
    }

    let seen = ground.look_at_the_api(&runs).await.expect("it answers");
    assert!(seen >= 40, "only {seen} answers");
    ground.look_at_miractl(&runs).await.expect("it runs");
    let said = watched.said();
    let told = String::from_utf8_lossy(&said).into_owned();
    assert!(runs.iter().all(|run| told.contains(run.as_str())), "{told}");
    ground.hunt.look("the events of all runs", said);
    ground.look_at_the_files().await.expect("they are ours");
    let found = ground.hunt.found();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
