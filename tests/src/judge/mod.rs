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
use anyhow::{Result, bail};
use tokio::task::LocalSet;
use tokio::time::Instant;

/// Carries out the plan on a fresh site, prints what it saw in one line, and fails unless every promise held.
///
/// # Panics
/// A promise was broken, or the ground does not hold; with the end of every log.
pub async fn judge(plan: &[Blow], site: &Site) {
    let (complaints, cut_short) = sit(plan, site).await.unwrap_or_else(|e| panic!("{e:#}"));
    let complaints = complaints.iter().map(Complaint::to_string);
    let complaints: Vec<String> = complaints.chain(cut_short).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Carries out the plan on a fresh site, prints what it saw in one line, and answers every promise that was broken.
///
/// # Errors
/// The plan was not carried out to its end: then nobody knows what is broken.
pub async fn complaints(plan: &[Blow], site: &Site) -> Result<Vec<Complaint>> {
    match sit(plan, site).await? {
        (complaints, None) => Ok(complaints),
        (_, Some(cut_short)) => bail!(cut_short),
    }
}

/// Every promise that was broken, and why the plan was not carried out to its end.
async fn sit(plan: &[Blow], site: &Site) -> Result<(Vec<Complaint>, Option<String>)> {
    let begun = Instant::now();
    let mut ground = Ground::start(site).await?;
    let sitting = LocalSet::new().run_until(ground.sit(plan)).await?;
    println!("{sitting}, in {} s", begun.elapsed().as_secs());
    let lost = When::Held(Point::Submission, Stage::Answered, Release::Never);
    let none_lost = plan.iter().any(|blow| blow.when == lost) && sitting.answers_lost == 0;
    let none_lost = none_lost.then(|| {
        "no answer to a submission was lost, so nothing is known about one that is retried"
            .to_owned()
    });
    let cut_short = sitting.cut_short.or(none_lost);
    Ok((verdict(&sitting.observations), cut_short))
}
