//! One case on all its connections.

use super::cases::{CLOSED, Case, Sends};
use super::frames::Heard;
use super::ground::Ground;
use super::{PATIENCE, answer, call};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Connections at once.
const CONNECTIONS: usize = 50;
/// A peer whose frames are no reason to give it up goes away by itself after this.
const LEAVES: Duration = Duration::from_secs(2);

/// gRPC's code for a message that there is no room for.
const NO_ROOM: u16 = 8;

/// When there is no room, there may be some after this (`Retry-After`).
const LATER: Duration = Duration::from_secs(1);

/// How often what was answered.
pub(super) type Answers = BTreeMap<String, u32>;

/// Each connection begins again until the time is over and one of them was answered what is expected; all end what
/// they have begun.
///
/// # Errors
/// Another answer, none, or for [`PATIENCE`] nothing but that there is no room.
pub(super) async fn hold(ground: &Ground, case: &Case, time: Duration) -> Result<Answers> {
    let end = Instant::now() + time;
    let (tell, heard) = watch::channel(false);
    let tell = Arc::new(tell);
    let mut all = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (ground, case) = (ground.clone(), case.clone());
        let (tell, mut heard) = (tell.clone(), heard.clone());
        all.spawn(async move {
            let mut answers = Answers::new();
            loop {
                let told = timeout(PATIENCE, once(&ground, &case)).await;
                let told = told.context("no answer, and the connection stays open")??;
                *answers.entry(told.text).or_default() += 1;
                if told.is_expected {
                    tell.send_replace(true);
                }
                if Instant::now() >= end {
                    // Whoever is sent away for lack of room comes again later, as it was told to.
                    let was_heard = timeout(LATER, heard.wait_for(|heard| *heard)).await.is_ok();
                    if was_heard || Instant::now() >= end + PATIENCE {
                        return Ok::<_, anyhow::Error>(answers);
                    }
                }
            }
        });
    }
    let mut answers = Answers::new();
    while let Some(one) = all.join_next().await {
        for (told, times) in one?? {
            *answers.entry(told).or_default() += times;
        }
    }
    ensure!(*heard.borrow(), "there was never room for it: {answers:?}");
    Ok(answers)
}

/// What was answered, and whether that is more than that there is no room.
struct Told {
    text: String,
    is_expected: bool,
}

fn told(text: impl ToString) -> Told {
    Told {
        text: text.to_string(),
        is_expected: true,
    }
}

async fn once(ground: &Ground, case: &Case) -> Result<Told> {
    match &case.sends {
        Sends::Request(bytes) => {
            let Some(answer) = answer::exchange(ground.http, bytes).await? else {
                ensure!(
                    case.expects.contains(&CLOSED),
                    "it was closed without an answer"
                );
                return Ok(told("closed"));
            };
            answer.check(case.expects, case.is_http)?;
            Ok(Told {
                text: answer.status.to_string(),
                is_expected: case.expects.contains(&answer.status),
            })
        }
        Sends::Frames(bytes, expects) => {
            let may_stay = expects.contains(&Heard::Open);
            let patience = if may_stay { LEAVES } else { PATIENCE };
            let heard = answer::talk(ground.http, bytes, patience).await?;
            let is_expected = heard.iter().all(|what| expects.contains(what));
            ensure!(is_expected, "{heard:?}, expected {expects:?}");
            Ok(told(format!("{heard:?}")))
        }
        Sends::Call(call) => match call::status(ground.grpc, call).await? {
            Some(status) if case.expects.contains(&status) => Ok(told(format!("grpc {status}"))),
            Some(NO_ROOM) => Ok(Told {
                text: "no room".to_owned(),
                is_expected: false,
            }),
            Some(status) => bail!("grpc-status {status}, expected {:?}", case.expects),
            None => Ok(Told {
                text: "reset".to_owned(),
                is_expected: false,
            }),
        },
    }
}
