//! What befalls the product, and where.

use crate::dice::Dice;
use crate::proxy::Stage;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// One of the things that befall it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blow {
    /// What happens.
    pub kind: Kind,
    /// When.
    pub when: When,
    /// What is stopped stands still, and what is full stays so, for so long.
    pub lasts: Duration,
    /// So many runs are submitted for it, beside those that still go on. At least one.
    pub runs: usize,
}

/// What happens, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL of the server. Its plugins die with it, each a moment later.
    ServerKilled,
    /// SIGSTOP of the server, and SIGCONT. Its plugins go on.
    ServerStopped,
    /// SIGKILL of a plugin.
    PluginKilled,
    /// SIGSTOP of a plugin, and SIGCONT. The server goes on.
    PluginStopped,
    /// SIGKILL of the server and all its plugins at once.
    AllKilled,
    /// SIGSTOP of the server and all its plugins, and SIGCONT, as when the machine sleeps.
    AllStopped,
    /// The power of the machine is cut: what stays is what was on the disk at that instant.
    PowerCut,
    /// The disk is full for a while.
    DiskFull,
}

/// When it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// When this request stands at this stage; and what becomes of the request.
    Held(Point, Stage, Release),
    /// So long after the runs were submitted, whatever goes on.
    After(Duration, Plugin),
}

/// A plugin of the workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// That of Prometheus.
    Metrics,
    /// That of Alertmanager.
    Alertmanager,
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

/// What becomes of a request that was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// It goes on once the process is dead, or while it stands still.
    AtOnce,
    /// It goes on when the next process is at work, or this one again; that of a silence whose sender has died when the
    /// next has looked for it.
    Late,
    /// It goes no further: it never arrives, or its answer is lost.
    Never,
}

/// What befalls a process, be it the server or a plugin.
pub const SIGNALS: [Kind; 6] = [
    Kind::ServerKilled,
    Kind::ServerStopped,
    Kind::PluginKilled,
    Kind::PluginStopped,
    Kind::AllKilled,
    Kind::AllStopped,
];

const STAGES: [Stage; 3] = [Stage::Arrived, Stage::Forwarded, Stage::Answered];
const OTHERS: [Point; 4] = [Point::Submission, Point::Query, Point::Look, Point::Consent];
/// Those that a plugin sends.
const SENT: [Point; 2] = [Point::Query, Point::Look];
const RELEASES: [Release; 3] = [Release::AtOnce, Release::Late, Release::Never];

/// So many runs are submitted for a blow at most.
const RUNS_MAX: u64 = 3;
/// A run takes about as long while nothing befalls it.
const RUN_MS: u64 = 2_500;

/// So many blows of these kinds, each kind as often as the others. Two thirds of each fall on requests: half of these on
/// silences, the rest on everything else, each in every stage and with every release as soon as there are enough of
/// them. The others fall at any moment.
///
/// The seed decides about the order, the moments, the numbers of runs and, within `lasts` (milliseconds), about how long
/// things stand still. Each kind comes once before any comes again: a plugin that is killed again and again, and never
/// with its server, is rested for longer than calls wait for it.
#[must_use]
pub fn plan(number: usize, seed: u64, kinds: &[Kind], lasts: &RangeInclusive<u64>) -> Vec<Blow> {
    let mut dice = Dice::new(seed);
    // Odd, or a kind would fall on silences only, or never.
    let places = kinds.len() | 1;
    let mut blow = |i: usize| {
        let (round, place) = (i / kinds.len(), i % kinds.len());
        let kind = kinds[place];
        let when = if round % 3 == 2 {
            let plugin = dice.pick(&[Plugin::Metrics, Plugin::Alertmanager]);
            When::After(Duration::from_millis(dice.between(0, RUN_MS)), plugin)
        } else {
            request((round - round / 3) * places + place, kind)
        };
        Blow {
            kind,
            when,
            lasts: Duration::from_millis(mostly_short(&mut dice, lasts)),
            runs: usize::try_from(dice.between(1, RUNS_MAX)).expect("a small number"),
        }
    };
    let blows: Vec<Blow> = (0..number).map(&mut blow).collect();
    let mut rounds: Vec<Vec<Blow>> = blows.chunks(kinds.len()).map(<[Blow]>::to_vec).collect();
    shuffle(&mut rounds, &mut dice);
    for round in &mut rounds {
        shuffle(round, &mut dice);
    }
    rounds.concat()
}

/// The request on which the blow number `held` falls, of those that fall on requests.
fn request(held: usize, kind: Kind) -> When {
    let (i, to_silence) = (held / 2, held.is_multiple_of(2));
    let of_plugin = matches!(kind, Kind::PluginKilled | Kind::PluginStopped);
    let (point, i) = match (to_silence, of_plugin) {
        (true, _) => (Point::Silence, i),
        (false, true) => (SENT[i % SENT.len()], i / SENT.len()),
        (false, false) => (OTHERS[i % OTHERS.len()], i / OTHERS.len()),
    };
    // Each point begins with the answer that is lost, for that is what a client retries.
    let stage = STAGES[(i + 2) % STAGES.len()];
    let release = RELEASES[(i + 2 + i / STAGES.len()) % RELEASES.len()];
    When::Held(point, stage, release)
}

/// Of the whole range, and more often of its beginning: what stands still for long is worth as much, and takes longer.
fn mostly_short(dice: &mut Dice, range: &RangeInclusive<u64>) -> u64 {
    let most = dice.between(*range.start(), *range.end());
    dice.between(*range.start(), most)
}

/// Fisher and Yates.
fn shuffle<T>(list: &mut [T], dice: &mut Dice) {
    for last in (1..list.len()).rev() {
        let other = dice.between(0, last as u64);
        list.swap(last, usize::try_from(other).expect("below a length"));
    }
}

impl Blow {
    /// The plugin that it is about, if it is about one.
    #[must_use]
    pub fn plugin(&self) -> Plugin {
        match self.when {
            When::After(_, plugin) => plugin,
            When::Held(Point::Query, ..) => Plugin::Metrics,
            When::Held(Point::Silence | Point::Look | Point::Submission | Point::Consent, ..) => {
                Plugin::Alertmanager
            }
        }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)?;
        match self.kind {
            Kind::PluginKilled => write!(f, " {:?}", self.plugin())?,
            Kind::PluginStopped => write!(f, " {:?} {:?}", self.plugin(), self.lasts)?,
            Kind::ServerStopped | Kind::AllStopped | Kind::DiskFull => {
                write!(f, " {:?}", self.lasts)?
            }
            Kind::ServerKilled | Kind::AllKilled | Kind::PowerCut => {}
        }
        match self.when {
            When::Held(point, stage, release) => {
                write!(f, " at {point:?} {stage:?}, released {release:?}")
            }
            When::After(time, _) => write!(f, " after {time:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: RangeInclusive<u64> = 1_000..=15_000;

    fn all(number: usize, seed: u64) -> Vec<Blow> {
        plan(number, seed, &SIGNALS, &LASTS)
    }

    #[test]
    fn thirty_blows_are_of_every_kind_and_around_silences_in_every_way() {
        let plan = all(30, 1);
        assert_eq!(plan.len(), 30);
        for kind in SIGNALS {
            let of_kind = || plan.iter().filter(|blow| blow.kind == kind);
            let held = of_kind().filter(|blow| matches!(blow.when, When::Held(..)));
            assert_eq!((of_kind().count(), held.count()), (5, 4), "{kind:?}");
        }
        for stage in STAGES {
            for release in RELEASES {
                let when = When::Held(Point::Silence, stage, release);
                assert!(plan.iter().any(|blow| blow.when == when), "{when:?}");
            }
        }
    }

    #[test]
    fn enough_blows_are_of_every_kind_at_every_point_in_every_stage_with_every_release() {
        let plan = all(1_000, 1);
        for kind in SIGNALS {
            let of_plugin = matches!(kind, Kind::PluginKilled | Kind::PluginStopped);
            let others = if of_plugin { &SENT[..] } else { &OTHERS[..] };
            for point in others.iter().copied().chain([Point::Silence]) {
                for (stage, release) in STAGES.iter().flat_map(|s| RELEASES.map(|r| (*s, r))) {
                    let when = When::Held(point, stage, release);
                    let such = |blow: &Blow| blow.kind == kind && blow.when == when;
                    assert!(plan.iter().any(such), "{kind:?} {when:?}");
                }
            }
        }
    }

    #[test]
    fn every_plan_loses_the_answer_to_a_submission() {
        let lost = When::Held(Point::Submission, Stage::Answered, Release::Never);
        for seed in 0..20 {
            let short = [
                all(2, seed),
                plan(2, seed, &[Kind::PowerCut], &LASTS),
                plan(2, seed, &[Kind::ServerStopped], &LASTS),
            ];
            for plan in short {
                assert!(plan.iter().any(|blow| blow.when == lost), "seed {seed}");
            }
        }
    }

    #[test]
    fn what_stands_still_does_so_for_as_long_as_it_may() {
        let lasts: Vec<u128> = all(500, 3).iter().map(|b| b.lasts.as_millis()).collect();
        assert!(lasts.iter().all(|ms| (1_000..=15_000).contains(ms)));
        assert!(lasts.iter().any(|ms| *ms < 2_000) && lasts.iter().any(|ms| *ms > 12_000));
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(all(30, 7), all(30, 7));
        assert_ne!(all(30, 7), all(30, 8));
    }
}
