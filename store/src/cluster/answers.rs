//! What owners answer to words of workers, on its way.

use async_nats::Subject;
use engine::job::Answer;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};

use super::broker::Broker;
use super::jobs::encoded;

/// Answers that wait to be sent.
pub(super) const ANSWERS_MAX: usize = 10_000;

/// An answer that somebody waits for.
pub(super) struct Owed {
    pub(super) to: Subject,
    pub(super) answer: oneshot::Receiver<Answer>,
}

/// Sends what owners answer.
pub(super) async fn answer_all(broker: Broker, mut owed: mpsc::Receiver<Owed>) {
    let mut waiting = FuturesUnordered::new();
    loop {
        tokio::select! { biased;
            Some((to, answer)) = waiting.next() => send(&broker, to, answer).await,
            more = owed.recv(), if waiting.len() < ANSWERS_MAX => match more {
                Some(Owed { to, answer }) => waiting.push(async { (to, answer.await.ok()) }),
                None => return,
            },
        }
    }
}

/// Where answers may go: to whoever waits for them, also in another account of the broker.
pub(super) fn is_for_answers(subject: &Subject) -> bool {
    ["_INBOX.", "_R_."]
        .iter()
        .any(|begin| subject.starts_with(begin))
}

/// Nothing tells whoever asked to say it again.
async fn send(broker: &Broker, to: Subject, answer: Option<Answer>) {
    let body = answer.map(|answer| encoded(&answer)).unwrap_or_default();
    if let Err(error) = broker.client.publish(to, body).await {
        tracing::debug!(%error, "an answer was not sent: it is asked for again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_to_whoever_waits_for_it_and_into_no_stream() {
        for (subject, may) in [
            ("_INBOX.worker.x.1", true),
            ("_R_.x.y", true),
            ("mirastack.run.00.default.x", false),
            ("mirastack._INBOX.x", false),
            ("$JS.API.INFO", false),
        ] {
            assert_eq!(is_for_answers(&Subject::from(subject)), may, "{subject}");
        }
    }
}
