use std::time::Duration;

use engine::id::Shard;
use serde_json::json;
use tokio::time::Instant;
use worker::Config;

use crate::bench::{Bench, within};
use crate::jobs;

#[tokio::test(start_paused = true)]
async fn every_owner_hears_of_the_worker_every_three_seconds_also_when_it_has_nothing() {
    let mut bench = Bench::new().await;
    for shard in [Shard(0), Shard(1)] {
        assert_eq!(bench.in_hand(shard).await, (Vec::new(), 100));
    }
    let began = Instant::now();
    bench.in_hand(Shard(1)).await;
    bench.in_hand(Shard(1)).await;
    assert_eq!(began.elapsed().as_secs(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_said_soon_and_until_its_report_is_confirmed() {
    let mut bench = Bench::new().await;
    bench.in_hand(Shard(0)).await;
    bench.offer(jobs::read(1)).await;
    bench.offer(jobs::read(2)).await;
    let began = Instant::now();
    let (one, two) = (jobs::read(1).attempt_key(), jobs::read(2).attempt_key());
    assert_eq!(
        bench.in_hand(Shard(0)).await,
        (vec![one.clone(), two.clone()], 98)
    );
    assert!(began.elapsed() <= Duration::from_millis(200));
    bench.called().await.succeed(&json!({}));
    let report = bench.reported().await;
    assert_eq!(
        bench.in_hand(Shard(0)).await,
        (vec![one, two.clone()], 99),
        "the slot is free, the report is not confirmed"
    );
    report.confirm();
    bench.outcome().await;
    assert_eq!(bench.in_hand(Shard(0)).await, (vec![two], 99));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_the_owner_does_not_want_is_cut_and_not_reported() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::read(1)).await;
    let mut call = bench.called().await;
    bench
        .unwanted
        .lock()
        .expect("no panic")
        .insert(jobs::read(1).attempt_key());
    within(call.cut()).await;
    bench.quiet(Duration::from_secs(10)).await;
    let (held, free) = bench.in_hand(Shard(0)).await;
    assert_eq!((held, free), (Vec::new(), 100));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_in_hand_is_not_taken_twice() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::read(1)).await;
    let call = bench.called().await;
    bench.offer(jobs::read(1)).await;
    bench.quiet(Duration::from_secs(5)).await;
    call.succeed(&json!({}));
    bench.outcome().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_is_taken_than_slots_are_free() {
    let slots = 2;
    let mut bench = Bench::with(Config {
        slots,
        ..Config::default()
    })
    .await;
    for n in 1..=3 {
        bench.offer(jobs::read(n)).await;
    }
    let first = bench.called().await;
    let _second = bench.called().await;
    bench.quiet(Duration::from_secs(5)).await;
    assert_eq!(
        bench
            .backend
            .jobs
            .queue("default")
            .await
            .expect("a queue")
            .length,
        1
    );
    first.succeed(&json!({}));
    bench.outcome().await;
    assert_eq!(bench.called().await.job.step.0, 3);
}

#[tokio::test(start_paused = true)]
async fn unconfirmed_reports_end_the_taking_and_not_the_memory() {
    let (slots, held_max) = (2, 3);
    let config = Config {
        slots,
        held_max,
        ..Config::default()
    };
    let mut bench = Bench::with(config).await;
    for n in 1..=10 {
        bench.offer(jobs::read(n)).await;
    }
    let mut reports = Vec::new();
    // No report is answered: what was taken before the limit was reached is all that comes.
    while let Ok(Some(call)) =
        tokio::time::timeout(Duration::from_secs(2), bench.calls.recv()).await
    {
        call.succeed(&json!({}));
        reports.push(());
    }
    assert!(
        (held_max..=held_max + slots).contains(&reports.len()),
        "{}",
        reports.len()
    );
    let waiting = bench
        .backend
        .jobs
        .queue("default")
        .await
        .expect("a queue")
        .length;
    assert_eq!(waiting as usize + reports.len(), 10);
}
