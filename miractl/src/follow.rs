//! Following a run until it settles: events for what happens, `GET` for what is.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, interval, sleep_until};

use crate::call::{Call, v1};
use crate::client::Api;
use crate::ctx::{Ctx, InHand};
use crate::exit::{Exit, Failure, Result};
use crate::human::short;
use crate::live::{Screen, Surface};
use crate::model::{Run, decode};
use crate::stream::{Heard, events};
use crate::wait::{Until, settled};

/// Records come in bursts; the run is read at most this often.
const READ_EVERY: Duration = Duration::from_millis(150);
/// A run that could not be read is read again after this.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// A run that ended may be read before its last records are heard: they are waited for so long.
const REST: Duration = Duration::from_secs(5);
/// How often the spinner turns.
const BEAT: Duration = Duration::from_millis(120);

/// How to follow.
#[derive(Clone, Debug)]
pub(crate) struct Follow {
    /// The server has answered before: it is waited for when it goes away.
    pub(crate) heard: bool,
    /// When to stop.
    pub(crate) until: Until,
    /// Give up then: exit 124.
    pub(crate) deadline: Option<Instant>,
    /// Show progress and log lines of the agents.
    pub(crate) logs: bool,
    /// Where to show it.
    pub(crate) surface: Surface,
    /// An interrupt cancels the run.
    pub(crate) cancel_on_interrupt: bool,
}

/// Follows `id` until it settles; answers the run as the server gives it, and how it ends.
pub(crate) async fn follow(ctx: &Ctx, id: &str, how: &Follow) -> Result<(Value, Exit)> {
    let api = ctx.api()?;
    ctx.hold(InHand::Following {
        run: id.to_owned(),
        cancel: how.cancel_on_interrupt,
    });
    let mut screen = Screen::new(ctx, how.surface, how.logs);
    let end = watch(api, ctx, id, how, &mut screen).await;
    if let Ok((run, _)) = &end {
        screen.finish(&decode(run), ctx.now())?;
    }
    ctx.hold(InHand::Nothing);
    end
}

async fn watch(
    api: &Api,
    ctx: &Ctx,
    id: &str,
    how: &Follow,
    screen: &mut Screen,
) -> Result<(Value, Exit)> {
    let mut events = Box::pin(events(api, id, how.heard, how.deadline.is_some()));
    let mut beat = interval(BEAT);
    let far = Instant::now() + Duration::from_secs(86_400 * 365);
    let mut read_at = Some(Instant::now());
    let mut lost = None;
    let mut end: Option<((Value, Exit), Instant)> = None;
    loop {
        let closing = end.as_ref().map(|(_, at)| *at);
        tokio::select! {
            biased;
            () = sleep_until(closing.unwrap_or(far)), if closing.is_some() => break,
            () = sleep_until(how.deadline.unwrap_or(far)) => return Err(waited(id, lost)),
            heard = events.next() => match heard.unwrap_or(Ok(Heard::Ended)) {
                // The state is known; why there are no more events does not matter then.
                Err(_) if end.is_some() => break,
                heard => match heard? {
                Heard::Ended => break,
                Heard::Lost(why) => {
                    screen.note(&format!("connection lost ({why}); trying again"))?;
                    lost = Some(why);
                }
                heard @ (Heard::Record(_) | Heard::Progress(_) | Heard::Log(_) | Heard::Missed) => {
                    if lost.take().is_some() {
                        screen.note("connected again")?;
                    }
                    screen.hear(&heard)?;
                    read_at = read_at.or_else(|| Some(Instant::now() + READ_EVERY));
                }
                },
            },
            () = sleep_until(read_at.unwrap_or(far)), if read_at.is_some() && end.is_none() => {
                let value = read(api, id).await?;
                read_at = value.is_none().then(|| Instant::now() + READ_AGAIN);
                let run: Run = value.as_ref().map(decode).unwrap_or_default();
                screen.state(&run);
                let rest = if run.ended() { REST } else { READ_EVERY };
                end = settled(&run, how.until).zip(value).map(|(exit, value)| ((value, exit), Instant::now() + rest));
            }
            _ = beat.tick(), if screen.is_live() => screen.beat(ctx.now())?,
        }
    }
    match end {
        Some((end, _)) => Ok(end),
        None => ended(api, id, how).await,
    }
}

/// The run; `None` while the server is away, which the event stream reports and bounds.
async fn read(api: &Api, id: &str) -> Result<Option<Value>> {
    match api.send(Call::get(v1(["runs", id])).once()).await {
        Ok(answer) => answer.json().map(Some),
        Err(failure) if failure.exit == Exit::Unreachable => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// After the last event: the run as it ended.
async fn ended(api: &Api, id: &str, how: &Follow) -> Result<(Value, Exit)> {
    let value = api
        .send(
            Call::get(v1(["runs", id]))
                .query("wait", "10")
                .query("until", "end"),
        )
        .await?
        .json()?;
    let run: Run = decode(&value);
    let exit = settled(&run, how.until).ok_or_else(|| {
        Failure::new(
            Exit::Unreachable,
            format!(
                "the server ended the events of run {id}, which is still {}",
                run.status
            ),
        )
        .hint(format!("miractl run watch {id}"))
    })?;
    Ok((value, exit))
}

fn waited(id: &str, lost: Option<String>) -> Box<Failure> {
    let again = format!("miractl run watch {}", short(id));
    match lost {
        Some(why) => Failure::new(
            Exit::Unreachable,
            format!("the server is away ({why}); the state of run {id} is not known"),
        )
        .hint(again),
        None => Failure::new(
            Exit::WaitTimedOut,
            format!("--timeout passed; run {id} goes on"),
        )
        .hint(again),
    }
}
