//! How many connections there may be, in all and from one address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The places for connections.
#[derive(Clone)]
pub(super) struct Seats {
    total: usize,
    per_ip: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_ip: BTreeMap<IpAddr, usize>,
}

/// One place; free again when it is dropped.
pub(super) struct Seat {
    ip: Option<IpAddr>,
    taken: Arc<Mutex<Taken>>,
}

impl Seats {
    pub(super) fn new(total: usize, per_ip: usize) -> Self {
        Self {
            total,
            per_ip,
            taken: Arc::default(),
        }
    }

    /// A place for `ip`, if there is one.
    pub(super) fn take(&self, ip: IpAddr) -> Option<Seat> {
        let ip = (!ip.to_canonical().is_loopback()).then_some(ip.to_canonical());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.total {
            return None;
        }
        if let Some(ip) = ip {
            let count = taken.by_ip.entry(ip).or_default();
            if *count >= self.per_ip {
                return None;
            }
            *count += 1;
        }
        taken.all += 1;
        Some(Seat {
            ip,
            taken: self.taken.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(ip) = self.ip
            && let Some(count) = taken.by_ip.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_ip.remove(&ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_cannot_take_all_places_and_gives_them_back() {
        let seats = Seats::new(3, 2);
        let first = seats.take(ip("192.0.2.1")).expect("free");
        let _second = seats.take(ip("192.0.2.1")).expect("free");
        assert!(seats.take(ip("192.0.2.1")).is_none(), "two are its share");
        assert!(
            seats.take(ip("::ffff:192.0.2.1")).is_none(),
            "the same address in another spelling"
        );
        drop(first);
        let _again = seats.take(ip("192.0.2.1")).expect("given back");
        let _other = seats.take(ip("192.0.2.2")).expect("free");
        assert!(seats.take(ip("192.0.2.3")).is_none(), "three are all");
    }

    #[test]
    fn loopback_counts_in_all_and_not_by_address() {
        let seats = Seats::new(2, 1);
        let _a = seats.take(ip("127.0.0.1")).expect("free");
        let _b = seats.take(ip("127.0.0.1")).expect("free");
        assert!(seats.take(ip("127.0.0.1")).is_none());
    }
}
