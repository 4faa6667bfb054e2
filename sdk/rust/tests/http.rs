//! What a failed request means, shown against a back end that misbehaves.

use std::time::Duration;

use axum::{Router, body::Body, http::StatusCode, response::Redirect, routing::get};
use mirastack_sdk::{
    Change,
    http::{Failure, Http, base_url, join, send, send_json},
};
use reqwest::Method;
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinSet};

const PATIENCE: Duration = Duration::from_secs(10);

/// A back end on a free port, and its address.
async fn backend(tasks: &mut JoinSet<()>) -> String {
    let app = Router::new()
        .route("/good", get(|| async { "[1, 2]" }))
        .route(
            "/broken",
            get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "out of\n  order") }),
        )
        .route("/missing", get(|| async { StatusCode::NOT_FOUND }))
        .route("/moved", get(|| async { Redirect::temporary("/good") }))
        .route(
            "/endless",
            get(|| async {
                Body::from_stream(futures::stream::repeat(Ok::<_, std::convert::Infallible>(
                    "x",
                )))
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    tasks.spawn(async move { axum::serve(listener, app).await.expect("serving goes on") });
    address
}

async fn get_from(base: &str, path: &str) -> Result<Vec<u8>, Failure> {
    let http = Http::new("test/0");
    let request = http.request(
        Method::GET,
        join(base, path).expect("a good address"),
        PATIENCE,
    )?;
    send_json(request, 1000).await
}

#[tokio::test]
async fn answers_and_refusals_are_told_apart() {
    let mut tasks = JoinSet::new();
    let base = backend(&mut tasks).await;
    assert_eq!(get_from(&base, "good").await, Ok(vec![1, 2]));
    let refused = |status, message: &str| {
        Err(Failure::Refused {
            status,
            message: message.to_owned(),
        })
    };
    assert_eq!(
        get_from(&base, "broken").await,
        refused(500, "out of order")
    );
    assert_eq!(
        get_from(&base, "missing").await,
        refused(404, "without a word")
    );
    let moved = get_from(&base, "moved").await;
    assert_eq!(
        moved,
        refused(
            307,
            "it redirects to /good, which is not followed: use the final address"
        )
    );
    assert_eq!(
        get_from(&base, "endless").await,
        Err(Failure::TooLarge(1000))
    );
}

#[tokio::test]
async fn nothing_is_known_to_be_sent_only_without_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let http = Http::new("test/0");
    let url = join(&base, "x").expect("a good address");
    let silent = http
        .request(Method::GET, url.clone(), Duration::from_millis(50))
        .expect("a client");
    assert_eq!(
        send(silent, 10).await,
        Err(Failure::NoAnswer("the time was over".to_owned()))
    );
    let mut cutting = JoinSet::new();
    cutting.spawn(async move {
        let (mut first, _) = listener.accept().await.expect("a caller");
        let (mut second, _) = listener.accept().await.expect("a caller");
        let mut read = [0; 16];
        let _ = (first.read(&mut read).await, second.read(&mut read).await);
    });
    let cut = http
        .request(Method::GET, url.clone(), PATIENCE)
        .expect("a client");
    assert!(matches!(send(cut, 10).await, Err(Failure::NoAnswer(_))));
    cutting.join_all().await;
    let refused = http.request(Method::GET, url, PATIENCE).expect("a client");
    let failure = send(refused, 10).await.expect_err("nobody listens");
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
    assert!(!failure.to_string().contains(&base), "{failure}");
}

#[test]
fn a_failure_says_whether_a_change_was_made_and_whether_to_try_again() {
    let refused = |status| Failure::Refused {
        status,
        message: String::new(),
    };
    for (failure, code, change, retryable) in [
        (
            Failure::Unreachable(String::new()),
            "unreachable",
            Change::NotMade,
            true,
        ),
        (
            Failure::NoAnswer(String::new()),
            "no_answer",
            Change::Unknown,
            true,
        ),
        (refused(400), "refused", Change::NotMade, false),
        (refused(401), "unauthorized", Change::NotMade, false),
        (refused(429), "overloaded", Change::NotMade, true),
        (refused(503), "backend_failed", Change::Unknown, true),
        (
            Failure::TooLarge(1),
            "answer_too_large",
            Change::Unknown,
            false,
        ),
        (
            Failure::Unreadable(String::new()),
            "bad_answer",
            Change::Unknown,
            false,
        ),
    ] {
        let error = failure.clone().of_change();
        assert_eq!(
            (error.code(), error.change(), error.is_retryable()),
            (code, change, retryable)
        );
        let error = failure.clone().of_preparation();
        assert_eq!((error.code(), error.change()), (code, Change::NotMade));
        let error = failure.of_read();
        assert_eq!(
            (error.code(), error.change(), error.is_retryable()),
            (code, Change::Unstated, retryable)
        );
    }
}

#[test]
fn addresses_are_joined_below_their_path() {
    for (base, joined) in [
        (
            "http://localhost:9090",
            "http://localhost:9090/api/v1/query",
        ),
        (
            "http://localhost:9090/",
            "http://localhost:9090/api/v1/query",
        ),
        (
            "https://x.example/prometheus",
            "https://x.example/prometheus/api/v1/query",
        ),
        (
            "https://x.example/prometheus/",
            "https://x.example/prometheus/api/v1/query",
        ),
    ] {
        assert_eq!(
            join(base, "api/v1/query").map(String::from),
            Ok(joined.to_owned())
        );
    }
    let odd = join("http://x", "silence/a b?c").map(String::from);
    assert_eq!(odd, Ok("http://x/silence/a%20b%3Fc".to_owned()));
    for bad in [
        "",
        "localhost:9090",
        "ftp://x",
        "http://",
        "http://u:p@x",
        "http://x?a=b",
        "http://x#f",
        "unix:/x",
    ] {
        assert!(base_url(bad).is_err(), "{bad}");
    }
}
