use std::time::Duration;

use engine::command::Outcome;
use engine::id::Shard;
use serde_json::json;
use tokio::time::Instant;

use crate::bench::{Bench, within};
use crate::jobs;

#[tokio::test(start_paused = true)]
async fn a_read_that_ends_in_time_is_finished() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::read(1)).await;
    let call = bench.called().await;
    bench.drain.cancel();
    bench.offer(jobs::read(2)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    call.succeed(&json!({}));
    assert!(matches!(bench.outcome().await, Outcome::Succeeded { .. }));
    bench.stopped().await;
    assert!(bench.calls.try_recv().is_err(), "no more is taken");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_takes_longer_is_cut_and_handed_back() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::read(1)).await;
    let mut call = bench.called().await;
    bench.drain.cancel();
    let began = Instant::now();
    within(call.cut()).await;
    assert_eq!(began.elapsed().as_secs(), 8);
    assert!(matches!(bench.outcome().await, Outcome::NotCalled { .. }));
    bench.stopped().await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_nobody_hears_still_stops() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::read(1)).await;
    bench.called().await.succeed(&json!({}));
    let _unanswered = bench.reported().await;
    let began = Instant::now();
    bench.stopped().await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_not_granted_is_handed_back_at_once() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::change(1)).await;
    let begin = bench.asked().await;
    let began = Instant::now();
    bench.stopped().await;
    assert!(began.elapsed() < Duration::from_secs(1));
    begin.grant(30_000);
    let (_, outcome) = bench.durable().await;
    assert!(matches!(outcome, Outcome::NotCalled { .. }), "{outcome:?}");
    assert!(bench.calls.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_granted_change_is_waited_for_and_its_owner_hears_of_it_meanwhile() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::change(1)).await;
    bench.asked().await.grant(30_000);
    let call = bench.called().await;
    bench.drain.cancel();
    tokio::time::sleep(Duration::from_secs(60)).await;
    while bench.in_hand.try_recv().is_ok() {}
    let (held, free) = bench.in_hand(Shard(0)).await;
    assert_eq!((held, free), (vec![jobs::change(1).attempt_key()], 0));
    call.succeed(&json!({ "text": "made" }));
    bench.stopped().await;
    assert!(matches!(bench.durable().await.1, Outcome::Succeeded { .. }));
}
