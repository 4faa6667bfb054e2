//! Somebody may write the data file of the stopped process, between an approval and the call that it allows. Whatever
//! they change of what was consented to, nothing is sent.

mod bound;

use bound::{BOUND, Bound, Forged};
use engine::approval::Approval;
use engine::digest::Digest;
use engine::event::{ApprovalState, Event};
use engine::id::Tenant;
use engine::manifest::Pinned;
use engine::registry::{Kind, def_key};
use engine::value::canonical;
use http::Method;
use mirastack_tests::alertmanager::{Alertmanager, Webhook};
use mirastack_tests::api::Api;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::proxy::CountingProxy;
use mirastack_tests::tamper::{DataFile, Repair};
use mirastack_tests::wait::until;
use mirastack_tests::{person, program};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

const WORKFLOW: &str = r#"
workflow: silence
inputs: { team: { type: string } }
steps:
  - id: silence
    uses: alertmanager/create_silence
    with:
      matchers: [{ name: team, value: "${{ inputs.team }}" }]
      duration: 1h
      comment: "for ${{ secrets.ticket }}"
    time_range: { last: 5m }
    timeout: 30s
    approval: { by: [role:engineer], timeout: 30m }
  - id: undo
    if: inputs.team == 'nobody'
    uses: alertmanager/expire_silence
    with: { id: "${{ steps.silence.output.id }}" }
"#;

/// Where the changed field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the bytes that people saw.
    Bytes,
    /// There, and their decisions are made to fit.
    Consent,
    /// Where the call is taken from; the consent is left as it is.
    Call,
}

/// A run, and what is done to its journal.
struct Case {
    run: String,
    bound: &'static Bound,
    place: Place,
    repair: Repair,
}

impl Case {
    fn name(&self) -> String {
        let Self {
            place,
            repair,
            bound,
            ..
        } = self;
        format!("{} in {place:?}, repaired: {repair:?}", bound.field)
    }

    /// What the worker is to find different.
    fn named(&self) -> &'static str {
        match self.place {
            Place::Bytes => "digest",
            Place::Consent | Place::Call => self.bound.named,
        }
    }

    fn tamper(&self, file: &DataFile, forged: &Forged) {
        let changed = match (self.place, self.bound.stands) {
            (Place::Call, Some(stands)) => {
                file.change(&self.run, self.repair, |event| stands(event, forged))
            }
            (Place::Call, None) => panic!("{} stands nowhere else", self.bound.field),
            (place @ (Place::Bytes | Place::Consent), _) => {
                let old = approval(file, &self.run);
                let bytes = self.bound.changed(&old).bytes();
                let digest = Digest::of(&bytes);
                file.change(&self.run, self.repair, |event| {
                    if let Event::ApprovalRequested(asked) = event {
                        asked.bytes.digest = digest;
                        asked.bytes.size = u32::try_from(bytes.len()).expect("small");
                        asked.bytes.inline = Some(bytes.clone().into());
                    } else if let Event::ApprovalDecided { decision, .. } = event
                        && place == Place::Consent
                    {
                        decision.digest = digest;
                    }
                })
            }
        };
        changed.unwrap_or_else(|error| panic!("{}: {error:#}", self.name()));
    }
}

/// What is done to each field: all there is to be done to it.
fn all(bound: &'static Bound) -> Vec<(&'static Bound, Place, Repair)> {
    let [no, sum, all] = [Repair::Nothing, Repair::Checksum, Repair::Everything];
    let mut done = vec![
        (bound, Place::Bytes, no),
        (bound, Place::Bytes, sum),
        (bound, Place::Bytes, all),
        (bound, Place::Consent, all),
    ];
    if bound.stands.is_some() {
        done.extend([no, sum, all].map(|repair| (bound, Place::Call, repair)));
    }
    done
}

/// The approval as it stands in the run's journal.
fn approval(file: &DataFile, run: &str) -> Approval {
    let events = file.events(run).expect("the journal is whole");
    let bytes = events.iter().find_map(|event| {
        let Event::ApprovalRequested(asked) = event else {
            return None;
        };
        asked.bytes.inline.clone()
    });
    Approval::read(&bytes.expect("it has asked")).expect("it is an approval")
}

/// The product with a folder of agents from which one can be taken.
struct Ground {
    agents: TempDir,
    alertmanager: Alertmanager,
    proxy: CountingProxy,
    mirastack: Mirastack,
}

impl Ground {
    async fn start() -> Self {
        let agents = tempfile::tempdir().expect("a folder");
        give(agents.path(), "demo");
        give(agents.path(), "alertmanager");
        let nobody = Webhook {
            name: "nobody".to_owned(),
            url: "http://127.0.0.1:9/".to_owned(),
            bearer: None,
        };
        let alertmanager = Alertmanager::start(&[nobody]).await;
        let alertmanager = alertmanager.expect("Alertmanager starts");
        let proxy = CountingProxy::start(alertmanager.address()).await;
        let folder = agents.path().to_str().expect("names are UTF-8");
        let setup = Setup::default().arg("--plugins").arg(folder);
        let mirastack = Mirastack::start(setup).await.expect("it starts");
        Self {
            agents,
            alertmanager,
            proxy: proxy.expect("a port is free"),
            mirastack,
        }
    }

    async fn connect(&self, api: &Api) {
        let secret = api.request(Method::PUT, "/api/v1/secrets/ticket");
        let secret = api.send(secret.json(&json!({ "value": "OPS-4711" }))).await;
        secret.and_then(|s| s.ok()).expect("the secret is taken");
        let settings = json!({ "alertmanager_url": self.proxy.url() });
        let settings = api.patch("/api/v1/agents/alertmanager/config", &settings);
        let settings = settings.await.and_then(|s| s.ok());
        settings.expect("the setting is taken");
        let saved = api.put_yaml("/api/v1/workflows/silence", WORKFLOW).await;
        saved.and_then(|s| s.ok()).expect("it is valid");
    }

    fn posts(&self) -> usize {
        self.proxy
            .count(|seen| seen.is(&Method::POST, "/api/v2/silences"))
    }

    async fn start_again(&mut self) -> Api {
        let started = self.mirastack.start_again().await;
        started.expect("it starts on what it left");
        self.mirastack.api().await.expect("the key is good")
    }

    /// Stops the process, takes the agent away, and starts again: what is approved now cannot be called.
    async fn without_the_agent(&mut self) -> Api {
        self.mirastack.process().kill().expect("it ran");
        let agent = self.agents.path().join("alertmanager");
        fs::remove_dir_all(agent).expect("it is ours");
        self.start_again().await
    }

    /// Stops the process and opens its data file.
    fn stop(&mut self) -> DataFile {
        self.mirastack.process().kill().expect("it ran");
        DataFile::open(&self.mirastack.data()).expect("it left one")
    }

    async fn with_the_agent(&mut self) -> Api {
        give(self.agents.path(), "alertmanager");
        self.start_again().await
    }
}

/// Puts an agent into the folder.
fn give(agents: &Path, name: &str) {
    let program = program::built(&format!("mirastack-agent-{name}"));
    let folder = agents.join(name);
    fs::create_dir(&folder).expect("it is not there");
    symlink(program.expect("it was built"), folder.join(name)).expect("it is not there");
}

async fn waits_for_consent(api: &Api, team: &str) -> String {
    let run = person::starts(api, "silence", &json!({ "team": team })).await;
    let run = run.expect("it is accepted");
    person::asked(api, &run).await.expect("it asks");
    run
}

/// Somebody agreed, and no call was granted.
fn is_between(events: &[Event]) -> bool {
    let approved = |event: &Event| {
        matches!(
            event,
            Event::ApprovalClosed {
                state: ApprovalState::Approved,
                ..
            }
        )
    };
    let granted = |event: &Event| matches!(event, Event::AttemptGranted { .. });
    events.iter().any(approved) && !events.iter().any(granted)
}

/// A definition and an action that nobody saved, under their right digests.
fn forge(file: &DataFile, run: &str) -> Forged {
    let was = approval(file, run);
    let tenant = Tenant::default();
    let item = |digest| file.item(&def_key(&tenant, digest)).expect("it is pinned");
    let mut action: Pinned = serde_json::from_slice(&item(was.manifest)).expect("it is JSON");
    action.idempotent = !action.idempotent;
    let mut definition: Value = serde_json::from_slice(&item(was.definition)).expect("JSON");
    definition["description"] = json!("as somebody else wants it");
    let definition = canonical(&definition);
    for bytes in [&action.bytes(), &definition] {
        let key = def_key(&tenant, Digest::of(bytes));
        let put = file.put_item(&key, bytes, Repair::Everything);
        put.expect("it takes it");
    }
    Forged {
        manifest: action.digest(),
        definition: Digest::of(&definition),
    }
}

/// The names of everything that an approval binds, as its bytes have them.
fn fields(approval: &Approval) -> BTreeSet<String> {
    let json: Value = serde_json::from_slice(&approval.bytes()).expect("it is JSON");
    let call = json["calls"][0].as_object().expect("an object").keys();
    let call = call.map(|key| format!("calls.{key}"));
    let all = json.as_object().expect("an object").keys();
    let all = all.filter(|key| *key != "calls").cloned();
    all.chain(call).collect()
}

#[tokio::test]
async fn no_field_of_an_approval_can_be_changed_between_it_and_its_call() {
    let mut ground = Ground::start().await;
    let api = ground.mirastack.api().await.expect("the key is good");
    ground.connect(&api).await;
    let untouched = waits_for_consent(&api, "untouched").await;
    let mut cases = Vec::new();
    for (bound, place, repair) in BOUND.iter().flat_map(all) {
        let run = waits_for_consent(&api, "payments").await;
        cases.push(Case {
            run,
            bound,
            place,
            repair,
        });
    }

    let api = ground.without_the_agent().await;
    for run in cases.iter().map(|case| &case.run).chain([&untouched]) {
        person::approves(&api, run).await.expect("it asks");
    }

    let file = ground.stop();
    let known: BTreeSet<String> = BOUND.iter().map(|bound| bound.field.to_owned()).collect();
    assert_eq!(fields(&approval(&file, &untouched)), known);
    let forged = forge(&file, &untouched);
    for case in &cases {
        let events = file.events(&case.run).expect("the journal is whole");
        assert!(is_between(&events), "{}: {events:?}", case.name());
        case.tamper(&file, &forged);
    }
    drop(file);

    let api = ground.with_the_agent().await;
    let done = person::ended(&api, &untouched).await.expect("it ends");
    assert_eq!(done["status"], "succeeded", "{done}");
    let mut wrong = Vec::new();
    for case in &cases {
        if let Err(error) = holds(&api, case).await {
            wrong.push(format!("{}: {error:#}", case.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(ground.posts(), 1, "the untouched run's, and no other");
    let silences = ground.alertmanager.silences().await.expect("it answers");
    assert_eq!(silences.len(), 1, "{silences:?}");
    assert_eq!(silences[0]["matchers"][0]["value"], "untouched");
}

/// Nothing was sent for the run, and it says why.
async fn holds(api: &Api, case: &Case) -> anyhow::Result<()> {
    let (status, code) = match case.repair {
        Repair::Nothing | Repair::Checksum => ("parked", "record_damaged"),
        Repair::Everything => ("failed", "approval_mismatch"),
    };
    let run = until("the run to end or to be parked", async || {
        let run = person::run(api, &case.run).await?;
        let over = !run["ended_at"].is_null() || run["status"] == "parked";
        anyhow::ensure!(over, "{run}");
        Ok(run)
    })
    .await?;
    anyhow::ensure!(run["status"] == status, "it is not {status}: {run}");
    anyhow::ensure!(
        run["error"]["code"] == code,
        "its code is not {code}: {run}"
    );
    if case.repair == Repair::Everything {
        let message = run["error"]["message"].as_str().unwrap_or_default();
        let named = format!("approved in: {}", case.named());
        anyhow::ensure!(message.contains(&named), "it does not say {named}: {run}");
    }
    Ok(())
}

#[tokio::test]
async fn settings_that_were_changed_in_the_file_are_not_those_that_were_approved() {
    let mut ground = Ground::start().await;
    let api = ground.mirastack.api().await.expect("the key is good");
    ground.connect(&api).await;
    let run = waits_for_consent(&api, "payments").await;
    let api = ground.without_the_agent().await;
    person::approves(&api, &run).await.expect("it asks");

    let file = ground.stop();
    let key = Kind::AgentConfig.key(&Tenant::default(), "alertmanager");
    let mut settings: Value = serde_json::from_slice(&file.item(&key).expect("set")).expect("JSON");
    let revision = settings["revision"].as_u64().expect("a number");
    settings["revision"] = json!(revision + 1);
    let settings = canonical(&settings);
    file.put_item(&key, &settings, Repair::Nothing)
        .expect("it takes it");
    give(ground.agents.path(), "alertmanager");
    let refused = ground.mirastack.start_again().await;
    let refused = format!("{:#}", refused.expect_err("a damaged item stops the start"));
    assert!(refused.contains(&key), "it names the item: {refused}");

    file.put_item(&key, &settings, Repair::Everything)
        .expect("it takes it");
    drop(file);
    let api = ground.start_again().await;
    let run = person::ended(&api, &run).await.expect("it ends");
    assert_eq!(run["error"]["code"], "approval_mismatch", "{run}");
    let message = run["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("approved in: settings"), "{run}");
    assert_eq!(ground.posts(), 0);
}
