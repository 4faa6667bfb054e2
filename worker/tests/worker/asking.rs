//! A plugin that asks people while it is called: what the owner of its run hears, and what it is told.

use std::time::Duration;

use engine::code::Code;
use engine::event::ApprovalState;
use engine::job::{Answer, Word, call_digest};
use engine::principal::{Permission, Principal};
use serde_json::json;
use store::port::Heard;
use worker::CallResult;

use crate::bench::within;
use crate::yard::{Yard, job};

/// The next question that the owner hears.
async fn heard(yard: &Yard) -> Heard {
    let shard = job("good").key.run.shard();
    let heard = within(yard.backend.jobs.hear(shard, 1)).await;
    heard.expect("an open queue").remove(0)
}

#[tokio::test]
async fn a_plugin_asks_through_the_owner_until_it_is_answered() {
    let yard = Yard::new(&[("good", "good")]).await;
    let job = job("good");
    let params = json!({ "do": "ask", "why": "restart it\u{1b}[2J", "level": 4 });
    let asking = yard.call(&job, &params, Duration::from_secs(10));
    let answering = async {
        // An owner that dies is asked again, and the words are the same.
        let first = heard(&yard).await;
        let Word::Ask {
            attempt,
            words,
            within_ms,
            call,
        } = first.word
        else {
            panic!("{:?}", first.word)
        };
        assert_eq!(attempt, job.attempt_key());
        assert_eq!(call, call_digest(&job.action, &job.call));
        // It is told a moment before its own time is over.
        assert!((1_000..=9_000).contains(&within_ms), "{within_ms}");
        assert_eq!(words.description, "restart it\\u{1b}[2J");
        assert_eq!((words.permission, words.proven), (Permission::Modify, true));
        assert_eq!(words.context.as_deref(), Some(r#"{"host":"a"}"#));
        drop(first.reply);
        let second = heard(&yard).await;
        let Word::Ask { words: again, .. } = second.word else {
            panic!("{:?}", second.word)
        };
        assert_eq!(again, words);
        let answer = Answer::Question {
            state: ApprovalState::Approved,
            reviewer: Some(Principal::Key("ann".to_owned())),
            comment: Some("fine".to_owned()),
        };
        second.reply.send(answer).expect("it waits");
    };
    let (called, ()) = tokio::join!(asking, answering);
    let CallResult::Succeeded { output } = called else {
        panic!("{called:?}")
    };
    let told: serde_json::Value = serde_json::from_slice(&output).expect("JSON");
    let expected =
        json!({ "approved": true, "timed_out": false, "reviewer": "key:ann", "comment": "fine" });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_the_owner_does_not_want_asked_is_refused() {
    let yard = Yard::new(&[("good", "good")]).await;
    let job = job("good");
    let params = json!({ "do": "ask", "why": "restart it", "level": 2 });
    let asking = yard.call(&job, &params, Duration::from_secs(10));
    let answering = async {
        let denied = Answer::Denied {
            reason: "it is over".to_owned(),
        };
        heard(&yard).await.reply.send(denied).expect("it waits");
    };
    let (called, ()) = tokio::join!(asking, answering);
    let CallResult::Failed { failure, .. } = called else {
        panic!("{called:?}")
    };
    assert_eq!(failure.code, Code::PluginError.as_str());
    assert!(failure.message.contains("it is over"), "{failure:?}");
}
