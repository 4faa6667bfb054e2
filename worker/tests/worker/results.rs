use bytes::Bytes;
use engine::command::Outcome;
use engine::digest::Digest;
use engine::value::{INLINE_BYTES_MAX, VALUE_BYTES_MAX};
use serde_json::json;
use worker::CallResult;

use crate::bench::Bench;
use crate::jobs;

#[tokio::test(start_paused = true)]
async fn a_large_result_is_in_the_store_before_it_is_reported() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::read(1)).await;
    let text = "x".repeat(INLINE_BYTES_MAX);
    bench.called().await.succeed(&json!({ "text": text }));
    let Outcome::Succeeded { output } = bench.outcome().await else {
        panic!("no success")
    };
    assert_eq!(output.inline, None);
    let stored = bench
        .backend
        .blobs
        .get(&jobs::read(1).key, output.digest)
        .await;
    let stored = stored.expect("an open store").expect("a stored value");
    assert_eq!(Digest::of(&stored), output.digest);
    let labels: Vec<&str> = output.labels.iter().collect();
    assert_eq!(
        labels,
        ["source=step:step1", "tenant=default", "trust=plugin"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_item_s_result_comes_from_its_step() {
    let mut bench = Bench::new().await;
    let mut job = jobs::read(1);
    job.name = "hosts[web-1]".to_owned();
    bench.offer(job).await;
    bench.called().await.succeed(&json!({}));
    let Outcome::Succeeded { output } = bench.outcome().await else {
        panic!("no success")
    };
    assert!(output.labels.iter().any(|l| l == "source=step:hosts"));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_used_fails_the_step_with_its_code() {
    let mut bench = Bench::new().await;
    let huge = json!({ "text": "x".repeat(VALUE_BYTES_MAX) }).to_string();
    let cases = [
        (Bytes::from_static(b"not json"), "plugin_protocol"),
        (Bytes::new(), "plugin_protocol"),
        (
            Bytes::from_static(b"{\"value\": \"three\"}"),
            "output_invalid",
        ),
        (Bytes::from_static(b"[]"), "output_invalid"),
        (huge.into(), "limit"),
    ];
    for (output, code) in cases {
        bench.offer(jobs::read(1)).await;
        bench
            .called()
            .await
            .answer(CallResult::Succeeded { output });
        let Outcome::Failed { failure } = bench.outcome().await else {
            panic!("{code}: no failure")
        };
        assert_eq!((failure.code.as_str(), failure.retryable), (code, false));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_with_an_unusable_result_was_made() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::change(1)).await;
    bench.asked().await.grant(30_000);
    bench.called().await.succeed(&json!({ "value": "three" }));
    let Outcome::Failed { failure } = bench.durable().await.1 else {
        panic!("no failure")
    };
    assert_eq!(
        (failure.code.as_str(), failure.not_made),
        ("output_invalid", false)
    );
}

#[tokio::test(start_paused = true)]
async fn parameters_that_are_in_the_store_are_fetched() {
    let mut bench = Bench::new().await;
    let mut job = jobs::read(1);
    let params = json!({ "q": "x".repeat(INLINE_BYTES_MAX) });
    let bytes = engine::value::canonical(&params);
    job.call.params.inline = None;
    job.call.params.digest = Digest::of(&bytes);
    bench
        .backend
        .blobs
        .put(&job.key, job.call.params.digest, &bytes)
        .await
        .expect("an open store");
    bench.offer(job.clone()).await;
    let call = bench.called().await;
    assert_eq!(call.params, params);
    call.succeed(&json!({}));
    bench.outcome().await;
    job.attempt.0 = 2;
    job.call.params.digest = Digest::ZERO;
    bench.offer(job).await;
    let Outcome::Failed { failure } = bench.outcome().await else {
        panic!("no failure")
    };
    assert_eq!(failure.code, "record_damaged");
}
