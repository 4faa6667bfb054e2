//! Against a server that answers what a test tells it to: for the ways to fail that a real one does not show.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use mirastack_sdk::testing::{Call, Harness};
use proto::v1::Change;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use super::*;

/// What the server answers (until it is told: that it has nothing), and what it was asked.
#[derive(Clone)]
struct Server {
    answer: Arc<Mutex<Option<(StatusCode, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn answers(&self, status: u16, body: impl Into<String>) {
        let status = StatusCode::from_u16(status).expect("a status");
        *self.answer.lock().expect("no panic") = Some((status, body.into()));
    }

    fn last_asked(&self) -> String {
        self.asked
            .lock()
            .expect("no panic")
            .last()
            .expect("it was asked")
            .clone()
    }
}

async fn respond(
    State(server): State<Server>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    let token = headers
        .get("authorization")
        .map_or("", |v| v.to_str().expect("visible"));
    let asked = format!("{uri} {token} {body}");
    server.asked.lock().expect("no panic").push(asked);
    let told = server.answer.lock().expect("no panic").clone();
    let nothing = |result_type| (StatusCode::OK, success(result_type, &json!([])));
    told.unwrap_or_else(|| match uri.path() {
        "/api/v1/query_range" => nothing("matrix"),
        "/api/v1/metadata" => (StatusCode::OK, plain(&json!({}))),
        path if path.starts_with("/api/v1/label") || path == "/api/v1/series" => {
            (StatusCode::OK, plain(&json!([])))
        }
        _ => nothing("vector"),
    })
}

struct Bench {
    harness: Harness,
    server: Server,
    url: String,
    tasks: JoinSet<()>,
}

impl Bench {
    async fn start() -> Self {
        let server = Server {
            answer: Arc::default(),
            asked: Arc::default(),
        };
        let app = Router::new().fallback(respond).with_state(server.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.expect("serving goes on") });
        let harness = Harness::start(agent()).await;
        harness
            .configure(&[(backend::URL, &url), (backend::TOKEN, "s3cret")])
            .await
            .expect("good settings");
        Self {
            harness,
            server,
            url,
            tasks,
        }
    }

    async fn instant(&self) -> mirastack_sdk::testing::Outcome {
        self.harness
            .run(&Call::new(
                "instant_query",
                json!({ "query": "up", "time": "1738324800" }),
            ))
            .await
    }
}

/// An answer that is no result of a query.
fn plain(data: &Value) -> String {
    json!({ "status": "success", "data": data }).to_string()
}

fn success(result_type: &str, result: &Value) -> String {
    json!({ "status": "success", "data": { "resultType": result_type, "result": result } })
        .to_string()
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
    let bench = Bench::start().await;
    let examples = [
        ("instant_query", json!({ "query": "up" }), "series"),
        ("range_query", json!({ "query": "up" }), "series"),
        ("label_names", json!({}), "names"),
        ("label_values", json!({ "label": "job" }), "values"),
        ("series", json!({ "match": ["up"] }), "series"),
        ("metadata", json!({}), "metrics"),
    ];
    let mut calls = Vec::new();
    for (action, params, list) in examples {
        let call = Call::new(action, params);
        let output = bench.harness.run(&call).await.output();
        assert_eq!(output[list], json!([]), "{action}");
        calls.push(call);
    }
    let examples = calls;
    bench.harness.fail_every_action_in_turn(&examples).await;
    bench.harness.run_every_action_twice(&examples).await;
}

#[tokio::test]
async fn values_are_numbers_and_what_is_none_is_null_with_its_text() {
    let bench = Bench::start().await;
    let item = |name: &str, value: &str| json!({ "metric": { "__name__": name }, "value": [1738324800.5, value] });
    bench.server.answers(
        200,
        success(
            "vector",
            &json!([item("a", "1.5"), item("b", "NaN"), item("c", "+Inf")]),
        ),
    );
    assert_eq!(
        bench.instant().await.output(),
        json!({
            "result_type": "vector", "warnings": [],
            "series": [
                { "labels": { "__name__": "a" }, "value": { "time": 1738324800.5, "value": 1.5 } },
                { "labels": { "__name__": "b" }, "value": { "time": 1738324800.5, "value": null, "text": "NaN" } },
                { "labels": { "__name__": "c" }, "value": { "time": 1738324800.5, "value": null, "text": "+Inf" } },
            ],
        })
    );
    bench
        .server
        .answers(200, success("scalar", &json!([1738324800, "2"])));
    let scalar = bench.instant().await.output();
    assert_eq!(
        scalar["series"],
        json!([{ "labels": {}, "value": { "time": 1738324800.0, "value": 2.0 } }])
    );
    bench
        .server
        .answers(200, success("string", &json!([1738324800, "hi"])));
    assert_eq!(
        bench.instant().await.output()["series"][0]["value"]["text"],
        json!("hi")
    );
}

#[tokio::test]
async fn warnings_and_left_out_histograms_are_passed_on() {
    let bench = Bench::start().await;
    let histogram =
        json!({ "metric": { "__name__": "h" }, "histogram": [1738324800, { "count": "1" }] });
    let mut answer: Value =
        serde_json::from_str(&success("vector", &json!([histogram]))).expect("JSON");
    answer["warnings"] = json!(["partial response"]);
    answer["infos"] = json!(["not a counter"]);
    bench.server.answers(200, answer.to_string());
    let output = bench.instant().await.output();
    assert_eq!(output["series"], json!([]));
    let warnings: Vec<_> = output["warnings"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(warnings[..2], ["partial response", "not a counter"]);
    assert!(
        warnings[2].starts_with("1 series of native histograms"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn the_query_travels_in_the_body_with_the_token() {
    let bench = Bench::start().await;
    bench.server.answers(200, success("vector", &json!([])));
    bench.instant().await.output();
    assert_eq!(
        bench.server.last_asked(),
        "/api/v1/query Bearer s3cret query=up&time=1738324800.000"
    );
    bench.server.answers(200, success("matrix", &json!([])));
    let params = json!({ "query": "up", "start": "1738320000", "end": "2025-01-31T12:00:00Z", "step": "1m30s" });
    let call = Call::new("range_query", params);
    bench.harness.run(&call).await.output();
    let expected = "query=up&start=1738320000.000&end=1738324800.000&step=90.000";
    assert_eq!(
        bench.server.last_asked(),
        format!("/api/v1/query_range Bearer s3cret {expected}")
    );
    bench
        .harness
        .run(&call.time_range(1_000, 61_000))
        .await
        .output();
    assert!(
        bench
            .server
            .last_asked()
            .ends_with("start=1.000&end=61.000&step=90.000"),
        "the time range wins"
    );
}

#[tokio::test]
async fn each_way_to_fail_says_whether_to_try_again() {
    let bench = Bench::start().await;
    let refusal = json!({ "status": "error", "errorType": "bad_data", "error": "parse error: unexpected end" }).to_string();
    for (status, body, code, retryable, message) in [
        (
            400,
            refusal.as_str(),
            "bad_query",
            false,
            "parse error: unexpected end",
        ),
        (422, &refusal, "bad_query", false, "bad_data"),
        (200, &refusal, "bad_query", false, "bad_data"),
        (400, "nonsense", "refused", false, "nonsense"),
        (401, "", "unauthorized", false, "401"),
        (404, "no such page", "refused", false, "may lack a path"),
        (302, "", "refused", false, "302"),
        (429, "", "overloaded", true, "429"),
        (503, "warming up", "backend_failed", true, "warming up"),
        (200, "<html>", "bad_answer", false, "not what was expected"),
    ] {
        bench.server.answers(status, body);
        let outcome = bench.instant().await;
        assert_eq!(
            outcome.failure(),
            (code, Change::Unspecified),
            "{status} {body}"
        );
        assert_eq!(outcome.response.retryable, retryable, "{status} {body}");
        assert!(
            outcome.response.error.contains(message),
            "{}",
            outcome.response.error
        );
    }
    bench.server.answers(200, "x".repeat(16 * 1024 * 1024 + 1));
    assert_eq!(bench.instant().await.failure().0, "answer_too_large");
    bench.server.answers(200, success("matrix", &json!([])));
    assert_eq!(bench.instant().await.failure().0, "bad_query");
}

#[tokio::test]
async fn a_server_that_is_gone_is_unreachable_and_unhealthy() {
    let mut bench = Bench::start().await;
    bench.server.answers(200, "ready");
    assert_eq!(
        bench.harness.health().await,
        Ok("the server is ready".to_owned())
    );
    bench.server.answers(404, "");
    assert!(bench.harness.health().await.is_err());
    bench.tasks.shutdown().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    bench.url = format!("http://{}", gone.local_addr().expect("bound"));
    drop(gone);
    bench
        .harness
        .configure(&[(backend::URL, &bench.url)])
        .await
        .expect("good settings");
    let outcome = bench.instant().await;
    assert_eq!(outcome.failure(), ("unreachable", Change::Unspecified));
    assert!(outcome.response.retryable);
    assert!(bench.harness.health().await.is_err());
}

#[tokio::test]
async fn an_address_that_cannot_work_is_refused_when_it_is_set() {
    let harness = Harness::start(agent()).await;
    for bad in ["localhost:9090", "http://user:hunter2@localhost"] {
        let refused = harness
            .configure(&[(backend::URL, bad)])
            .await
            .expect_err("a bad address");
        assert!(
            refused.starts_with("`metrics_url`: ") && !refused.contains("hunter2"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_search_travels_with_its_selectors_its_span_and_one_more_than_its_limit() {
    let bench = Bench::start().await;
    let params = json!({
        "match": ["up", "{job=\"a&b\"}"], "start": "1738320000", "end": "1738324800", "limit": 2,
    });
    let sent = "match%5B%5D=up&match%5B%5D=%7Bjob%3D%22a%26b%22%7D&start=1738320000.000&end=1738324800.000&limit=3";
    let run = async |action: &str, params: Value| {
        let call = Call::new(action, params);
        bench.harness.run(&call).await.output()
    };
    run("label_names", params.clone()).await;
    let asked = format!("/api/v1/labels Bearer s3cret {sent}");
    assert_eq!(bench.server.last_asked(), asked);
    run("series", params.clone()).await;
    let asked = format!("/api/v1/series Bearer s3cret {sent}");
    assert_eq!(bench.server.last_asked(), asked);
    let mut of_label = params;
    of_label["label"] = json!("job");
    run("label_values", of_label).await;
    let asked = format!("/api/v1/label/job/values?{sent} Bearer s3cret ");
    assert_eq!(bench.server.last_asked(), asked);
    run("metadata", json!({ "metric": "a b", "limit": 2 })).await;
    let asked = "/api/v1/metadata?limit=3&metric=a+b Bearer s3cret ";
    assert_eq!(bench.server.last_asked(), asked);
}

#[tokio::test]
async fn a_list_is_in_order_and_says_whether_its_limit_left_some_out() {
    let bench = Bench::start().await;
    let run = async |action: &str, params: Value| {
        let call = Call::new(action, params);
        bench.harness.run(&call).await.output()
    };
    bench.server.answers(200, plain(&json!(["c", "a", "b"])));
    let names = run("label_names", json!({ "limit": 2 })).await;
    let first = json!({ "names": ["a", "b"], "truncated": true, "warnings": [] });
    assert_eq!(names, first);
    let values = run("label_values", json!({ "label": "job", "limit": 3 })).await;
    let all = json!({ "values": ["a", "b", "c"], "truncated": false, "warnings": [] });
    assert_eq!(values, all);
    let found = json!([{ "__name__": "up", "job": "b" }, { "__name__": "up", "job": "a" }]);
    bench.server.answers(200, plain(&found));
    let series = run("series", json!({ "match": ["up"], "limit": 1 })).await;
    assert_eq!(
        (&series["series"], &series["truncated"]),
        (
            &json!([{ "labels": { "__name__": "up", "job": "a" } }]),
            &json!(true)
        )
    );
    let gauge = json!({ "type": "gauge", "help": "Whether.", "unit": "" });
    bench.server.answers(
        200,
        plain(&json!({ "up": [gauge], "a": [{ "type": "counter" }] })),
    );
    let metadata = run("metadata", json!({})).await;
    let both = json!([
        { "name": "a", "type": "counter", "help": "", "unit": "" },
        { "name": "up", "type": "gauge", "help": "Whether.", "unit": "" },
    ]);
    assert_eq!(metadata["metrics"], both);
}

#[tokio::test]
async fn a_search_that_cannot_be_is_refused_before_the_server_is_asked() {
    let bench = Bench::start().await;
    for (action, params) in [
        ("series", json!({})),
        ("series", json!({ "match": [] })),
        ("label_names", json!({ "start": "2", "end": "1" })),
        ("label_names", json!({ "start": "yesterday" })),
    ] {
        let outcome = bench.harness.run(&Call::new(action, params.clone())).await;
        assert_eq!(outcome.failure().0, "invalid_input", "{action} {params}");
    }
    assert!(bench.server.asked.lock().expect("no panic").is_empty());
}
