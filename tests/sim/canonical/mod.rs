//! Canonical plans: each is carried out once as it is meant, and then once for each of its effects, after which somebody
//! dies. Whoever it was, the plan ends as it must. And once for each effect with a backup made after it, and restored
//! when the plan has ended (`CRASH=backup:3`), and with somebody who cancels the run after it (`CRASH=cancel:3`).
//!
//! ```text
//! PLAN=approved CRASH=process-1:17 TRACE=1 cargo test -p mirastack-tests --test sim canonical -- --nocapture
//! ```

mod actor;
mod people;
mod plan;
mod plans;
mod stage;

use std::collections::BTreeSet;

pub(crate) use self::actor::Actor;
use self::plans::PLANS;
pub(crate) use self::stage::Told;
use self::stage::{Played, Scene, play};
use crate::seeds::on_all_cores;

/// Plays all scenes, on all cores.
fn play_all(scenes: &[Scene]) -> Vec<Played> {
    let print = std::env::var("TRACE").is_ok();
    let places = 0..scenes.len() as u64;
    let played = on_all_cores(places, |place| {
        let place = usize::try_from(place).expect("it was one");
        play(&scenes[place], print)
    });
    played.into_values().collect()
}

/// The scenes that are asked for: those of `PLAN=name`, and of these with `CRASH=who:effect` only that one.
fn asked_for(scenes: Vec<Scene>) -> Vec<Scene> {
    let plan = std::env::var("PLAN").ok();
    let mut scenes = scenes;
    scenes.retain(|scene| plan.as_deref().is_none_or(|plan| plan == scene.plan().name));
    scenes
}

#[test]
fn every_plan_ends_as_it_must_whoever_dies_after_whichever_effect() {
    let crash = std::env::var("CRASH").ok();
    let plain = asked_for(Scene::plain());
    let played = play_all(&plain);
    let crashes: Vec<Scene> = plain
        .iter()
        .zip(&played)
        .flat_map(|(scene, played)| {
            let mut scenes = scene.with_crashes(&played.effects);
            scenes.extend(scene.with_backups_and_cancels(&played.effects));
            scenes
        })
        .filter(|scene| crash.as_ref().is_none_or(|crash| *crash == scene.crash()))
        .collect();
    let after = play_all(&crashes);
    let scenes = plain.iter().chain(&crashes);
    let complaints: Vec<String> = scenes
        .zip(played.iter().chain(&after))
        .filter_map(|(scene, played)| {
            let complaint = played.complaint.as_ref()?;
            Some(format!(
                "{}: {complaint}\n    {}",
                scene.name(),
                scene.again()
            ))
        })
        .collect();
    let count = |kind: &str| {
        crashes
            .iter()
            .filter(|s| s.crash().starts_with(kind))
            .count()
    };
    let (backups, cancels) = (count("backup:"), count("cancel:"));
    let plans: BTreeSet<&str> = plain.iter().map(|scene| scene.plan().name).collect();
    println!(
        "{} plans in {} settings; after an effect {} deaths, {backups} restored backups, {cancels} cancels",
        plans.len(),
        plain.len(),
        crashes.len() - backups - cancels,
    );
    let shown = complaints.iter().take(200).cloned().collect::<Vec<_>>();
    assert!(
        complaints.is_empty(),
        "{} of {}:\n{}",
        complaints.len(),
        plain.len() + crashes.len(),
        shown.join("\n")
    );
}

#[test]
fn there_are_so_many_plans_as_were_promised() {
    let names: BTreeSet<&str> = PLANS.iter().map(|plan| plan.name).collect();
    assert_eq!(names.len(), PLANS.len(), "two plans have one name");
    assert!(names.len() >= 30, "{}", names.len());
}
