//! Where the product is killed.

use crate::dice::Dice;
use crate::proxy::Stage;
use std::fmt;

/// One kill: this request stands at this stage, the process dies, and what is held is released so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Around what.
    pub point: Point,
    /// How far it has come.
    pub stage: Stage,
    /// What becomes of it.
    pub release: Release,
    /// So many runs are submitted for it, beside those that still go on. At least one.
    pub runs: usize,
}

/// A request that the product sends or gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// The POST of a silence.
    Silence,
    /// A look at the silences: before one is made, or afterwards, to find out what became of it.
    Look,
    /// A query of a READ step.
    Query,
    /// The submission of a run.
    Submission,
    /// The consent to a change.
    Consent,
}

/// What becomes of a request that was held while the process was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// It goes on once the process is dead.
    AtOnce,
    /// It goes on when the next process is at work; that of a silence when the next process has looked for it.
    Late,
    /// It goes no further: it never arrives, or its answer is lost.
    Never,
}

const STAGES: [Stage; 3] = [Stage::Arrived, Stage::Forwarded, Stage::Answered];
const OTHERS: [Point; 4] = [Point::Submission, Point::Query, Point::Look, Point::Consent];
const RELEASES: [Release; 3] = [Release::AtOnce, Release::Late, Release::Never];

/// So many runs are submitted for a kill at most.
const RUNS_MAX: u64 = 3;

/// A third of the kills around silences, the rest around everything else; each in every stage and with every release as
/// soon as there are enough of them. The seed decides about their order and about the number of runs.
#[must_use]
pub fn plan(kills: usize, seed: u64) -> Vec<Kill> {
    let mut dice = Dice::new(seed);
    let silences = kills.div_ceil(3);
    let mut points: Vec<(Point, usize)> = (0..silences).map(|i| (Point::Silence, i)).collect();
    let others = (0..kills - silences).map(|i| (OTHERS[i % OTHERS.len()], i / OTHERS.len()));
    points.extend(others);
    shuffle(&mut points, &mut dice);
    let kill = |(point, i): (Point, usize)| Kill {
        point,
        // Each point begins with the answer that is lost, for that is what a client retries.
        stage: STAGES[(i + 2) % STAGES.len()],
        release: RELEASES[(i + 2 + i / STAGES.len()) % RELEASES.len()],
        runs: usize::try_from(dice.between(1, RUNS_MAX)).expect("a small number"),
    };
    points.into_iter().map(kill).collect()
}

/// Fisher and Yates.
fn shuffle<T>(list: &mut [T], dice: &mut Dice) {
    for last in (1..list.len()).rev() {
        let other = dice.between(0, last as u64);
        list.swap(last, usize::try_from(other).expect("below a length"));
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {:?}, released {:?}",
            self.point, self.stage, self.release
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_thirty_kills_is_around_silences_in_every_way() {
        let plan = plan(30, 1);
        assert_eq!(plan.len(), 30);
        let silences = || plan.iter().filter(|kill| kill.point == Point::Silence);
        assert_eq!(silences().count(), 10);
        for stage in STAGES {
            for release in RELEASES {
                let such = |kill: &&Kill| kill.stage == stage && kill.release == release;
                assert!(silences().any(|kill| such(&kill)), "{stage:?} {release:?}");
            }
        }
        for point in OTHERS {
            for stage in STAGES {
                let such = |kill: &&Kill| kill.point == point && kill.stage == stage;
                assert!(plan.iter().any(|kill| such(&kill)), "{point:?} {stage:?}");
            }
        }
    }

    #[test]
    fn every_plan_loses_the_answer_to_a_submission() {
        for seed in 0..20 {
            let lost = |kill: &Kill| {
                (kill.point, kill.stage) == (Point::Submission, Stage::Answered)
                    && kill.release == Release::Never
            };
            assert!(plan(3, seed).iter().any(lost), "seed {seed}");
        }
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(plan(30, 7), plan(30, 7));
        assert_ne!(plan(30, 7), plan(30, 8));
    }
}
