//! How many registrations are worked on at once: each of them has us connect to wherever a stranger says.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many at once.
const ALL_MAX: usize = 32;
/// So many of them from one address: nobody keeps all others out.
const EACH_MAX: usize = 16;

/// Those that are worked on, by who asked.
#[derive(Default)]
pub(super) struct Greetings(Mutex<BTreeMap<IpAddr, usize>>);

/// One of them, until this is dropped.
pub(super) struct Greeting {
    all: Arc<Greetings>,
    peer: IpAddr,
}

impl Greetings {
    /// One more; `None` where there are too many.
    pub(super) fn begin(self: &Arc<Self>, peer: IpAddr) -> Option<Arc<Greeting>> {
        // Who is on this machine can call from any of its addresses.
        let peer = match peer.to_canonical() {
            here if here.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            peer => peer,
        };
        let mut all = self.all();
        let own = all.get(&peer).copied().unwrap_or_default();
        if own >= EACH_MAX || all.values().sum::<usize>() >= ALL_MAX {
            return None;
        }
        all.insert(peer, own + 1);
        let all = Arc::clone(self);
        Some(Arc::new(Greeting { all, peer }))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Greeting {
    fn drop(&mut self) {
        let mut all = self.all.all();
        let left = all.remove(&self.peer).unwrap_or_default();
        if left > 1 {
            all.insert(self.peer, left - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_greeted_so_often_that_others_are_not() {
        let greetings = Arc::<Greetings>::default();
        let begin = |peer: &str| greetings.begin(peer.parse().expect("an address"));
        let here: Vec<_> = (0..EACH_MAX)
            .map(|n| begin(&format!("127.0.0.{}", n + 1)).expect("there is room"))
            .collect();
        assert!(begin("::1").is_none(), "it is this machine, too");
        let far: Vec<_> = (0..EACH_MAX).filter_map(|_| begin("10.1.0.7")).collect();
        assert_eq!(far.len(), EACH_MAX);
        assert!(begin("10.1.0.8").is_none(), "there are enough");
        drop(here);
        assert!(begin("10.1.0.7").is_none() && begin("10.1.0.8").is_some());
        drop(far);
        assert!(greetings.all().is_empty());
    }
}
