//! Against a small server of this test's own, for what a real one does not show on request: lost answers,
//! refusals, an end at the wrong moment.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;
use mirastack_sdk::{
    Found,
    testing::{Call, Harness},
};
use proto::v1::Change;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use super::*;

/// How the server treats a request that changes something.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// As it should.
    Good,
    /// It does it, and never answers.
    Silent,
    /// It does it, and answers 500.
    Broken,
    /// It refuses with 400.
    Refusing,
}

#[derive(Clone)]
struct Server(Arc<Mutex<Books>>);

struct Books {
    silences: Vec<Value>,
    manner: Manner,
}

impl Server {
    fn silences(&self) -> Vec<Value> {
        self.0.lock().expect("no panic").silences.clone()
    }

    /// Does a change, unless it refuses, and answers in its manner.
    async fn change(&self, change: impl FnOnce(&mut Vec<Value>) -> Value) -> Response {
        let (manner, answer) = {
            let mut books = self.0.lock().expect("no panic");
            let answer = match books.manner {
                Manner::Refusing => Value::Null,
                Manner::Good | Manner::Silent | Manner::Broken => change(&mut books.silences),
            };
            (books.manner, answer)
        };
        match manner {
            Manner::Good => Json(answer).into_response(),
            Manner::Silent => std::future::pending().await,
            Manner::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Manner::Refusing => (StatusCode::BAD_REQUEST, "\"bad matchers\"").into_response(),
        }
    }
}

async fn list(State(server): State<Server>) -> Json<Vec<Value>> {
    Json(server.silences())
}

async fn create(State(server): State<Server>, Json(mut order): Json<Value>) -> Response {
    server
        .change(|silences| {
            let id = format!("id-{}", silences.len());
            order["id"] = json!(id);
            order["status"] = json!({ "state": "active" });
            order["updatedAt"] = order["startsAt"].clone();
            silences.push(order);
            json!({ "silenceID": id })
        })
        .await
}

async fn one(State(server): State<Server>, Path(id): Path<String>) -> Response {
    let found = server
        .silences()
        .into_iter()
        .find(|silence| silence["id"] == json!(id));
    found.map_or(StatusCode::NOT_FOUND.into_response(), |silence| {
        Json(silence).into_response()
    })
}

async fn expire(State(server): State<Server>, Path(id): Path<String>) -> Response {
    server
        .change(|silences| {
            for silence in silences
                .iter_mut()
                .filter(|silence| silence["id"] == json!(id))
            {
                silence["status"]["state"] = json!("expired");
                silence["endsAt"] = json!(Timestamp::UNIX_EPOCH);
            }
            Value::Null
        })
        .await
}

async fn alerts() -> Json<Value> {
    let alert = |name: &str, starts_at: &str| {
        json!({
            "fingerprint": name, "labels": { "alertname": name }, "annotations": {}, "receivers": [],
            "startsAt": starts_at, "endsAt": starts_at, "updatedAt": starts_at, "generatorURL": "http://x",
            "status": { "state": "active", "silencedBy": [], "inhibitedBy": [] },
        })
    };
    Json(json!([
        alert("Old", "2025-01-01T00:00:00Z"),
        alert("New", "2025-01-02T00:00:00.000Z")
    ]))
}

/// Long enough for every answer that comes, short enough to wait for one that does not.
const SHORT: &str = "1500ms";

struct Bench {
    harness: Harness,
    url: String,
    server: Server,
    _tasks: JoinSet<()>,
}

async fn bench() -> Bench {
    let server = Server(Arc::new(Mutex::new(Books {
        silences: Vec::new(),
        manner: Manner::Good,
    })));
    let app = Router::new()
        .route("/am/api/v2/silences", get(list).post(create))
        .route("/am/api/v2/silence/{id}", get(one).delete(expire))
        .route("/am/api/v2/alerts", get(alerts))
        .route("/am/api/v2/status", get(|| async { "{}" }))
        .with_state(server.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/am", listener.local_addr().expect("bound"));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.expect("serving goes on") });
    let harness = Harness::start(agent()).await;
    harness
        .configure(&[(backend::URL, &url)])
        .await
        .expect("good settings");
    Bench {
        harness,
        url,
        server,
        _tasks: tasks,
    }
}

impl Bench {
    /// Sets the server's manner; the agent is impatient with a silent one.
    async fn manner(&self, manner: Manner) {
        let timeout = if manner == Manner::Silent {
            SHORT
        } else {
            "15s"
        };
        let settings = [
            (backend::URL, self.url.as_str()),
            (backend::TIMEOUT, timeout),
        ];
        self.harness
            .configure(&settings)
            .await
            .expect("good settings");
        self.server.0.lock().expect("no panic").manner = manner;
    }
}

fn silence() -> Call {
    let matchers = json!([{ "name": "alertname", "value": "Noisy" }]);
    Call::new(
        "create_silence",
        json!({ "matchers": matchers, "duration": "1h", "comment": "noisy" }),
    )
}

#[test]
fn the_page_is_up_to_date() {
    Harness::documented_in(
        &agent(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/agents"),
    );
}

#[tokio::test]
async fn every_action_holds() {
    let bench = bench().await;
    let id = bench.harness.run(&silence()).await.output()["id"].clone();
    let examples = [
        Call::new("list_alerts", json!({})),
        Call::new("list_silences", json!({})),
        silence(),
        Call::new("expire_silence", json!({ "id": id })),
    ];
    bench.harness.fail_every_action_in_turn(&examples).await;
    bench.harness.run_every_action_twice(&examples).await;
    let mut comments: Vec<_> = bench
        .server
        .silences()
        .iter()
        .map(|s| s["comment"].to_string())
        .collect();
    let all = comments.len();
    comments.sort();
    comments.dedup();
    assert_eq!(comments.len(), all, "no key made two silences");
}

#[tokio::test]
async fn a_silence_is_made_once_per_key_and_found_by_it() {
    let bench = bench().await;
    assert_eq!(
        bench.harness.look_up(&silence(), "run-1/silence").await,
        Found::NotDone
    );
    let first = bench
        .harness
        .run(&silence().key("run-1/silence"))
        .await
        .output();
    let again = bench
        .harness
        .run(&silence().key("run-1/silence").attempt(2))
        .await
        .output();
    assert_eq!(first, again);
    bench
        .harness
        .run(&silence().key("run-2/silence"))
        .await
        .output();
    let silences = bench.server.silences();
    assert_eq!(silences.len(), 2);
    assert_eq!(
        silences[0]["comment"],
        json!("noisy [mirastack:run-1/silence]")
    );
    assert_eq!(
        silences[0]["matchers"][0],
        json!({ "name": "alertname", "value": "Noisy", "isRegex": false, "isEqual": true })
    );
    assert_eq!(
        bench.harness.look_up(&silence(), "run-1/silence").await,
        Found::Done(first)
    );
}

#[tokio::test]
async fn a_lost_answer_leaves_it_unknown_and_the_look_up_knows() {
    let bench = bench().await;
    for (manner, code) in [
        (Manner::Silent, "no_answer"),
        (Manner::Broken, "backend_failed"),
    ] {
        bench.manner(manner).await;
        let outcome = bench.harness.run(&silence().key(code)).await;
        assert_eq!(outcome.failure(), (code, Change::Unknown));
        bench.manner(Manner::Good).await;
        let Found::Done(found) = bench.harness.look_up(&silence(), code).await else {
            panic!("it was made")
        };
        assert_eq!(
            bench
                .harness
                .run(&silence().key(code).attempt(2))
                .await
                .output(),
            found
        );
    }
    assert_eq!(bench.server.silences().len(), 2);
}

#[tokio::test]
async fn a_refusal_or_no_connection_leaves_nothing_made() {
    let bench = bench().await;
    bench.manner(Manner::Refusing).await;
    let outcome = bench.harness.run(&silence()).await;
    assert_eq!(outcome.failure(), ("refused", Change::NotMade));
    assert!(
        outcome.response.error.contains("bad matchers"),
        "{}",
        outcome.response.error
    );
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", gone.local_addr().expect("bound"));
    drop(gone);
    bench
        .harness
        .configure(&[(backend::URL, &url)])
        .await
        .expect("good settings");
    let outcome = bench.harness.run(&silence()).await;
    assert_eq!(outcome.failure(), ("unreachable", Change::NotMade));
    assert!(outcome.response.retryable);
    assert!(
        matches!(
            bench.harness.look_up(&silence(), "k").await,
            Found::Unknown(_)
        ),
        "it cannot be told"
    );
    assert!(bench.server.silences().is_empty());
}

#[tokio::test]
async fn a_silence_that_makes_no_sense_is_refused_before_anything_is_sent() {
    let bench = bench().await;
    let matchers = json!([{ "name": "a", "value": "b" }]);
    for (params, problem) in [
        (
            json!({ "matchers": [], "duration": "1h", "comment": "" }),
            "/matchers",
        ),
        (
            json!({ "matchers": matchers, "comment": "" }),
            "either `duration` or `ends_at`",
        ),
        (
            json!({ "matchers": matchers, "comment": "", "duration": "1h", "ends_at": "2100-01-01T00:00:00Z" }),
            "either",
        ),
        (
            json!({ "matchers": matchers, "comment": "", "ends_at": "2020-01-01T00:00:00Z" }),
            "before it does anything",
        ),
        (
            json!({ "matchers": matchers, "comment": "", "duration": "0s" }),
            "before it does anything",
        ),
        (
            json!({ "matchers": matchers, "comment": "", "ends_at": "tomorrow" }),
            "no RFC 3339 time",
        ),
        (
            json!({ "matchers": matchers, "comment": "", "duration": "soon" }),
            "/duration",
        ),
    ] {
        let outcome = bench
            .harness
            .run(&Call::new("create_silence", params))
            .await;
        assert_eq!(outcome.failure(), ("invalid_input", Change::NotMade));
        assert!(
            outcome.response.error.contains(problem),
            "{}",
            outcome.response.error
        );
    }
    assert!(bench.server.silences().is_empty());
}

#[tokio::test]
async fn a_silence_that_is_over_is_left_as_it_is() {
    let bench = bench().await;
    let id = bench.harness.run(&silence()).await.output()["id"].clone();
    let expire = Call::new("expire_silence", json!({ "id": id }));
    assert_eq!(bench.harness.look_up(&expire, "k").await, Found::NotDone);
    let done = bench.harness.run(&expire.clone().key("k")).await.output();
    assert_eq!(done["ends_at"], json!("1970-01-01T00:00:00Z"));
    bench.manner(Manner::Refusing).await;
    assert_eq!(
        bench
            .harness
            .run(&expire.clone().key("k").attempt(2))
            .await
            .output(),
        done
    );
    assert_eq!(bench.harness.look_up(&expire, "k").await, Found::Done(done));
    let unknown = Call::new("expire_silence", json!({ "id": "id-9" }));
    assert_eq!(
        bench.harness.run(&unknown).await.failure(),
        ("not_found", Change::NotMade)
    );
}

#[tokio::test]
async fn expiring_believes_what_the_silence_is_and_not_a_lost_answer() {
    let bench = bench().await;
    let id = bench.harness.run(&silence()).await.output()["id"].clone();
    let expire = Call::new("expire_silence", json!({ "id": id }));
    bench.manner(Manner::Refusing).await;
    assert_eq!(
        bench.harness.run(&expire).await.failure(),
        ("refused", Change::NotMade)
    );
    bench.manner(Manner::Silent).await;
    assert_eq!(bench.harness.run(&expire).await.output()["id"], id);
}

#[tokio::test]
async fn lists_are_ordered_and_cut_at_their_limit() {
    let bench = bench().await;
    let output = bench
        .harness
        .run(&Call::new("list_alerts", json!({ "limit": 1 })))
        .await
        .output();
    assert_eq!(
        (&output["total"], &output["alerts"][0]["fingerprint"]),
        (&json!(2), &json!("New"))
    );
    let id = bench.harness.run(&silence()).await.output()["id"].clone();
    bench.harness.run(&silence()).await.output();
    bench
        .harness
        .run(&Call::new("expire_silence", json!({ "id": id })))
        .await
        .output();
    let alive = bench
        .harness
        .run(&Call::new("list_silences", json!({})))
        .await
        .output();
    assert_eq!(
        (&alive["total"], &alive["silences"][0]["state"]),
        (&json!(1), &json!("active"))
    );
    let over = Call::new("list_silences", json!({ "states": ["expired"] }));
    assert_eq!(
        bench.harness.run(&over).await.output()["silences"][0]["id"],
        id
    );
}
