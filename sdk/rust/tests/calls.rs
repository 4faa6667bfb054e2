//! What a call may do, when it is cut off, and what is said about it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use mirastack_sdk::{
    Action, ActionError, Agent, Context, Found, LogLevel, LookUp, Setting,
    testing::{Call, Harness},
};
use proto::v1::{Change, execute_event::Event};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, Semaphore};

type Json = Map<String, Value>;

#[derive(Deserialize, JsonSchema)]
struct Number {
    n: u32,
}

#[derive(Serialize, JsonSchema)]
struct Count {
    count: u32,
}

fn agent() -> Agent {
    Agent::new("probe", "0.1.0", "For tests.")
}

/// Tells when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A handler that waits to be let go, and tells when it began and when it was dropped.
#[derive(Clone)]
struct Gate {
    began: Arc<Semaphore>,
    go: Arc<Semaphore>,
    ended: Arc<Notify>,
}

impl Gate {
    fn new() -> Self {
        Self {
            began: Arc::new(Semaphore::new(0)),
            go: Arc::new(Semaphore::new(0)),
            ended: Arc::default(),
        }
    }

    async fn pass(self, context: Context) -> Result<Count, ActionError> {
        let _dropped = Dropped(self.ended);
        self.began.add_permits(1);
        self.go.acquire().await?.forget();
        Ok(Count {
            count: context.attempt(),
        })
    }

    async fn begun(&self) {
        self.began.acquire().await.expect("never closed").forget();
    }

    fn read(&self) -> Action<Json, Count> {
        let gate = self.clone();
        Action::read("read", "Waits.", move |context, _: Json| {
            gate.clone().pass(context)
        })
    }

    fn modify(&self) -> Action<Json, Count> {
        let gate = self.clone();
        Action::modify("modify", "Waits.", move |context, _: Json| {
            gate.clone().pass(context)
        })
    }
}

#[tokio::test]
async fn input_is_held_to_the_schema_before_the_handler_runs() {
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let harness =
        Harness::start(
            agent().action(Action::modify("add", "Adds.", move |_, number: Number| {
                let count = counter.fetch_add(number.n, Ordering::SeqCst);
                async move { Ok(Count { count }) }
            })),
        )
        .await;
    for bad in [
        json!({}),
        json!({ "n": -1 }),
        json!({ "n": "1" }),
        json!({ "n": 1, "m": 1 }),
    ] {
        let outcome = harness.run(&Call::new("add", bad)).await;
        assert_eq!(outcome.failure(), ("invalid_input", Change::NotMade));
    }
    let outcome = harness.run(&Call::new("subtract", json!({ "n": 1 }))).await;
    assert_eq!(outcome.failure(), ("unknown_action", Change::NotMade));
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    harness
        .run(&Call::new("add", json!({ "n": 2 })))
        .await
        .output();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_deadline_cuts_a_handler_off_and_a_change_is_then_unknown() {
    let gate = Gate::new();
    let harness = Harness::start(agent().action(gate.read()).action(gate.modify())).await;
    let outcome = harness
        .run(&Call::new("read", json!({})).deadline_in_ms(50))
        .await;
    assert_eq!(outcome.failure(), ("deadline_passed", Change::Unspecified));
    assert!(outcome.response.retryable);
    gate.ended.notified().await;
    let outcome = harness
        .run(&Call::new("modify", json!({})).deadline_in_ms(50))
        .await;
    assert_eq!(outcome.failure(), ("deadline_passed", Change::Unknown));
    gate.ended.notified().await;
}

#[tokio::test]
async fn a_read_whose_answer_nobody_wants_is_stopped() {
    let gate = Gate::new();
    let harness = Harness::start(agent().action(gate.read())).await;
    let events = harness.begin(&Call::new("read", json!({}))).await;
    gate.begun().await;
    drop(events);
    gate.ended.notified().await;
}

#[tokio::test]
async fn a_change_whose_answer_nobody_wants_goes_on() {
    let gate = Gate::new();
    let harness = Harness::start(agent().action(gate.modify())).await;
    let call = Call::new("modify", json!({})).key("k");
    let events = harness.begin(&call).await;
    gate.begun().await;
    drop(events);
    // The later attempt begins only when the one before it has ended by itself.
    let mut later = harness.begin(&call.clone().attempt(2)).await;
    gate.go.add_permits(1);
    gate.ended.notified().await;
    gate.begun().await;
    gate.go.add_permits(1);
    let Some(Event::Result(result)) = later.next().await.expect("a result") else {
        panic!("the result comes first")
    };
    assert_eq!(result.result_json, "{\"count\":2}");
    assert_eq!(later.next().await.expect("nothing after it"), None);
}

#[tokio::test]
async fn a_later_attempt_overtakes_an_earlier_read() {
    let gate = Gate::new();
    let harness = Harness::start(agent().action(gate.read())).await;
    let call = Call::new("read", json!({})).key("k");
    let mut earlier = harness.begin(&call).await;
    gate.begun().await;
    let later = harness.begin(&call.clone().attempt(2)).await;
    let Some(Event::Result(result)) = earlier.next().await.expect("a result") else {
        panic!("the result comes first")
    };
    assert_eq!(result.code, "cancelled");
    gate.begun().await;
    drop(later);
}

#[tokio::test]
async fn a_panic_fails_one_call_and_nothing_else() {
    async fn broken(_: Context, number: Number) -> Result<Count, ActionError> {
        assert!(number.n > 0, "a defect");
        Ok(Count { count: number.n })
    }
    let harness = Harness::start(agent().action(Action::modify("broken", "Breaks.", broken))).await;
    let outcome = harness.run(&Call::new("broken", json!({ "n": 0 }))).await;
    assert_eq!(outcome.failure(), ("panic", Change::Unknown));
    assert_eq!(
        harness
            .run(&Call::new("broken", json!({ "n": 1 })))
            .await
            .output(),
        json!({ "count": 1 })
    );
}

#[tokio::test]
async fn a_failure_says_what_became_of_the_change() {
    async fn fail(_: Context, input: Json) -> Result<Count, ActionError> {
        Err(match input["how"].as_str() {
            Some("not_made") => ActionError::not_made("refused", "no").retryable(),
            Some("unknown") => ActionError::unknown("lost", "no answer"),
            Some("made") => ActionError::made("late", "made, but"),
            _ => "x".parse::<u32>().expect_err("no number").into(),
        })
    }
    let harness = Harness::start(
        agent()
            .action(Action::read("look", "Fails.", fail))
            .action(Action::admin("act", "Fails.", fail)),
    )
    .await;
    for (action, how, code, change) in [
        ("look", "other", "internal", Change::Unspecified),
        ("act", "other", "internal", Change::Unknown),
        ("act", "not_made", "refused", Change::NotMade),
        ("act", "unknown", "lost", Change::Unknown),
        ("act", "made", "late", Change::Made),
    ] {
        let outcome = harness.run(&Call::new(action, json!({ "how": how }))).await;
        assert_eq!(outcome.failure(), (code, change));
        assert_eq!(outcome.response.retryable, code == "refused");
    }
}

#[tokio::test]
async fn what_a_call_says_is_bounded() {
    async fn talk(context: Context, _: Json) -> Result<Json, ActionError> {
        for n in 0..1000 {
            context.progress(f64::from(n), "x".repeat(5000));
        }
        context.log(LogLevel::Info, "é".repeat(8 * 1024));
        for n in 0..20_000 {
            context.info(format!("line {n}"));
        }
        let refused = context
            .checkpoint(vec![0; 1024 * 1024 + 1])
            .await
            .expect_err("too large");
        assert_eq!(refused.code(), "checkpoint_too_large");
        context.checkpoint(vec![7; 1024 * 1024]).await?;
        Ok(Json::new())
    }
    let harness = Harness::start(agent().action(Action::read("talk", "Talks.", talk))).await;
    let outcome = harness.run(&Call::new("talk", json!({}))).await;
    outcome.output();
    assert_eq!(outcome.checkpoints.len(), 1);
    assert!(
        outcome.progress.len() < 20,
        "{} reports",
        outcome.progress.len()
    );
    assert!(
        outcome
            .progress
            .iter()
            .all(|p| p.message.len() == 1024 && p.percent <= 100.0)
    );
    assert_eq!(outcome.log[0].len(), 8 * 1024);
    let passed = outcome.log.len() - 1;
    assert!(passed <= 10_000);
    assert_eq!(
        outcome.log[passed],
        format!(
            "{} lines of this log were lost: there were too many",
            20_001 - passed
        )
    );
}

#[tokio::test]
async fn a_result_that_is_too_large_is_refused_and_the_change_stands() {
    async fn big(_: Context, number: Number) -> Result<Json, ActionError> {
        let size = usize::try_from(number.n)?;
        Ok(Json::from_iter([(
            "text".to_owned(),
            Value::String("x".repeat(size)),
        )]))
    }
    let harness = Harness::start(agent().action(Action::modify("big", "Gives much.", big))).await;
    let fits = 4 * 1024 * 1024 - "{\"text\":\"\"}".len();
    harness
        .run(&Call::new("big", json!({ "n": fits })))
        .await
        .output();
    let outcome = harness
        .run(&Call::new("big", json!({ "n": fits + 1 })))
        .await;
    assert_eq!(outcome.failure(), ("result_too_large", Change::Made));
}

#[tokio::test]
async fn a_checkpoint_comes_back_with_the_next_attempt() {
    async fn go_on(context: Context, _: Json) -> Result<Count, ActionError> {
        let done: u32 = context.saved().unwrap_or(0);
        context.save(&(done + 5)).await?;
        Ok(Count { count: done })
    }
    let harness = Harness::start(agent().action(Action::read("go_on", "Goes on.", go_on))).await;
    let call = Call::new("go_on", json!({}));
    let first = harness.run(&call).await;
    assert_eq!(first.output(), json!({ "count": 0 }));
    let second = harness
        .run(&call.clone().checkpoint(first.checkpoints[0].clone()))
        .await;
    assert_eq!(second.output(), json!({ "count": 5 }));
    let garbled = harness.run(&call.checkpoint(&b"\xff"[..])).await;
    assert_eq!(
        garbled.output(),
        json!({ "count": 0 }),
        "an unreadable checkpoint starts over"
    );
}

#[tokio::test]
async fn settings_are_checked_before_they_are_taken_and_needed_before_a_call() {
    async fn which(context: Context, _: Json) -> Result<String, ActionError> {
        Ok(context.config().require("url")?.to_owned())
    }
    let agent = agent()
        .setting(Setting::string("url", "Where.").required())
        .check_config(|config| match config.get("url") {
            Some(url) if url.starts_with("http") => Ok(()),
            Some(_) | None => Err("`url` must begin with http".to_owned()),
        })
        .action(Action::read("which", "Says where.", which));
    let harness = Harness::start(agent).await;
    let call = Call::new("which", json!({}));
    assert_eq!(
        harness.run(&call).await.failure(),
        ("not_configured", Change::NotMade)
    );
    assert_eq!(
        harness.health().await,
        Err("not set, but required: `url`".to_owned())
    );
    harness
        .configure(&[("url", "http://one")])
        .await
        .expect("good settings");
    for (bad, problem) in [
        (vec![], "not set, but required: `url`"),
        (
            vec![("url", "http://two"), ("ur", "x")],
            "there is no setting `ur`",
        ),
        (vec![("url", "ftp://two")], "`url` must begin with http"),
    ] {
        assert_eq!(harness.configure(&bad).await, Err(problem.to_owned()));
    }
    assert_eq!(
        harness.run(&call).await.output(),
        json!("http://one"),
        "refused settings change nothing"
    );
    assert_eq!(harness.health().await, Ok("serving".to_owned()));
}

#[tokio::test]
async fn a_look_up_waits_for_the_attempt_that_still_runs() {
    let gate = Gate::new();
    let ended = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&ended);
    let look = move |_: Context, asked: LookUp<Json>| {
        let count = seen.load(Ordering::SeqCst);
        async move {
            if asked.idempotency_key == "k" {
                Ok(Found::Done(Count { count }))
            } else {
                Ok(Found::NotDone)
            }
        }
    };
    let (passing, counter) = (gate.clone(), Arc::clone(&ended));
    let change = Action::modify("change", "Waits.", move |context, _: Json| {
        let (gate, counter) = (passing.clone(), Arc::clone(&counter));
        async move {
            let count = gate.pass(context).await?;
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(count)
        }
    });
    let harness = Harness::start(agent().action(change.look_up(look))).await;
    let call = Call::new("change", json!({})).key("k");
    let events = harness.begin(&call).await;
    gate.begun().await;
    let found = tokio::join!(harness.look_up(&call, "k"), async {
        assert_eq!(
            harness.look_up(&call, "other").await,
            Found::NotDone,
            "another key waits for nobody"
        );
        gate.go.add_permits(1);
    });
    assert_eq!(found.0, Found::Done(json!({ "count": 1 })));
    drop(events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_survives_many_calls_and_many_cancelled_ones() {
    async fn echo(context: Context, input: Json) -> Result<Json, ActionError> {
        context.save(&1).await?;
        Ok(input)
    }
    let harness = Harness::start(agent().action(Action::read("echo", "Echoes.", echo))).await;
    let call = Call::new("echo", json!({ "n": 1 }));
    for _ in 0..20 {
        let runs = (0..200).map(|_| harness.run(&call));
        for outcome in futures::future::join_all(runs).await {
            outcome.output();
        }
        let begun = (0..200).map(|_| harness.begin(&call));
        drop(futures::future::join_all(begun).await);
    }
    assert!(!harness.client().is_closed());
}

#[tokio::test]
#[should_panic(expected = "count is declared idempotent, but gave")]
async fn the_harness_catches_a_false_promise_to_be_idempotent() {
    let calls = Arc::new(AtomicU32::new(0));
    let action = Action::modify("count", "Counts.", move |_, _: Json| {
        let count = calls.fetch_add(1, Ordering::SeqCst);
        async move { Ok(Count { count }) }
    });
    let harness = Harness::start(agent().action(action.idempotent())).await;
    harness
        .run_every_action_twice(&[Call::new("count", json!({}))])
        .await;
}

#[tokio::test]
#[should_panic(expected = "the look-up of count")]
async fn the_harness_catches_a_look_up_that_finds_nothing() {
    let action = Action::modify("count", "Counts.", |_, _: Json| async {
        Ok(Count { count: 1 })
    });
    let action = action.look_up(|_, _| async { Ok(Found::NotDone) });
    let harness = Harness::start(agent().action(action)).await;
    harness
        .run_every_action_twice(&[Call::new("count", json!({}))])
        .await;
}

#[tokio::test]
#[should_panic(expected = "no example calls the action read")]
async fn the_harness_wants_an_example_of_each_action() {
    let harness = Harness::start(agent().action(Gate::new().read())).await;
    harness.fail_every_action_in_turn(&[]).await;
}
