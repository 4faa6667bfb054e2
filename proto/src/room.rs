//! How many bytes of requests may be in memory at once, however many connections there are.
//!
//! Whoever proves who it is finds room of its own, which strangers cannot take. Of theirs each address has a share, and
//! short messages have rooms that long ones do not fill: whoever sends a value of 30 MiB byte by byte keeps others from
//! sending such values, and from nothing else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::codegen::{Bytes, StdError};

use crate::limits;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Room for messages of one kind.
struct Shelf {
    /// It takes messages that have so many bytes by now; a longer one moves on to the next shelf.
    of: usize,
    /// It holds so many bytes.
    holds: usize,
    /// One address of strangers has this part of it. Loopback may have all of it: every agent of this machine is there.
    parts: usize,
}

const fn shelf(of: usize, holds: usize, parts: usize) -> Shelf {
    Shelf { of, holds, parts }
}

/// For those that have proven who they are: names and small facts, and all else.
const PROVEN: [Shelf; 2] = [
    shelf(limits::SMALL, 8 * MIB, 1),
    shelf(usize::MAX, limits::JSON_CACHE + MIB, 1),
];
/// For strangers: heartbeats, names and small facts, what has no limit of its own, values of the cache.
const STRANGE: [Shelf; 4] = [
    shelf(4 * KIB, MIB, 4),
    shelf(limits::SMALL, 4 * MIB, 4),
    shelf(limits::MESSAGE + limits::SMALL, 16 * MIB, 3),
    shelf(usize::MAX, limits::JSON_CACHE + MIB, 1),
];

/// Who sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Somebody who has proven who it is.
    Proven,
    /// Anybody at this address.
    Stranger(IpAddr),
}

/// What is in memory.
#[derive(Debug)]
pub(crate) struct Room {
    proven: [AtomicUsize; PROVEN.len()],
    strange: Mutex<Strangers>,
    reading: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            proven: Default::default(),
            strange: Mutex::default(),
            reading: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Bytes on each shelf: all of them, and of each address.
#[derive(Debug, Default)]
struct Strangers {
    all: [usize; STRANGE.len()],
    of: BTreeMap<IpAddr, [usize; STRANGE.len()]>,
}

impl Strangers {
    /// A message from `peer` was so long and is now so long. Answers whether there is room for it.
    fn change(&mut self, peer: IpAddr, before: usize, now: usize) -> bool {
        let its = self.of.entry(peer).or_default();
        for bytes in [&mut self.all, &mut *its] {
            bytes[place(&STRANGE, before)] -= before;
            bytes[place(&STRANGE, now)] += now;
        }
        let at = place(&STRANGE, now);
        let (all, own, shelf) = (self.all[at], its[at], &STRANGE[at]);
        if its.iter().all(|bytes| *bytes == 0) {
            self.of.remove(&peer);
        }
        let parts = if peer.is_loopback() { 1 } else { shelf.parts };
        all <= shelf.holds && own <= shelf.holds / parts
    }
}

/// The shelf of a message that is so long.
fn place(shelves: &[Shelf], bytes: usize) -> usize {
    let fits = |shelf: &Shelf| bytes <= shelf.of;
    shelves.iter().position(fits).unwrap_or(shelves.len() - 1)
}

/// The bytes of one request; they are given back when nobody has this any more.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Arc<Room>,
    sender: Sender,
    bytes: Mutex<usize>,
}

impl Taken {
    pub(crate) fn of(room: Arc<Room>, sender: Sender) -> Arc<Self> {
        Arc::new(Self {
            room,
            sender,
            bytes: Mutex::new(0),
        })
    }

    fn more(&self, bytes: usize) -> Result<(), Status> {
        match self.change(|before| before + bytes) {
            true => Ok(()),
            false => Err(Status::resource_exhausted(
                "too many large messages at once: send it again",
            )),
        }
    }

    /// The bytes are no more in memory, although the call goes on.
    pub(crate) fn give_back(&self) {
        self.change(|_| 0);
    }

    /// Answers whether there is room.
    fn change(&self, to: impl FnOnce(usize) -> usize) -> bool {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, now) = (*bytes, to(*bytes));
        *bytes = now;
        match self.sender {
            Sender::Proven => {
                let shelves = &self.room.proven;
                shelves[place(&PROVEN, before)].fetch_sub(before, Ordering::Relaxed);
                let at = place(&PROVEN, now);
                shelves[at].fetch_add(now, Ordering::Relaxed) + now <= PROVEN[at].holds
            }
            Sender::Stranger(peer) => {
                let strange = &self.room.strange;
                let mut strange = strange.lock().unwrap_or_else(PoisonError::into_inner);
                strange.change(peer, before, now)
            }
        }
    }

    /// Waits until no other large message is being read: each takes some times its bytes meanwhile. Those before it do
    /// not wait for any peer.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.room.reading.clone().acquire_owned().await.ok()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A body whose bytes are counted as they arrive, which they must within a time.
pub(crate) struct Counted<B> {
    body: Pin<Box<B>>,
    taken: Arc<Taken>,
    late: Pin<Box<Sleep>>,
}

impl<B> Counted<B> {
    pub(crate) fn new(body: B, taken: Arc<Taken>, within: Duration) -> Self {
        Self {
            body: Box::pin(body),
            taken,
            late: Box::pin(sleep(within)),
        }
    }
}

impl<B> Body for Counted<B>
where
    B: Body,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let frame = match self.body.as_mut().poll_frame(context) {
            Poll::Ready(Some(frame)) => frame,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                std::task::ready!(self.late.as_mut().poll(context));
                let late = Status::deadline_exceeded("the message has not arrived in time");
                return Poll::Ready(Some(Err(late.into())));
            }
        };
        let frame = frame.map_err(Into::into)?;
        let frame = frame.map_data(|mut data| {
            use bytes::Buf;
            data.copy_to_bytes(data.remaining())
        });
        if let Some(data) = frame.data_ref()
            && let Err(full) = self.taken.more(data.len())
        {
            return Poll::Ready(Some(Err(full.into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(address: &str) -> Sender {
        Sender::Stranger(address.parse().expect("an address"))
    }

    /// As many messages of so many bytes as find room.
    fn hold(room: &Arc<Room>, sender: Sender, bytes: usize) -> Vec<Arc<Taken>> {
        let one = || {
            let taken = Taken::of(Arc::clone(room), sender);
            taken.more(bytes).map(|()| taken).ok()
        };
        std::iter::repeat_with(one)
            .map_while(|taken| taken)
            .collect()
    }

    #[test]
    fn large_messages_leave_room_for_small_ones_and_all_is_given_back() {
        for sender in [Sender::Proven, stranger("127.0.0.1")] {
            let room = Arc::<Room>::default();
            for _ in 0..2 {
                let large = hold(&room, sender, 32 * MIB);
                assert_eq!(large.len(), 1, "{sender:?}");
                let small = hold(&room, sender, limits::SMALL);
                assert!(small.len() >= 64, "{sender:?}: {}", small.len());
            }
        }
    }

    #[test]
    fn strangers_keep_nobody_out_who_is_none() {
        let room = Arc::<Room>::default();
        let lengths = [32 * MIB, limits::MESSAGE, limits::SMALL, 4 * KIB];
        let held = lengths.map(|bytes| hold(&room, stranger("127.0.0.1"), bytes));
        for (bytes, held) in lengths.iter().zip(&held) {
            assert!(!held.is_empty(), "{bytes}");
            assert!(!hold(&room, Sender::Proven, *bytes).is_empty(), "{bytes}");
        }
    }

    #[test]
    fn who_sends_a_large_value_byte_by_byte_keeps_others_from_large_values_only() {
        let room = Arc::<Room>::default();
        let value = Taken::of(Arc::clone(&room), stranger("127.0.0.1"));
        for _ in 0..31 {
            value.more(MIB).expect("there is room");
        }
        let send = |bytes| hold(&room, stranger("127.0.0.1"), bytes).len();
        assert_eq!(send(16 * MIB), 0);
        assert_eq!(send(limits::MESSAGE), 4);
        assert_eq!(send(4 * KIB), 256);
    }

    #[test]
    fn a_stranger_who_holds_all_it_can_keeps_no_other_address_out() {
        let room = Arc::<Room>::default();
        for bytes in [limits::MESSAGE, limits::SMALL, 4 * KIB] {
            let held = hold(&room, stranger("192.0.2.1"), bytes);
            assert!(!held.is_empty(), "{bytes}");
            assert!(
                !hold(&room, stranger("192.0.2.2"), bytes).is_empty(),
                "{bytes}"
            );
        }
        let left = room.strange.lock().expect("nobody panics here");
        assert!(left.of.is_empty() && left.all == [0; STRANGE.len()]);
    }

    /// A body that sends one frame, and then nothing.
    struct Silent(Option<Bytes>);

    impl Body for Silent {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            match self.0.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stops_in_the_middle_of_a_message_is_not_waited_for_and_gives_back_its_room() {
        let room = Arc::<Room>::default();
        let taken = Taken::of(Arc::clone(&room), Sender::Proven);
        let silent = Silent(Some(Bytes::from_static(b"beginning")));
        let mut body = Counted::new(silent, Arc::clone(&taken), Duration::from_secs(30));
        let mut next =
            async || std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        next().await.expect("a frame").expect("there is room");
        assert_eq!(room.proven[0].load(Ordering::Relaxed), 9);
        let late = next().await.expect("an end").expect_err("it is late");
        assert!(late.to_string().contains("in time"), "{late}");
        taken.give_back();
        drop(taken);
        assert_eq!(room.proven[0].load(Ordering::Relaxed), 0);
    }
}
