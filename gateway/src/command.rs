//! Asking something of a run: durably, once, and until its owner has answered.

use std::time::Duration;

use engine::code::Code;
use engine::command::Command;
use engine::id::{CommandId, RunKey};
use http::StatusCode;
use store::port::{Message, News, Topic};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};

use crate::config::std_time;
use crate::gate::Gate;
use crate::problem::Problem;

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It was decided.
    Decided,
    /// It was so already.
    Already,
    /// Nobody has answered yet; it will be decided.
    Kept,
}

impl Gate {
    /// Hands a command in and waits for its answer. The same `id` again changes nothing.
    ///
    /// # Errors
    /// What the owner refuses, and 503 when the inbox does not take it.
    pub(crate) async fn ask(
        &self,
        key: &RunKey,
        id: CommandId,
        command: &Command,
    ) -> Result<Asked, Problem> {
        let mut answers = self.backend.live.subscribe(Topic::Command(id));
        let again = std_time(self.config.command_again);
        let end = Instant::now() + std_time(self.config.command);
        self.hand_in(key, id, command).await?;
        let mut next = Instant::now() + again;
        loop {
            tokio::select! {
                biased;
                news = answers.recv() => match news {
                    Ok(News::Answered { refused: Some((code, message)), .. }) => return Err(refusal(code, message)),
                    Ok(News::Answered { already: true, .. }) => return Ok(Asked::Already),
                    Ok(News::Answered { .. }) => return Ok(Asked::Decided),
                    Ok(News::Record { .. } | News::Progress { .. } | News::Log { .. }) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(Asked::Kept),
                },
                () = self.stopping.cancelled() => return Ok(Asked::Kept),
                () = sleep_until(next.min(end)) => {
                    if Instant::now() >= end {
                        return Ok(Asked::Kept);
                    }
                    // The answer may have been lost: it is asked for again under the same id.
                    self.hand_in(key, id, command).await?;
                    next = Instant::now() + again;
                }
            }
        }
    }

    /// Hands a command in, and does not wait for its answer.
    ///
    /// # Errors
    /// 503 when the inbox does not take it.
    pub(crate) async fn hand_in(
        &self,
        key: &RunKey,
        id: CommandId,
        command: &Command,
    ) -> Result<(), Problem> {
        let body = minicbor::to_vec(command).expect("writing to memory cannot fail");
        let message = Message {
            id,
            key: key.clone(),
            body,
        };
        let shard = key.run.shard();
        let mut pause = Duration::from_millis(10);
        loop {
            match self.backend.inbox.send(shard, &message).await {
                Ok(()) => return Ok(()),
                // Sending again is harmless: the id tells.
                Err(store::Error::Unavailable(what)) if pause < Duration::from_secs(1) => {
                    tracing::debug!(what, "the inbox is asked again");
                    tokio::time::sleep(pause).await;
                    pause *= 4;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What the owner's refusal is to a client.
fn refusal(code: Code, message: String) -> Problem {
    let mut problem = Problem::conflict(code, message);
    const STATUS: [(Code, StatusCode); 6] = [
        (Code::Forbidden, StatusCode::FORBIDDEN),
        (Code::ApprovalNotAllowed, StatusCode::FORBIDDEN),
        (Code::NotFound, StatusCode::NOT_FOUND),
        (Code::Invalid, StatusCode::UNPROCESSABLE_ENTITY),
        (Code::OutputInvalid, StatusCode::UNPROCESSABLE_ENTITY),
        (Code::Limit, StatusCode::UNPROCESSABLE_ENTITY),
    ];
    if let Some((_, status)) = STATUS.iter().find(|(known, _)| *known == code) {
        problem.status = *status;
    }
    problem
}
