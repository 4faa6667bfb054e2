//! What a run's state means to somebody who waits for it: whether to go on waiting, the exit code,
//! and what to say.

use serde_json::json;

use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Result};
use crate::human::short;
use crate::model::Run;
use crate::paint::Tone;

/// How long one waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Until {
    /// Until the run ended, through approvals
    #[default]
    End,
    /// Until the run ended or needs a person
    Attention,
}

/// How the waiting ends with the run in this state; `None`: it does not.
pub(crate) fn settled(run: &Run, until: Until) -> Option<Exit> {
    match run.status.as_str() {
        "succeeded" => Some(Exit::Ok),
        "failed" => Some(Exit::RunFailed),
        "rejected" => Some(Exit::Rejected),
        "cancelled" => Some(Exit::Cancelled),
        "timed_out" => Some(Exit::RunTimedOut),
        "parked" => Some(Exit::NeedsPerson),
        "waiting" if run.waits_for("in_doubt") => Some(Exit::NeedsPerson),
        "waiting" if until == Until::Attention && run.waits_for("approval") => {
            Some(Exit::WaitingApproval)
        }
        _ => None,
    }
}

/// Says on stderr how it ended where that is not plain success, and what to do next.
pub(crate) fn conclude(ctx: &Ctx, run: &Run, exit: Exit) {
    let id = short(&run.id);
    let paint = ctx.out.paint_err();
    let why = run.why();
    let why = if why.is_empty() {
        why
    } else {
        format!(": {why}")
    };
    match exit {
        Exit::Ok => {}
        Exit::WaitingApproval => ctx.out.err(&format!("run {id} waits for an approval.")),
        Exit::NeedsPerson => ctx.out.err(&format!("run {id} needs a person{why}")),
        Exit::RunFailed
        | Exit::Rejected
        | Exit::Cancelled
        | Exit::RunTimedOut
        | Exit::Usage
        | Exit::NotAuthenticated
        | Exit::NotFound
        | Exit::Conflict
        | Exit::Denied
        | Exit::Unreachable
        | Exit::Bug
        | Exit::WaitTimedOut
        | Exit::Interrupted
        | Exit::Terminated => {
            let status = run.status.replace('_', " ");
            ctx.out.err(&format!(
                "run {id} {}{why}",
                paint.tone(Tone::of(&run.status), status)
            ));
        }
    }
    if exit != Exit::Ok {
        let get = || vec![format!("miractl run get {id}")];
        let next = if run.ended() {
            get()
        } else {
            next_commands(run)
        };
        ctx.out.next(&next);
    }
}

/// The commands that make sense for a run in its present state.
pub(crate) fn next_commands(run: &Run) -> Vec<String> {
    let id = short(&run.id);
    let mut next = Vec::new();
    for waiting in &run.waiting_for {
        match waiting.kind.as_str() {
            "approval" => next.push(format!(
                "miractl approval approve {}",
                short(waiting.id.as_deref().unwrap_or(&run.id))
            )),
            "in_doubt" => {
                let step = shell_word(&waiting.step);
                for said in ["--done", "--not-done"] {
                    next.push(format!(
                        "miractl run resolve {id} {step} {said} --comment TEXT"
                    ));
                }
            }
            _ => {}
        }
    }
    match run.status.as_str() {
        "parked" => {
            next.push(format!("miractl run resume {id}"));
            next.push(format!("miractl run cancel {id}"));
        }
        "queued" | "running" | "waiting" => {
            next.push(format!("miractl run watch {id}"));
            next.push(format!("miractl run cancel {id}"));
        }
        "failed" | "rejected" | "cancelled" | "timed_out" => {
            next.push(format!("miractl run journal {id}"))
        }
        _ => {}
    }
    next
}

/// A name as a shell takes it for one word that means nothing else: that of an item is made of its key, which may have
/// come from outside.
fn shell_word(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}

/// Asks for a run's cancellation.
pub(crate) async fn cancel(ctx: &Ctx, run: &str, reason: &str) -> Result<()> {
    let call = Call::post(v1(["runs", run, "cancel"])).json(&json!({ "reason": reason }));
    ctx.api()?.send(call).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::decode;
    use serde_json::Value;

    fn run(value: Value) -> Run {
        decode(&value)
    }

    #[test]
    fn each_end_of_a_run_has_its_exit_code() {
        let ends = [
            ("succeeded", Exit::Ok),
            ("failed", Exit::RunFailed),
            ("rejected", Exit::Rejected),
            ("cancelled", Exit::Cancelled),
            ("timed_out", Exit::RunTimedOut),
            ("parked", Exit::NeedsPerson),
        ];
        for (status, exit) in ends {
            assert_eq!(
                settled(&run(json!({"status": status})), Until::End),
                Some(exit),
                "{status}"
            );
        }
        for status in ["queued", "running", "waiting", "something_new"] {
            assert_eq!(
                settled(&run(json!({"status": status})), Until::Attention),
                None,
                "{status}"
            );
        }
    }

    #[test]
    fn approvals_are_waited_through_unless_attention_is_asked_for() {
        let asks = run(
            json!({"status": "waiting", "waiting_for": [{"kind": "approval", "step": "s", "id": "a"}]}),
        );
        assert_eq!(settled(&asks, Until::End), None);
        assert_eq!(
            settled(&asks, Until::Attention),
            Some(Exit::WaitingApproval)
        );
        let doubt =
            run(json!({"status": "waiting", "waiting_for": [{"kind": "in_doubt", "step": "s"}]}));
        assert_eq!(settled(&doubt, Until::End), Some(Exit::NeedsPerson));
    }

    #[test]
    fn the_next_commands_fit_the_state() {
        let doubt = run(
            json!({"id": "r", "status": "waiting", "waiting_for": [{"kind": "in_doubt", "step": "s"}]}),
        );
        assert_eq!(
            next_commands(&doubt)[0],
            "miractl run resolve r s --done --comment TEXT"
        );
        let item = run(
            json!({"id": "r", "status": "waiting", "waiting_for": [{"kind": "in_doubt", "step": "s[it's $(a)]"}]}),
        );
        assert_eq!(
            next_commands(&item)[1],
            r"miractl run resolve r 's[it'\''s $(a)]' --not-done --comment TEXT"
        );
        assert_eq!(
            next_commands(&run(json!({"id": "r", "status": "succeeded"}))),
            Vec::<String>::new()
        );
    }
}
