//! The judge of what the product promises for the day on which it dies: it kills, stops and unplugs it again and again,
//! around real work on real servers, and then holds what everybody saw together.
//!
//! Start reading at [`plan`](plan()) (what befalls it, and where), then `strike` (how), `errand` (what a client sees
//! meanwhile) and [`verdict`](verdict()) (what must hold).

mod errand;
mod ground;
mod plan;
mod strike;
mod verdict;

pub use errand::{Errand, Shown};
pub use ground::{Ground, Site, Sitting};
pub use plan::{Blow, Kind, Plugin, Point, Release, SIGNALS, When, plan};
pub use verdict::{Complaint, Observations, Silence, Stored, verdict};

use crate::proxy::Stage;
use tokio::task::LocalSet;
use tokio::time::Instant;

/// Carries out the plan on a fresh site, prints what it saw in one line, and fails unless every promise held.
///
/// # Panics
/// A promise was broken, or the ground does not hold; with the end of every log.
pub async fn judge(plan: &[Blow], site: &Site) {
    let complaints = complaints(plan, site).await;
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Carries out the plan on a fresh site, prints what it saw in one line, and answers every promise that was broken.
///
/// # Panics
/// The ground does not hold.
pub async fn complaints(plan: &[Blow], site: &Site) -> Vec<String> {
    let begun = Instant::now();
    let mut ground = Ground::start(site).await.expect("all of it starts");
    let sitting = LocalSet::new().run_until(ground.sit(plan)).await;
    let sitting = match sitting {
        Ok(sitting) => sitting,
        Err(error) => return vec![format!("{error:#}")],
    };
    println!("{sitting}, in {} s", begun.elapsed().as_secs());
    let complaints = verdict(&sitting.observations);
    let mut complaints: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    complaints.extend(sitting.cut_short);
    let lost = When::Held(Point::Submission, Stage::Answered, Release::Never);
    if plan.iter().any(|blow| blow.when == lost) && sitting.answers_lost == 0 {
        complaints.push(
            "no answer to a submission was lost, so nothing is known about one that is retried"
                .to_owned(),
        );
    }
    complaints
}
