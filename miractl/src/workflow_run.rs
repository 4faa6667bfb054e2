//! `miractl workflow run`: inputs in their declared types, one run however often the request is
//! repeated, and the wait for its result.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::call::{Call, v1};
use crate::ctx::{Ctx, InHand};
use crate::exit::{Exit, Failure, Result};
use crate::follow::{Follow, follow};
use crate::human::{parse_duration, short};
use crate::inputs;
use crate::live::Surface;
use crate::model::{decode, text};
use crate::output::Format;
use crate::result;
use crate::wait::{Until, conclude};
use crate::workflow::missing;

/// How to wait for a run; shared by everything that starts one.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Waiting {
    /// Wait for the end and print the result; =attention also stops for approvals
    #[arg(long, value_enum, value_name = "UNTIL", num_args = 0..=1, require_equals = true, default_missing_value = "end")]
    wait: Option<Until>,
    /// Stop waiting after this time (exit 124); the run goes on
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Wait, and show the agents' progress and log lines too
    #[arg(long)]
    follow: bool,
    /// One run for all requests with this key [default: a new one]
    #[arg(long, value_name = "KEY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    idempotency_key: Option<String>,
    /// Cancel the run if this command is interrupted
    #[arg(long)]
    cancel_on_interrupt: bool,
}

/// Start a workflow
///
/// Inputs are converted to the types that the workflow declares. The run's id is the first line on
/// stderr. With --wait the progress is shown on stderr, the outputs are printed on stdout, and the
/// exit code says how the run ended; a lost connection is made again until --timeout. Interrupting
/// the wait does not stop the run, unless --cancel-on-interrupt says so.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl workflow run hello
  miractl workflow run silence-noisy-alert --input alertname=HighLatency --wait
  miractl workflow run deploy --inputs release.json --wait=attention
  miractl workflow run report --input query=@q.promql --wait --timeout 10m

Inputs:
  --input name=value    the value, in the declared type
  --input name=@FILE    the content of a file (- is stdin)
  --input name=@@value  a value that begins with @
  --inputs FILE         an object of inputs, JSON or YAML (- is stdin)")]
pub(crate) struct Cmd {
    /// The workflow's name
    name: String,
    /// One input; may be repeated
    #[arg(short, long = "input", value_name = "NAME=VALUE|NAME=@FILE")]
    input: Vec<String>,
    /// All inputs from a file; --input beats it
    #[arg(long, value_name = "FILE|-")]
    inputs: Option<String>,
    /// A label on the run; may be repeated
    #[arg(short, long = "label", value_name = "NAME=VALUE")]
    label: Vec<String>,
    #[command(flatten)]
    waiting: Waiting,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    let mut body = json!({ "inputs": inputs_of(ctx, cmd).await? });
    if !cmd.label.is_empty() {
        body["labels"] = Value::Object(labels(&cmd.label)?);
    }
    start(
        ctx,
        v1(["workflows", &cmd.name, "runs"]),
        &body,
        &cmd.waiting,
    )
    .await
    .map_err(missing)
}

async fn inputs_of(ctx: &Ctx, cmd: &Cmd) -> Result<Map<String, Value>> {
    let mut all = match &cmd.inputs {
        Some(file) => inputs::from_file(file)?,
        None => Map::new(),
    };
    if !cmd.input.is_empty() {
        let saved = Call::get(v1(["workflows", &cmd.name])).accepting("application/yaml");
        let saved = ctx.api()?.send(saved).await.map_err(missing)?;
        let types = inputs::declared(&saved.text())?;
        all.extend(inputs::convert(&cmd.input, &types, true)?);
    }
    Ok(all)
}

fn labels(pairs: &[String]) -> Result<Map<String, Value>> {
    let split = |pair: &String| {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`{pair}` is not of the form name=value")))?;
        Ok((name.to_owned(), value.into()))
    };
    pairs.iter().map(split).collect()
}

/// Starts a run by a POST and, if asked to, waits for it.
pub(crate) async fn start(
    ctx: &Ctx,
    path: Vec<String>,
    body: &Value,
    how: &Waiting,
) -> Result<Exit> {
    let api = ctx.api()?;
    let deadline = how.timeout.map(|limit| Instant::now() + limit);
    api.set_deadline(deadline);
    let key = how
        .idempotency_key
        .clone()
        .unwrap_or_else(|| Uuid::now_v7().to_string());
    ctx.hold(InHand::Submitting { key: key.clone() });
    let answer = api.send(Call::post(path).keyed(&key).json(body)).await.map_err(|failure| {
        let unknown = failure.maybe_done || (failure.exit == Exit::Unreachable && failure.code.is_some());
        if !unknown {
            return failure;
        }
        failure.hint(format!("it is not known whether the run exists; the same command with --idempotency-key {key} finds it or makes it"))
    })?;
    let replayed =
        how.idempotency_key.is_some() && answer.headers.contains_key("idempotency-replayed");
    let answer = answer.json()?;
    let id = text(&answer, "id").to_owned();
    ctx.hold(InHand::Following {
        run: id.clone(),
        cancel: how.cancel_on_interrupt,
    });
    // The first line, also with --quiet: scripts read it.
    ctx.out.err(&id);
    if replayed {
        ctx.out
            .say("(the run of an earlier request with this idempotency key)");
    }
    let until = match (how.wait, how.follow) {
        (Some(until), _) => until,
        (None, true) => Until::End,
        (None, false) => return started(ctx, &answer, &id),
    };
    let how = Follow {
        heard: true,
        until,
        deadline,
        logs: how.follow,
        surface: Surface::Stderr,
        cancel_on_interrupt: how.cancel_on_interrupt,
    };
    let (run, exit) = follow(ctx, &id, &how).await?;
    result::print(ctx, &run).await?;
    conclude(ctx, &decode(&run), exit);
    Ok(exit)
}

/// Without waiting: the id, where the first line of stderr does not show it to the same reader.
fn started(ctx: &Ctx, answer: &Value, id: &str) -> Result<Exit> {
    ctx.hold(InHand::Nothing);
    if !ctx.out.structured(answer)? && (ctx.out.format == Format::Name || ctx.out.width.is_none()) {
        ctx.out.data(id)?;
    }
    ctx.out.next(&[
        format!("miractl run watch {}", short(id)),
        format!("miractl run get {}", short(id)),
    ]);
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_needs_its_value() {
        assert_eq!(
            labels(&["team".to_owned()]).expect_err("no value").exit,
            Exit::Usage
        );
        assert_eq!(
            labels(&["team=a=b".to_owned()]).expect("a label")["team"],
            json!("a=b")
        );
    }
}
