//! Defects that are planted in the product, and the invariant that catches each: a simulation that cannot fail is worth
//! nothing. Only in a build with `--cfg planted` (`make planted`).

use engine::planted::plant;

use crate::seeds::on_all_cores;
use crate::simulation::simulate;

/// Each defect, with the invariants of which one must catch it.
const DEFECTS: [(&str, &[&str]); 3] = [
    ("fence_dropped", &["fencing"]),
    ("accept_before_commit", &["conservation"]),
    ("grant_without_intent", &["write-ahead order"]),
];
/// Each is caught within so many seeds.
const SEEDS: u64 = 200;

#[test]
fn every_planted_defect_is_caught_by_the_invariant_that_is_named_for_it() {
    let mut missed = Vec::new();
    for (defect, invariants) in DEFECTS {
        let verdicts = on_all_cores(0..SEEDS, |seed| {
            plant(Some(defect));
            let verdict = simulate(seed, false);
            plant(None);
            verdict.violation
        });
        let caught = verdicts
            .iter()
            .filter_map(|(seed, v)| Some((seed, v.as_ref()?)));
        let caught: Vec<_> = caught.collect();
        let other = caught
            .iter()
            .find(|(_, v)| !invariants.contains(&v.invariant));
        match (caught.first(), other) {
            (None, _) => missed.push(format!("{defect}: nothing caught it in {SEEDS} seeds")),
            (_, Some((seed, v))) => {
                missed.push(format!(
                    "{defect}: seed {seed} was caught by {}: {}",
                    v.invariant, v.what
                ));
            }
            (Some((seed, first)), None) => println!(
                "{defect}: {} of {SEEDS} seeds, first seed {seed}: {}: {}",
                caught.len(),
                first.invariant,
                first.what
            ),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
