//! When an alert is the same alert: one *episode* lasts from its first `firing` until it is resolved.
//!
//! Deliveries repeat, come from two Alertmanagers at once, in other groups, late, or not at all; `startsAt` of the same
//! alert moves backwards when the second Prometheus of a pair reports. None of that may start anything twice.

use std::collections::BTreeSet;

use engine::key::{Episode, SEEN_MAX};
use engine::time::Timestamp;

/// What one delivery says of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sighting {
    /// It fires, since then.
    Firing { starts_at: Timestamp },
    /// It does not fire any more, since then if that is known.
    Resolved { ends_at: Option<Timestamp> },
}

/// What a sighting makes of an episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A new one opens; its runs are to be planned.
    Opens(Episode),
    /// It goes on, and has been seen again.
    Goes(Episode),
    /// It ends; what its end starts is to be planned.
    Ends(Episode),
    /// It has ended before: what its end asks for may not have been done.
    Over,
    /// It has ended before this was said: what its start asks for may not have been done.
    Late,
    /// It is about another time.
    Nothing,
}

/// What `sighting` makes of what is known.
pub(crate) fn next(known: Option<&Episode>, sighting: Sighting, now: Timestamp) -> Next {
    match sighting {
        Sighting::Firing { starts_at } => firing(known, starts_at, now),
        Sighting::Resolved { ends_at } => {
            resolved(known, ends_at.map_or(now, |at| at.min(now)), now)
        }
    }
}

fn firing(known: Option<&Episode>, starts_at: Timestamp, now: Timestamp) -> Next {
    let opens = || Next::Opens(opened(starts_at, now));
    let Some(episode) = known else {
        return opens();
    };
    // A start in the future counts as the arrival.
    let began = starts_at.min(now);
    match episode.ended_at {
        Some(ended) if began > ended => opens(),
        // A repetition that was on its way when the alert resolved.
        Some(_) => Next::Late,
        None if !episode.seen.contains(&starts_at) && began > episode.last_seen => opens(),
        None => {
            let mut episode = episode.clone();
            episode.seen.insert(starts_at);
            while episode.seen.len() > SEEN_MAX {
                episode.seen.pop_first();
            }
            episode.last_seen = episode.last_seen.max(now);
            Next::Goes(episode)
        }
    }
}

fn resolved(known: Option<&Episode>, ended_at: Timestamp, now: Timestamp) -> Next {
    let Some(episode) = known else {
        let mut episode = opened(ended_at, now);
        episode.seen.clear();
        episode.ended_at = Some(ended_at);
        return Next::Ends(episode);
    };
    if episode.ended_at.is_some() {
        return Next::Over;
    }
    // It resolved before this episode began: the news is of the one before.
    if episode.seen.first().is_some_and(|first| ended_at < *first) {
        return Next::Nothing;
    }
    let mut episode = episode.clone();
    episode.ended_at = Some(ended_at);
    episode.last_seen = episode.last_seen.max(now);
    Next::Ends(episode)
}

fn opened(starts_at: Timestamp, now: Timestamp) -> Episode {
    Episode {
        ended_at: None,
        seen: BTreeSet::from([starts_at]),
        last_seen: now,
        runs: Vec::new(),
        ended_runs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + second * 1_000)
    }

    fn fires(known: Option<&Episode>, starts: u64, now: u64) -> Next {
        let starts_at = at(starts);
        next(known, Sighting::Firing { starts_at }, at(now))
    }

    fn resolves(known: Option<&Episode>, ends: u64, now: u64) -> Next {
        let ends_at = Some(at(ends));
        next(known, Sighting::Resolved { ends_at }, at(now))
    }

    fn open(starts: u64, now: u64) -> Episode {
        let Next::Opens(episode) = fires(None, starts, now) else {
            panic!("it opens");
        };
        episode
    }

    fn goes(next: Next) -> Episode {
        let Next::Goes(episode) = next else {
            panic!("it goes on");
        };
        episode
    }

    fn ends(next: Next) -> Episode {
        let Next::Ends(episode) = next else {
            panic!("it ends");
        };
        episode
    }

    #[test]
    fn repetitions_start_nothing() {
        let episode = goes(fires(Some(&open(0, 10)), 0, 20));
        assert_eq!(episode.last_seen, at(20));
        goes(fires(Some(&episode), 0, 14_400));
    }

    #[test]
    fn a_start_that_moves_backwards_is_the_same_alert() {
        let episode = goes(fires(Some(&open(5, 10)), 2, 11));
        assert_eq!(episode.seen, BTreeSet::from([at(2), at(5)]));
        goes(fires(Some(&episode), 5, 12));
    }

    #[test]
    fn the_other_of_a_pair_may_have_seen_it_later_but_before_the_last_delivery() {
        goes(fires(Some(&open(5, 10)), 8, 11));
    }

    #[test]
    fn a_start_after_the_last_delivery_is_a_new_alert_whose_resolve_was_missed() {
        let Next::Opens(new) = fires(Some(&open(0, 10)), 60, 70) else {
            panic!("it opens");
        };
        assert_eq!(new.seen, BTreeSet::from([at(60)]));
    }

    #[test]
    fn a_start_in_the_future_counts_as_the_arrival() {
        let Next::Opens(new) = fires(Some(&open(0, 10)), 500, 70) else {
            panic!("it opens: it arrived after the last delivery");
        };
        goes(fires(Some(&new), 500, 80));
        goes(fires(Some(&open(0, 70)), 500, 70));
    }

    #[test]
    fn after_the_end_only_a_later_start_opens_again() {
        let ended = ends(resolves(Some(&open(0, 10)), 30, 35));
        assert_eq!(ended.ended_at, Some(at(30)));
        assert_eq!(fires(Some(&ended), 0, 40), Next::Late, "a late repetition");
        assert_eq!(fires(Some(&ended), 30, 40), Next::Late);
        assert!(matches!(fires(Some(&ended), 31, 40), Next::Opens(_)));
        assert_eq!(resolves(Some(&ended), 30, 41), Next::Over);
    }

    #[test]
    fn a_resolve_of_an_earlier_time_ends_nothing() {
        assert_eq!(resolves(Some(&open(60, 70)), 50, 71), Next::Nothing);
        ends(resolves(Some(&open(60, 70)), 60, 71));
    }

    #[test]
    fn an_end_in_the_future_or_unknown_is_now() {
        assert_eq!(
            ends(resolves(Some(&open(0, 10)), 900, 35)).ended_at,
            Some(at(35))
        );
        let unknown = Sighting::Resolved { ends_at: None };
        let ended = ends(next(Some(&open(0, 10)), unknown, at(35)));
        assert_eq!(ended.ended_at, Some(at(35)));
    }

    #[test]
    fn a_resolve_of_something_unknown_is_an_end_without_runs() {
        let ended = ends(resolves(None, 30, 35));
        assert!(ended.seen.is_empty() && ended.runs.is_empty());
        assert_eq!(ended.ended_at, Some(at(30)));
    }

    #[test]
    fn an_episode_remembers_a_bounded_number_of_starts() {
        let mut episode = open(1_000, 1_001);
        for n in 0..200 {
            episode = goes(fires(Some(&episode), 1_000 - n, 2_000));
        }
        assert_eq!(episode.seen.len(), SEEN_MAX);
    }
}
