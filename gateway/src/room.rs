//! How much memory the bodies of all requests may take together: as bytes while they arrive, as values once they are
//! read, and as documents while they are checked.
//!
//! The limit of one body is in [`Edge`](crate::config::Edge). It says nothing about fifty at once, and a body of 1 MiB
//! can hold values that take eighty times as much. Bytes are counted as they arrive, so who sends slowly holds no more
//! than was sent. Whoever has proven nothing finds less room, and so keeps nobody out who has; one address of them has a
//! share, and bodies of a few words, such as log-ins, a room of their own, so that strangers do not keep each other out.
//! For values and documents one waits: those that are before it do not depend on any peer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::lane::Lane;
use crate::problem::Problem;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bytes of bodies that are in memory at once.
const BYTES: usize = 6 * MIB;
/// Besides these, those of bodies that are small: whoever sends large ones keeps none of them out.
const BYTES_SMALL: usize = 2 * MIB;
/// A body is small up to here.
pub(crate) const SMALL: usize = 64 * KIB;
/// The same of those whose senders have proven nothing yet.
const BYTES_UNPROVEN: usize = 4 * MIB;
/// Besides these, those of their bodies that hold a few words: whoever sends others keeps none of them out.
const BYTES_OF_WORDS: usize = MIB;
/// A body holds a few words up to here.
const WORDS: usize = KIB;
/// One address has this part of either. Loopback may have all of it: a proxy on this machine stands for many.
const SHARE: usize = 4;
/// What the values of JSON bodies take at once.
const VALUES: usize = 24 * MIB;
/// The same of bodies that weigh little, which do not wait behind others.
const VALUES_LIGHT: usize = 4 * MIB;
/// A body weighs little up to here.
const LIGHT: usize = 128 * KIB;
/// What the values of one may take.
const VALUES_MAX: usize = 24 * MIB;
/// What documents take at once while they are worked on.
const DOCUMENTS: usize = 8 * MIB;
/// A document that may take more is worked on alone.
const LIGHT_MAX: usize = MIB;
/// So long a request waits for room.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The room that there is.
pub(crate) struct Room {
    bytes: Arc<Shelf>,
    values: Arc<Semaphore>,
    light: Arc<Semaphore>,
    documents: Arc<Semaphore>,
    hands: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
    lane: Lane,
}

/// Bytes that are there.
#[derive(Default)]
struct Shelf {
    all: AtomicUsize,
    unproven: Mutex<Strangers>,
}

/// Those of whoever has proven nothing yet: all of them, and of each address.
#[derive(Default)]
struct Strangers {
    all: Sizes,
    of: BTreeMap<IpAddr, Sizes>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Sizes {
    words: usize,
    others: usize,
}

impl Sizes {
    /// A body was so long and is now so long.
    fn change(&mut self, before: usize, now: usize) {
        *self.kind(before) -= before;
        *self.kind(now) += now;
    }

    fn kind(&mut self, length: usize) -> &mut usize {
        match length <= WORDS {
            true => &mut self.words,
            false => &mut self.others,
        }
    }
}

impl Strangers {
    /// A body from `peer` was so long and is now so long. Answers whether there is room for it.
    fn change(&mut self, peer: IpAddr, before: usize, now: usize) -> bool {
        self.all.change(before, now);
        let its = self.of.entry(peer).or_default();
        its.change(before, now);
        let (its, share) = (*its, if peer.is_loopback() { 1 } else { SHARE });
        if its == Sizes::default() {
            self.of.remove(&peer);
        }
        let (all, its, most) = match now <= WORDS {
            true => (self.all.words, its.words, BYTES_OF_WORDS),
            false => (self.all.others, its.others, BYTES_UNPROVEN),
        };
        all <= most && its <= most / share
    }
}

/// Who sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Somebody who has proven who it is.
    Known,
    /// Anybody at this address.
    Stranger(IpAddr),
}

impl Sender {
    /// A stranger at this address. Whoever has one of version 6 has the 2^64 beside it, too.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Stranger(match address.to_canonical() {
            IpAddr::V6(ip) if !ip.is_loopback() => {
                let network = ip.to_bits() >> 64 << 64;
                Ipv6Addr::from_bits(network).into()
            }
            other @ (IpAddr::V4(_) | IpAddr::V6(_)) => other,
        })
    }
}

impl Default for Room {
    fn default() -> Self {
        Self {
            bytes: Arc::default(),
            values: Arc::new(Semaphore::new(VALUES / KIB)),
            light: Arc::new(Semaphore::new(VALUES_LIGHT / KIB)),
            documents: Arc::new(Semaphore::new(DOCUMENTS / KIB)),
            hands: Arc::new(Semaphore::new(processors())),
            heavy: Arc::new(Semaphore::new(1)),
            lane: Lane::default(),
        }
    }
}

impl Room {
    /// For the bytes of one body that is about to arrive.
    pub(crate) fn for_body(&self, sender: Sender) -> Taken {
        Taken {
            shelf: self.bytes.clone(),
            bytes: 0,
            sender,
            _values: None,
        }
    }

    /// Waits for room for the values of a JSON body.
    ///
    /// # Errors
    /// 413 when they need more than one may take, 503 when there is none in time.
    pub(crate) async fn for_values(&self, body: &[u8], taken: &mut Taken) -> Result<(), Problem> {
        let weight = strict_json::weight(body);
        if weight > VALUES_MAX {
            return Err(Problem::too_large(format!(
                "the values of the body take too much memory: some {} MiB, and {} are the limit",
                weight / MIB,
                VALUES_MAX / MIB
            ))
            .hint(
                "send fewer values: long lists of numbers and small objects as text or in parts",
            ));
        }
        let room = match weight <= LIGHT {
            true => &self.light,
            false => &self.values,
        };
        taken._values = Some(wait(room, weight).await?);
        Ok(())
    }

    /// Works on a document off the threads that answer requests, once there is room for it.
    ///
    /// # Errors
    /// 503 when there is none in time.
    pub(crate) async fn work_on<T: Send + 'static>(
        &self,
        text: &str,
        work: impl FnOnce(String) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let weight = weight_of_document(text);
        let heavy = weight > LIGHT_MAX;
        let place = match heavy {
            true => wait(&self.heavy, KIB).await?,
            false => wait(&self.documents, weight).await?,
        };
        // More threads than processors do nothing sooner, and each keeps memory of its own.
        let hand = match heavy {
            true => None,
            false => self.hands.clone().acquire_owned().await.ok(),
        };
        let text = text.to_owned();
        let work = move || {
            // The work goes on when its peer goes away, and so it keeps its place.
            let _places = (place, hand);
            work(text)
        };
        let done = match heavy {
            true => self.lane.run(work).await,
            false => spawn_blocking(work).await.ok(),
        };
        done.ok_or_else(Problem::internal)
    }
}

fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

async fn wait(room: &Arc<Semaphore>, weight: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let parts = u32::try_from(weight.div_ceil(KIB)).unwrap_or(u32::MAX);
    let waited = timeout(WAIT_MAX, room.clone().acquire_many_owned(parts)).await;
    match waited {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(Problem::internal()),
        Err(_) => Err(full()),
    }
}

fn full() -> Problem {
    Problem::unavailable("too many large bodies at once: try again")
}

/// The room of one body, free again when this is dropped.
pub(crate) struct Taken {
    shelf: Arc<Shelf>,
    bytes: usize,
    sender: Sender,
    _values: Option<OwnedSemaphorePermit>,
}

impl Taken {
    /// More bytes of the body are here.
    ///
    /// # Errors
    /// 503 when there is no room for them.
    pub(crate) fn more(&mut self, bytes: usize) -> Result<(), Problem> {
        let before = self.bytes;
        self.bytes += bytes;
        let all = self.shelf.all.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let fits = self.stranger_has(before, self.bytes);
        let mut most = BYTES;
        if self.bytes <= SMALL {
            most += BYTES_SMALL;
        }
        if self.bytes <= WORDS {
            most += BYTES_OF_WORDS;
        }
        if all > most || !fits {
            return Err(full());
        }
        Ok(())
    }

    pub(crate) fn sender(&self) -> Sender {
        self.sender
    }

    /// Whether there is room for it where a stranger sends it.
    fn stranger_has(&self, before: usize, now: usize) -> bool {
        let Sender::Stranger(peer) = self.sender else {
            return true;
        };
        let unproven = &self.shelf.unproven;
        let mut unproven = unproven.lock().unwrap_or_else(PoisonError::into_inner);
        unproven.change(peer, before, now)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.shelf.all.fetch_sub(self.bytes, Ordering::Relaxed);
        self.stranger_has(self.bytes, 0);
    }
}

/// The room of a request's body as its handler has it: who waits for something else gives it back before.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<Mutex<Option<Taken>>>);

impl Held {
    pub(crate) fn new(taken: Taken) -> Self {
        Self(Arc::new(Mutex::new(Some(taken))))
    }

    /// The body is not needed any more.
    pub(crate) fn give_back(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Held {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// What a document takes in memory while it is checked, in bytes: its nodes and what is made of them.
fn weight_of_document(text: &str) -> usize {
    let nodes = text
        .bytes()
        .filter(|byte| matches!(byte, b'\n' | b':' | b',' | b'[' | b'{'));
    4 * text.len() + 320 * nodes.count()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn status<T>(taken: Result<T, Problem>) -> Option<u16> {
        taken.err().map(|problem| problem.status.as_u16())
    }

    #[test]
    fn bytes_are_counted_together_and_given_back() {
        let room = Room::default();
        let mut first = room.for_body(Sender::Known);
        assert_eq!(status(first.more(BYTES)), None);
        let mut second = room.for_body(Sender::Known);
        assert_eq!(status(second.more(SMALL)), None, "a small one finds room");
        assert_eq!(status(second.more(1)), Some(503), "and is none any more");
        drop((first, second));
        assert_eq!(status(room.for_body(Sender::Known).more(BYTES)), None);
    }

    #[test]
    fn who_has_proven_nothing_keeps_nobody_out_who_has() {
        let room = Room::default();
        let mut proxy = room.for_body(stranger("127.0.0.1"));
        assert_eq!(status(proxy.more(BYTES_UNPROVEN)), None);
        let other = room.for_body(stranger("192.0.2.1")).more(WORDS + 1);
        assert_eq!(status(other), Some(503));
        let known = room.for_body(Sender::Known).more(BYTES - BYTES_UNPROVEN);
        assert_eq!(status(known), None);
    }

    fn stranger(address: &str) -> Sender {
        Sender::at(address.parse().expect("an address"))
    }

    #[test]
    fn a_stranger_who_holds_all_it_can_keeps_no_other_out() {
        let room = Room::default();
        let send = |address: &str, bytes: usize| {
            let mut taken = room.for_body(stranger(address));
            taken.more(bytes).map(|()| taken)
        };
        let hold = |address: &str, bytes: usize| {
            let held = (0..).map_while(|_| send(address, bytes).ok());
            held.collect::<Vec<_>>()
        };
        // Each of one network is the same stranger.
        let mut large = hold("2001:db8::1", 64 * KIB);
        large.extend(hold("2001:db8::2", 64 * KIB));
        assert_eq!(large.len(), BYTES_UNPROVEN / SHARE / (64 * KIB));
        let log_in = 60;
        assert_eq!(status(send("2001:db8::1", log_in)), None, "of a few words");
        let words = hold("2001:db8::1", WORDS);
        assert_eq!(words.len(), BYTES_OF_WORDS / SHARE / WORDS);
        assert_eq!(status(send("2001:db8::1", log_in)), Some(503), "all it can");
        assert_eq!(status(send("192.0.2.1", log_in)), None);
        assert_eq!(status(send("192.0.2.1", 64 * KIB)), None);
        drop((large, words));
        assert_eq!(status(send("2001:db8::1", log_in)), None, "given back");
        let left = room.bytes.unproven.lock().expect("nobody panics here");
        assert!(left.of.is_empty() && left.all == Sizes::default());
    }

    #[test]
    fn a_body_that_grows_moves_out_of_the_room_for_a_few_words() {
        let room = Room::default();
        let grown = || {
            let mut taken = room.for_body(stranger("192.0.2.1"));
            let grown = taken.more(WORDS).and_then(|()| taken.more(1));
            grown.map(|()| taken)
        };
        let held: Vec<_> = (0..).map_while(|_| grown().ok()).collect();
        assert_eq!(held.len(), BYTES_UNPROVEN / SHARE / (WORDS + 1));
        let words = room.for_body(stranger("192.0.2.1")).more(WORDS);
        assert_eq!(status(words), None);
    }

    #[tokio::test]
    async fn while_a_document_is_worked_on_others_are_answered() {
        let room = Room::default();
        let heavy = ",".repeat(LIGHT_MAX / 320 + 1);
        for text in ["light: true", &heavy] {
            let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
            // All of this runs on one thread: who works on it there answers nobody meanwhile.
            let work = move |_: String| may_go_on.recv_timeout(10 * WAIT_MAX).is_ok();
            let answered = async move { go_on.send(()).is_ok() };
            let both = tokio::join!(biased; room.work_on(text, work), answered);
            assert_eq!(both, (Ok(true), true), "{} bytes", text.len());
        }
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_processor_to_the_work_until_it_is_done() {
        let room = Room::default();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let work = move |_: String| may_go_on.recv_timeout(10 * WAIT_MAX).is_ok();
        let gone = room.work_on("light: true", work).now_or_never();
        assert!(gone.is_none(), "it had begun");
        assert_eq!(room.hands.available_permits(), processors() - 1);
        go_on.send(()).expect("it goes on");
        let all = u32::try_from(processors()).expect("few");
        assert!(room.hands.acquire_many(all).await.is_ok(), "it is done");
    }

    #[tokio::test(start_paused = true)]
    async fn values_wait_for_room_and_not_for_ever() {
        let room = Room::default();
        let body = vec![b','; VALUES_MAX / 68];
        let mut first = room.for_body(Sender::Known);
        assert_eq!(status(room.for_values(&body, &mut first).await), None);
        let mut second = room.for_body(Sender::Known);
        assert_eq!(status(room.for_values(&body, &mut second).await), Some(503));
        assert_eq!(status(room.for_values(b"{}", &mut second).await), None);
        drop(first);
        assert_eq!(status(room.for_values(&body, &mut second).await), None);
        let too_much = vec![b','; VALUES_MAX / 68 + 1];
        assert_eq!(
            status(room.for_values(&too_much, &mut second).await),
            Some(413)
        );
    }

    #[test]
    fn a_large_delivery_of_alerts_is_not_too_much() {
        let labels = [r#""severity":"page""#; 11].join(",");
        let alert =
            format!(r#"{{"status":"firing","labels":{{{labels}}},"annotations":{{"a":"b"}}}}"#);
        let body = format!("[{}]", vec![alert; 4_000].join(","));
        assert!(body.len() > 900 * KIB && body.len() < MIB, "{}", body.len());
        assert!(strict_json::weight(body.as_bytes()) < VALUES_MAX);
    }
}
