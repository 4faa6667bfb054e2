//! Defects that are planted in the product, and the invariant that catches each: a simulation that cannot fail is worth
//! nothing. Only in a build with `--cfg planted` (`make planted`).

use std::collections::BTreeSet;

use engine::planted::plant;

use crate::judge::Violation;
use crate::seeds::on_all_cores;
use crate::simulation::simulate;

/// Each defect, with the invariant that must catch it.
const DEFECTS: [(&str, &str); 25] = [
    ("accept_before_commit", "conservation"),
    ("approval_used_twice", "authority"),
    ("archived_started_again", "legal states"),
    ("call_not_as_prepared", "pinning"),
    ("checkpoint_of_another_step", "losable memory"),
    ("checkpoint_of_failed_attempt", "losable memory"),
    ("dead_attempt_heard", "fencing"),
    ("deduplicated_by_id_only", "authority"),
    ("doubt_run_again", "effect once"),
    ("episode_opened_twice", "conservation"),
    ("fence_dropped", "fencing"),
    ("forward_after_cancel", "cancel"),
    ("grant_without_intent", "write-ahead order"),
    ("joined_twice", "dependencies"),
    ("list_row_lost", "lists"),
    ("missing_value_passed", "values"),
    ("parked_stops_others", "poison"),
    ("question_outlives_attempt", "questions"),
    ("restored_goes_on", "second life"),
    ("second_record_expects_none", "legal states"),
    ("timer_lost", "time"),
    ("told_before_append", "conservation"),
    ("tried_again_after_cancel", "cancel"),
    ("tried_for_ever", "bounds"),
    ("window_exceeded", "bounds"),
];
/// Those that no simulation can catch: what is in memory needs no disk. Cuts of the power do (`tests/chaos`).
const OF_THE_DISK: [&str; 1] = ["synchronous_off"];
/// Each is caught within so many seeds.
const SEEDS: u64 = 400;
/// So often it is caught, unless the seeds come to their end.
const CATCHES: usize = 9;
/// So many seeds are tried before it is looked whether that is enough.
const AT_ONCE: u64 = 20;

/// What caught a defect, and after how many seeds each time.
struct Caught {
    gaps: Vec<u64>,
    first: Option<(u64, Violation)>,
    /// A seed in which another invariant was faster.
    other: Option<(u64, Violation)>,
}

fn hunt(defect: &'static str, invariant: &str) -> Caught {
    let mut caught = Caught {
        gaps: Vec::new(),
        first: None,
        other: None,
    };
    let mut last = 0;
    for from in (0..SEEDS).step_by(usize::try_from(AT_ONCE).expect("it is small")) {
        let verdicts = on_all_cores(from..from + AT_ONCE, |seed| {
            plant(Some(defect));
            let verdict = simulate(seed, false);
            plant(None);
            verdict.violation
        });
        for (seed, violation) in verdicts {
            let Some(violation) = violation else { continue };
            if violation.invariant != invariant {
                caught.other.get_or_insert((seed, violation));
                continue;
            }
            caught.gaps.push(seed + 1 - last);
            last = seed + 1;
            caught.first.get_or_insert((seed, violation));
        }
        if caught.gaps.len() >= CATCHES {
            break;
        }
    }
    caught
}

fn median(gaps: &mut [u64]) -> u64 {
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied().unwrap_or(0)
}

/// The defect that `DEFECT` names, of those that are hunted here.
///
/// # Panics
/// It names another.
fn named() -> Option<&'static str> {
    let name = std::env::var("DEFECT")
        .ok()
        .filter(|name| !name.is_empty())?;
    let mut known = DEFECTS.iter().map(|(defect, _)| *defect);
    let found = known.find(|defect| *defect == name);
    assert!(
        found.is_some(),
        "DEFECT={name} is not one of those that are hunted here"
    );
    found
}

/// Puts in force on this thread what `DEFECT` names, to look at one seed: `DEFECT=timer_lost SEED=11 TRACE=1`.
pub(crate) fn plant_named() {
    plant(named());
}

#[test]
fn every_planted_defect_is_caught_by_the_invariant_that_is_named_for_it() {
    let only = named();
    let mut missed = Vec::new();
    for (defect, invariant) in DEFECTS {
        if only.is_some_and(|only| only != defect) {
            continue;
        }
        let mut caught = hunt(defect, invariant);
        if let Some((seed, v)) = caught.other {
            let (other, what) = (v.invariant, v.what);
            missed.push(format!(
                "{defect}: seed {seed} was caught by {other}: {what}"
            ));
        }
        let Some((seed, first)) = caught.first else {
            missed.push(format!(
                "{defect}: {invariant} did not catch it in {SEEDS} seeds"
            ));
            continue;
        };
        println!(
            "{defect}: {invariant}, after {} seeds (the median of {}), first in seed {seed}: {}",
            median(&mut caught.gaps),
            caught.gaps.len(),
            first.what
        );
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_defect_that_the_manifest_lists_is_hunted() {
    let manifest = include_str!("../../Cargo.toml");
    let listed = manifest.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("'cfg(planted, values(\"")?;
        // Others are for the readers of things from outside (`make fuzz-planted`).
        let name = name.strip_suffix("\"))',")?;
        (!name.starts_with("fuzz_")).then_some(name)
    });
    let listed: BTreeSet<&str> = listed.collect();
    let simulated = DEFECTS.iter().map(|(defect, _)| *defect);
    let hunted = simulated.chain(OF_THE_DISK).collect();
    assert_eq!(listed, hunted);
}
