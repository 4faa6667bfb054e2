//! What must hold for every action of every agent.

use std::{pin::pin, task::Poll};

use futures::poll;
use proto::{
    client::PluginClient,
    manifest::Permission,
    v1::{Change, execute_event::Event},
};
use serde_json::Value;

use super::{Call, Harness, Outcome, options};
use crate::Found;

/// A call is cut after each of its first events, up to so many.
const CUTS_MAX: usize = 20;

impl Harness {
    /// Fails every action in turn: with garbage for parameters, after its deadline, overtaken by a later
    /// attempt, without the call secret, cancelled before it began and after each thing that it says. After
    /// each failure the agent must answer a later attempt of the same step as if nothing had happened.
    ///
    /// `examples` are calls that succeed, or fail as they say; every action needs one.
    ///
    /// # Panics
    /// When an action does not hold.
    pub async fn fail_every_action_in_turn(&self, examples: &[Call]) {
        self.covers_every_action(examples);
        for example in examples {
            self.refuses_garbage(example).await;
            self.refuses_a_passed_deadline(example).await;
            self.refuses_an_overtaken_attempt(example).await;
            self.survives_being_cancelled_before(example).await;
            self.survives_being_cancelled_during(example).await;
        }
        self.refuses_strangers().await;
        self.health().await.expect("still healthy");
    }

    /// Runs every action twice with the same idempotency key. One that is declared idempotent must give the
    /// same result twice; one that has a look-up must find its first call, and must not find one that never
    /// was. An action that changes something and declares neither is run once.
    ///
    /// `examples` are calls that succeed, or fail as they say; every action needs one.
    ///
    /// # Panics
    /// When an action does not hold.
    pub async fn run_every_action_twice(&self, examples: &[Call]) {
        self.covers_every_action(examples);
        for example in examples {
            let key = self.fresh_key();
            let first = self.ends_as_said(&example.clone().key(&key)).await;
            let action = self.manifest.action(&example.action).expect("covered");
            if action.permission == Permission::Read || action.idempotent {
                let second = self
                    .ends_as_said(&example.clone().key(&key).attempt(example.attempt + 1))
                    .await;
                assert!(
                    !action.idempotent || first == second,
                    "{} is declared idempotent, but gave {first:?}, then {second:?}",
                    example.action
                );
            }
            self.is_found(example, &key, first.as_ref()).await;
        }
    }

    fn covers_every_action(&self, examples: &[Call]) {
        for action in &self.manifest.actions {
            let covered = examples.iter().any(|example| example.action == action.id);
            assert!(covered, "no example calls the action {}", action.id);
        }
    }

    async fn refuses_garbage(&self, example: &Call) {
        for garbage in [&b"\xff\xfe"[..], b"{\"a\":", b"[1, 2]", b"null", b"{} {}"] {
            let outcome = self.run(&example.clone().raw(garbage)).await;
            expect(&outcome, example, "invalid_input");
        }
    }

    async fn refuses_a_passed_deadline(&self, example: &Call) {
        let outcome = self.run(&example.clone().deadline_in_ms(-1)).await;
        expect(&outcome, example, "deadline_passed");
    }

    async fn refuses_an_overtaken_attempt(&self, example: &Call) {
        let key = self.fresh_key();
        self.ends_as_said(&example.clone().key(&key).attempt(example.attempt + 1))
            .await;
        let outcome = self.run(&example.clone().key(&key)).await;
        expect(&outcome, example, "overtaken");
    }

    async fn survives_being_cancelled_before(&self, example: &Call) {
        let key = self.fresh_key();
        let request = self.request(&example.clone().key(&key));
        {
            let options = options();
            let call = pin!(self.client.execute_stream(&request, &options));
            assert!(
                matches!(poll!(call), Poll::Pending),
                "nothing answers at once"
            );
        }
        self.goes_on(example, &key).await;
    }

    async fn survives_being_cancelled_during(&self, example: &Call) {
        for events_seen in 0..CUTS_MAX {
            let key = self.fresh_key();
            let mut events = self.begin(&example.clone().key(&key)).await;
            let mut ended = false;
            for _ in 0..events_seen {
                let event = events.next().await.expect("a result in the end");
                ended |= matches!(event, None | Some(Event::Result(_)));
            }
            drop(events);
            self.goes_on(example, &key).await;
            if ended {
                return;
            }
        }
    }

    /// A later attempt of the same step ends as the example says, where the action may be called again, and
    /// is found, where it can be looked up.
    async fn goes_on(&self, example: &Call, key: &str) {
        let action = self.manifest.action(&example.action).expect("covered");
        if action.permission == Permission::Read || action.idempotent {
            let again = example.clone().key(key).attempt(example.attempt + 1);
            let output = self.ends_as_said(&again).await;
            self.is_found(example, key, output.as_ref()).await;
        } else if action.lookup {
            let found = self.look_up(example, key).await;
            assert!(
                !matches!(found, Found::Unknown(_)),
                "{}: {found:?}",
                example.action
            );
        }
    }

    /// The output; `None` where the example is meant to fail.
    async fn ends_as_said(&self, call: &Call) -> Option<Value> {
        let outcome = self.run(call).await;
        match &call.fails {
            None => Some(outcome.output()),
            Some(code) => {
                assert_eq!(
                    outcome.failure().0,
                    code,
                    "{}: {}",
                    call.action,
                    outcome.response.error
                );
                None
            }
        }
    }

    async fn is_found(&self, example: &Call, key: &str, output: Option<&Value>) {
        let action = self.manifest.action(&example.action).expect("covered");
        let (Some(output), true) = (output, action.lookup) else {
            return;
        };
        let found = self.look_up(example, key).await;
        assert_eq!(
            found,
            Found::Done(output.clone()),
            "the look-up of {}",
            example.action
        );
        let never = self.look_up(example, &self.fresh_key()).await;
        assert!(
            !matches!(never, Found::Done(_)) || action.idempotent,
            "{} found a call that never was",
            example.action
        );
    }

    async fn refuses_strangers(&self) {
        for secret in [None, Some(""), Some("guessed")] {
            let stranger = PluginClient::connect(&self.address, secret)
                .await
                .expect("it listens");
            let refused = stranger.info(&options()).await.expect_err("a stranger");
            assert_eq!(refused.code, tonic::Code::Unauthenticated, "{refused}");
        }
    }
}

fn expect(outcome: &Outcome, example: &Call, code: &str) {
    let failure = outcome.failure();
    assert_eq!(
        failure,
        (code, Change::NotMade),
        "{}: {}",
        example.action,
        outcome.response.error
    );
}
