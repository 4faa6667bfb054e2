//! Peers that mean harm against the living process, while its memory is watched and somebody does honest work.
//!
//! Start reading at [`siege`], which tries every kind of bad input on fifty connections at once; `cases` has what is
//! sent, a file for each entrance. [`slow()`] is the same for peers that send a byte a second, and [`costly()`] for
//! expressions in runs.

mod answer;
mod call;
mod cases;
mod costly;
mod frames;
mod ground;
mod hold;
mod honest;
mod kind;
mod matrix;
mod memory;
mod neighbours;
mod slow;

use crate::mirastack::{Mirastack, Setup};
use cases::Case;
use ground::Ground;
use hold::hold;
use kind::Entrance;
use memory::Memory;
use neighbours::Neighbours;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use costly::costly;
pub use matrix::matrix;
pub use slow::slow;

/// Longer than any deadline of the process, and than it takes for any answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which cases are tried at the same time, each on connections of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// None: so each is seen alone.
    OneAfterTheOther,
    /// One of each entrance.
    SideBySide,
    /// None, and what is sent may have 32 MiB: values that an agent keeps are that large, and are copied while they are
    /// read.
    BesideAnAgent,
}

impl Order {
    /// How much more memory than when it is idle the process may take, in KiB: for the fifty connections of a case, and
    /// for some four hundred of all at once.
    fn more_max(self) -> u64 {
        match self {
            Self::OneAfterTheOther => 64 * 1024,
            Self::SideBySide => 96 * 1024,
            Self::BesideAnAgent => 192 * 1024,
        }
    }
}

/// Runs every case whose name has `only` in it for so long, and panics with those that do not go as they must.
pub async fn siege(time: Duration, order: Order, only: &str) {
    let mut server = Mirastack::start(Setup::default()).await.expect("it starts");
    let ground = Ground::lay(&server).await.expect("it is laid");
    let mut cases = cases::all(&ground.token);
    cases.retain(|case| case.name.contains(only));
    hold_out(&mut server, ground, cases, time, order).await;
}

/// The same for what is only read where an agent of elsewhere has registered.
pub async fn beside_an_agent(time: Duration, only: &str) {
    let neighbours = Neighbours::find().expect("they were built");
    let setup = Setup::default()
        .arg("--plugins")
        .arg(&neighbours.installed());
    let mut server = Mirastack::start(setup).await.expect("it starts");
    let ground = Ground::lay(&server).await.expect("it is laid");
    let _agent = neighbours.register(&ground).await.expect("it registers");
    let mut cases = cases::beside_an_agent();
    cases.retain(|case| case.name.contains(only));
    hold_out(&mut server, ground, cases, time, Order::BesideAnAgent).await;
}

async fn hold_out(
    server: &mut Mirastack,
    ground: Ground,
    cases: Vec<Case>,
    time: Duration,
    order: Order,
) {
    if cases.is_empty() {
        return;
    }
    let memory = Arc::new(Memory::of(server.process().pid()));
    let honest = honest::begin(ground.api.clone(), honest::SOON);
    honest.warm().await;
    let idle = memory.resident().expect("it is alive");
    memory.take_peak().expect("it is alive");
    let mut all = JoinSet::new();
    for lane in lanes(cases, order) {
        all.spawn(try_lane(ground.clone(), memory.clone(), lane, time));
    }
    let mut tried = all.join_all().await.concat();
    let done = honest.end().await;
    tried.sort_unstable_by_key(|tried| std::cmp::Reverse(tried.peak));
    let wrong: Vec<_> = tried
        .iter()
        .filter_map(|one| one.wrong.as_deref())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let more: Vec<_> = tried
        .iter()
        .map(|one| (one.peak.saturating_sub(idle), &one.name))
        .collect();
    eprintln!(
        "{} cases, idle {} MiB, {done}, most KiB more: {:#?}",
        more.len(),
        idle / 1024,
        &more[..more.len().min(8)]
    );
    if order != Order::SideBySide {
        done.assert_rate();
    }
    let max = order.more_max();
    assert!(more[0].0 <= max, "over {max} KiB more than idle");
}

/// What came of a case: the most memory in KiB from the end of the one before, and what went wrong.
#[derive(Clone)]
struct Tried {
    name: String,
    peak: u64,
    wrong: Option<String>,
}

fn lanes(cases: Vec<Case>, order: Order) -> Vec<Vec<Case>> {
    if order != Order::SideBySide {
        return vec![cases];
    }
    let mut lanes = BTreeMap::<Entrance, Vec<Case>>::new();
    for case in cases {
        lanes.entry(case.entrance).or_default().push(case);
    }
    lanes.into_values().collect()
}

async fn try_lane(
    ground: Ground,
    memory: Arc<Memory>,
    cases: Vec<Case>,
    time: Duration,
) -> Vec<Tried> {
    let mut all = Vec::new();
    for case in cases {
        let begin = Instant::now();
        let held = hold(&ground, &case, time).await;
        let took = begin.elapsed().as_secs_f64();
        let peak = memory.take_peak().expect("it is alive");
        eprintln!(
            "{took:6.2} s {:4} MiB {:50} {held:?}",
            peak / 1024,
            case.name
        );
        let wrong = held.err().map(|error| format!("{}: {error:#}", case.name));
        all.push(Tried {
            name: case.name,
            peak,
            wrong,
        });
    }
    all
}
