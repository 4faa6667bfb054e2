use engine::command::Outcome;
use engine::event::{Failure, Part, SecretPart};
use engine::principal::Principal;
use engine::registry::{self, Kind, Secret, SecretVersion};
use engine::time::Timestamp;
use serde_json::json;
use store::port::{Expect, News, Topic};
use worker::{CallResult, Change, Said};

use crate::bench::{self, Bench};
use crate::jobs::{self, NOW};

const CANARY: &str = "hunter2-and-more";

async fn with_secret() -> Bench {
    let bench = Bench::new().await;
    let bound = registry::secret_seal(&jobs::tenant(), "token", 2);
    let secret = Secret {
        last_version: 2,
        versions: vec![SecretVersion {
            version: 2,
            sealed: bench::seal().seal(&bound, [9; 24], CANARY.as_bytes()),
            set_at: Timestamp::from_millis(NOW),
            set_by: Principal::Key("admin".to_owned()),
        }],
    };
    let key = Kind::Secrets.key(&jobs::tenant(), "token");
    let put = bench
        .backend
        .registry
        .put(&key, &registry::encode(&secret), Expect::Absent)
        .await;
    put.expect("an empty registry");
    bench
}

fn place(version: u64) -> SecretPart {
    SecretPart {
        pointer: "/token".to_owned(),
        parts: vec![
            Part::Text("Bearer ".to_owned()),
            Part::Secret {
                name: "token".to_owned(),
                version,
            },
        ],
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_filled_in_at_the_door_and_comes_back_as_its_name() {
    let mut bench = with_secret().await;
    let job = jobs::change_with(1, vec![place(2)]);
    let mut live = bench.backend.live.subscribe(Topic::Run(job.key.clone()));
    bench.offer(job).await;
    bench.asked().await.grant(30_000);
    let call = bench.called().await;
    assert_eq!(
        call.params,
        json!({ "n": 1, "token": format!("Bearer {CANARY}") })
    );
    let events = call.events.clone().expect("a call");
    let message = format!("sent {CANARY}");
    events
        .said(Said::Log {
            level: "info",
            message,
        })
        .await;
    let News::Log { message, .. } = live.recv().await.expect("news") else {
        panic!("no line")
    };
    assert_eq!(message, "sent ***token***");
    call.succeed(&json!({ "text": format!("I got {CANARY}!") }));
    let Outcome::Succeeded { output } = bench.durable().await.1 else {
        panic!("no success")
    };
    assert_eq!(
        output.inline_json(),
        Some(json!({ "text": "I got ***token***!" }))
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_stands_in_no_failure() {
    let mut bench = with_secret().await;
    let mut job = jobs::read(1);
    job.call.params = jobs::value(&json!({ "token": "" }));
    job.call.secrets = vec![place(2)];
    bench.offer(job.clone()).await;
    bench.called().await.answer(CallResult::Failed {
        failure: Failure {
            code: "unauthorized".to_owned(),
            message: format!("401 for Bearer {CANARY}"),
            retryable: false,
            not_made: false,
            step: None,
        },
        change: Change::Unknown,
    });
    let Outcome::Failed { failure } = bench.outcome().await else {
        panic!("no failure")
    };
    assert_eq!(failure.message, "401 for Bearer ***token***");
    job.attempt.0 = 2;
    bench.offer(job).await;
    bench.called().await.succeed(&json!({ "value": CANARY }));
    let outcome = format!("{:?}", bench.outcome().await);
    assert!(
        outcome.contains("output_invalid") && !outcome.contains(CANARY),
        "{outcome}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_gone_fails_the_step_before_anything_is_sent() {
    let mut bench = with_secret().await;
    bench.offer(jobs::change_with(1, vec![place(1)])).await;
    let Outcome::Failed { failure } = bench.durable().await.1 else {
        panic!("no failure")
    };
    assert_eq!(
        (failure.code.as_str(), failure.not_made),
        ("secret_missing", true)
    );
    assert!(bench.begins.try_recv().is_err() && bench.calls.try_recv().is_err());
}
