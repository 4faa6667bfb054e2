//! What an agent asks people while it executes a step: who answers, how long the question stands, what an answer is for.

use serde_json::json;

use super::bench::{Bench, principal, refused};
use crate::code::Code;
use crate::command::{Command, Outcome};
use crate::event::{ApprovalState, Event, RunStatus, StepStatus};
use crate::facts::Rejection;
use crate::id::ApprovalId;
use crate::principal::Permission;
use crate::question::{ASKED_MAX, Question, Words};

const READ: &str = r#"
workflow: w
steps:
  - { id: look, uses: demo/read, with: { key: a }, timeout: 10m, retry: { attempts: 3 } }
"#;
const CHANGE: &str = r#"
workflow: w
steps:
  - { id: change, uses: demo/change, with: { key: a }, timeout: 10m }
"#;
/// How long the agent says that it can wait, in milliseconds.
const WITHIN_MS: u64 = 60_000;

fn words(description: &str, permission: Permission) -> Words {
    Words {
        description: description.to_owned(),
        permission,
        context: Some(r#"{"host":"a"}"#.to_owned()),
        blast_radius: None,
        proven: true,
    }
}

impl Bench {
    fn say(&mut self, name: &str, words: Words) -> Result<Vec<Event>, Rejection> {
        let (step, attempt) = (self.no(name), self.attempt(name));
        self.ask(Command::Ask {
            step,
            attempt,
            words: Box::new(words),
            within_ms: WITHIN_MS,
        })
    }

    fn wonder(&mut self, name: &str) -> Result<Vec<Event>, Rejection> {
        self.say(name, words("restart it", Permission::Modify))
    }

    fn states(&self, name: &str) -> Vec<(u32, ApprovalState)> {
        let questions = self.step(name).questions.iter();
        questions.map(|q| (q.asked.asking, q.state)).collect()
    }

    fn answer(&mut self, name: &str, who: &str, approve: bool) -> Result<Vec<Event>, Rejection> {
        let step = self.step(name);
        let asked = &step.questions.last().expect("somebody was asked").asked;
        let (asking, digest) = (asked.asking, asked.bytes.digest);
        let approval = ApprovalId {
            run: self.run.key().run,
            step: step.no,
            asking,
        };
        self.ask(Command::Decide {
            approval,
            digest,
            who: principal(who),
            approve,
            comment: Some("fine".to_owned()),
            key_id: None,
            signature: None,
        })
    }
}

/// A READ whose agent has asked.
fn asking() -> Bench {
    let mut bench = Bench::started(READ, json!({}));
    bench.wonder("look").expect("it executes the step");
    bench
}

#[test]
fn a_question_is_decided_by_its_level_and_the_step_goes_on() {
    let mut bench = asking();
    assert_eq!(bench.run_status(), RunStatus::Waiting);
    assert_eq!(bench.status("look"), StepStatus::Running);
    assert_eq!(bench.owed(), ["look"]);
    let asked = &bench.step("look").questions[0].asked;
    let bytes = asked.bytes.inline.as_ref().expect("small");
    let question = Question::read(bytes).expect("a question");
    assert_eq!(question.bytes(), bytes.to_vec());
    assert_eq!(question.words.description, "restart it");
    assert_eq!(question.expires_at.millis_since(bench.now), WITHIN_MS);
    let not_allowed = Code::ApprovalNotAllowed;
    assert_eq!(refused(bench.answer("look", "olga", true)), not_allowed);
    bench.answer("look", "erik", true).expect("an engineer may");
    assert_eq!(bench.states("look"), [(1, ApprovalState::Approved)]);
    assert_eq!(bench.run_status(), RunStatus::Running);
    let again = bench.answer("look", "erik", true).expect("it is so");
    assert!(again.is_empty());
    assert_eq!(
        refused(bench.answer("look", "ada", false)),
        Code::ApprovalClosed
    );
    bench.succeed("look", json!({}));
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn what_an_admin_must_allow_no_engineer_does() {
    let mut bench = Bench::started(READ, json!({}));
    let all = words("drop it", Permission::Admin);
    bench.say("look", all).expect("it executes the step");
    let not_allowed = Code::ApprovalNotAllowed;
    assert_eq!(refused(bench.answer("look", "erik", true)), not_allowed);
    bench.answer("look", "ada", false).expect("an admin may");
    assert_eq!(bench.states("look"), [(1, ApprovalState::Rejected)]);
    let read = words("look at it", Permission::Read);
    assert_eq!(refused(bench.say("look", read)), Code::Conflict);
}

#[test]
fn an_answer_grants_nothing() {
    let mut bench = asking();
    bench.answer("look", "erik", true).expect("an engineer may");
    assert!(!bench.run.state().head.changed);
    let mut bench = Bench::started(CHANGE, json!({}));
    bench
        .decide("change", "erik", true)
        .expect("an engineer may");
    assert!(
        matches!(bench.wonder("change"), Err(Rejection::Stale)),
        "nobody executes a change before its grant"
    );
    bench.begin("change").expect("granted");
    bench.wonder("change").expect("it executes the step");
    bench
        .answer("change", "erik", false)
        .expect("an engineer may");
    let consent = bench.step("change").approval.as_ref().expect("asked");
    assert_eq!(
        (consent.asked.asking, consent.state, consent.granted),
        (1, ApprovalState::Approved, 1)
    );
    bench.succeed("change", json!({}));
    let consent = bench.step("change").approval.as_ref().expect("asked");
    assert_eq!(consent.state, ApprovalState::Used);
    assert_eq!(bench.states("change"), [(2, ApprovalState::Rejected)]);
}

#[test]
fn the_same_words_are_the_same_question_and_its_answer_outlives_the_attempt() {
    let mut bench = asking();
    assert!(bench.wonder("look").expect("it stands").is_empty());
    bench.answer("look", "erik", true).expect("an engineer may");
    bench.lose("look", true, true).expect("current");
    assert_eq!(bench.owed(), ["look"]);
    assert!(bench.wonder("look").expect("it is answered").is_empty());
    let other = words("restart another", Permission::Modify);
    bench.say("look", other).expect("another question");
    assert_eq!(
        bench.states("look"),
        [(1, ApprovalState::Approved), (2, ApprovalState::Pending)]
    );
}

#[test]
fn a_question_ends_with_the_attempt_that_asks_and_is_asked_anew() {
    type Ends = fn(&mut Bench);
    let ends: [Ends; 4] = [
        |bench| drop(bench.lose("look", true, true).expect("current")),
        |bench| drop(bench.fail("look", true)),
        |bench| {
            let reason = "draining".to_owned();
            let outcome = Outcome::NotCalled { reason };
            bench.report("look", outcome).expect("current");
        },
        |bench| drop(bench.succeed("look", json!({}))),
    ];
    for end in ends {
        let mut bench = asking();
        end(&mut bench);
        assert_eq!(bench.states("look"), [(1, ApprovalState::Withdrawn)]);
        assert!(bench.run.state().head.questions.is_empty());
        assert_eq!(
            refused(bench.answer("look", "erik", true)),
            Code::ApprovalClosed
        );
    }
    let mut bench = asking();
    bench.lose("look", true, true).expect("current");
    bench.wonder("look").expect("it executes the step");
    assert_eq!(
        bench.states("look"),
        [(1, ApprovalState::Withdrawn), (2, ApprovalState::Pending)]
    );
}

#[test]
fn a_run_that_stops_takes_its_questions_back() {
    let mut bench = Bench::started(CHANGE, json!({}));
    bench
        .decide("change", "erik", true)
        .expect("an engineer may");
    bench.begin("change").expect("granted");
    bench.wonder("change").expect("it executes the step");
    bench.cancel();
    assert_eq!(bench.status("change"), StepStatus::Running, "never cut");
    assert_eq!(bench.states("change"), [(2, ApprovalState::Withdrawn)]);
    let again = words("something else", Permission::Modify);
    assert!(matches!(bench.say("change", again), Err(Rejection::Stale)));
}

#[test]
fn a_question_expires_at_its_time_and_not_before() {
    let mut bench = asking();
    bench.later(WITHIN_MS - 1);
    assert_eq!(bench.states("look"), [(1, ApprovalState::Pending)]);
    let due = bench.run.due().expect("a question stands");
    assert_eq!(due.millis_since(bench.now), 1);
    bench.later(1);
    assert_eq!(bench.states("look"), [(1, ApprovalState::Expired)]);
    assert!(bench.wonder("look").expect("it is told so").is_empty());
    assert_eq!(bench.status("look"), StepStatus::Running);
}

#[test]
fn an_attempt_that_is_over_asks_nothing_and_none_asks_without_end() {
    let mut bench = asking();
    let (step, attempt) = (bench.no("look"), bench.attempt("look"));
    bench.lose("look", true, true).expect("current");
    let late = bench.ask(Command::Ask {
        step,
        attempt,
        words: Box::new(words("restart it", Permission::Modify)),
        within_ms: WITHIN_MS,
    });
    assert!(matches!(late, Err(Rejection::Stale)));
    for n in 1..ASKED_MAX {
        let next = words(&format!("thing {n}"), Permission::Modify);
        bench.say("look", next).expect("not too many yet");
    }
    let more = words("one more", Permission::Modify);
    assert_eq!(refused(bench.say("look", more)), Code::Limit);
}
