//! The judge of what the product promises for the day on which it dies: it kills the whole process again and again,
//! at facts and not at moments, around real work on real servers, and then holds what everybody saw together.
//!
//! Start reading at [`plan`](plan()) (where it kills), then `ground` (how), `errand` (what a client sees meanwhile) and
//! [`verdict`](verdict()) (what must hold).

mod errand;
mod ground;
mod plan;
mod verdict;

pub use errand::{Errand, Shown};
pub use ground::{Ground, Sitting};
pub use plan::{Kill, Point, Release, plan};
pub use verdict::{Complaint, Observations, Silence, Stored, verdict};

use tokio::task::LocalSet;
use tokio::time::Instant;

/// Kills the product so often, at points that the seed decides, prints what it saw in one line, and fails unless every
/// promise held.
///
/// # Panics
/// A promise was broken, or the ground does not hold; with the end of every log.
pub async fn judge(kills: usize, seed: u64) {
    let begun = Instant::now();
    let plan = plan(kills, seed);
    let mut ground = Ground::start().await.expect("all of it starts");
    let sitting = LocalSet::new().run_until(ground.sit(&plan)).await;
    let sitting = sitting.unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
    let seconds = begun.elapsed().as_secs();
    println!("seed {seed}: {sitting}, in {seconds} s");
    let complaints = verdict(&sitting.observations);
    let complaints = complaints.iter().map(Complaint::to_string);
    let complaints: Vec<String> = sitting.cut_short.into_iter().chain(complaints).collect();
    assert!(
        complaints.is_empty(),
        "seed {seed}:\n{}",
        complaints.join("\n")
    );
    assert!(
        sitting.answers_lost > 0,
        "seed {seed}: no answer to a submission was lost, so nothing is known about one that is retried"
    );
}
