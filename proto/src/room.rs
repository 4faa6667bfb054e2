//! How many bytes of requests may be in memory at once, whoever sent them and however many connections there are.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::codegen::{Bytes, StdError};

use crate::limits;

/// Bytes of all requests of calls that carry names and small facts only: all that strangers may send while no plugin of
/// elsewhere is registered.
const SMALL: usize = 8 * 1024 * 1024;
/// Bytes of all others: one of the largest, or eight of those without a limit of their own.
const LARGE: usize = limits::JSON_CACHE;

/// What is in memory.
#[derive(Debug, Default)]
pub(crate) struct Room {
    small: AtomicUsize,
    large: AtomicUsize,
}

/// The bytes of one request; they are given back when nobody has this any more.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Arc<Room>,
    is_small: bool,
    bytes: AtomicUsize,
}

impl Taken {
    /// For a request that may have so many bytes.
    pub(crate) fn of(room: Arc<Room>, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            room,
            is_small: limit <= limits::SMALL,
            bytes: AtomicUsize::new(0),
        })
    }

    fn shelf(&self) -> (&AtomicUsize, usize) {
        match self.is_small {
            true => (&self.room.small, SMALL),
            false => (&self.room.large, LARGE),
        }
    }

    fn more(&self, bytes: usize) -> Result<(), Status> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let (shelf, most) = self.shelf();
        if shelf.fetch_add(bytes, Ordering::Relaxed) + bytes > most {
            return Err(Status::resource_exhausted(
                "too many large messages at once: send it again",
            ));
        }
        Ok(())
    }
}

impl Taken {
    /// The bytes are no more in memory, although the call goes on.
    pub(crate) fn give_back(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        self.shelf().0.fetch_sub(bytes, Ordering::Relaxed);
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

    #[test]
    fn large_messages_leave_room_for_small_ones_and_all_is_given_back() {
        let room = Arc::new(Room::default());
        let of = |limit| Taken::of(Arc::clone(&room), limit);
        let large = of(limits::JSON_CACHE);
        large.more(LARGE).expect("there is room");
        assert!(of(limits::MESSAGE).more(1).is_err());
        let small = of(limits::SMALL);
        small.more(SMALL).expect("there is room");
        assert!(of(limits::SMALL).more(1).is_err());
        drop((large, small));
        of(limits::MESSAGE).more(LARGE).expect("it was given back");
        of(limits::SMALL).more(SMALL).expect("it was given back");
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
        let room = Arc::new(Room::default());
        let taken = Taken::of(Arc::clone(&room), limits::MESSAGE);
        let silent = Silent(Some(Bytes::from_static(b"beginning")));
        let mut body = Counted::new(silent, Arc::clone(&taken), Duration::from_secs(30));
        let mut next =
            async || std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        next().await.expect("a frame").expect("there is room");
        assert_eq!(room.large.load(Ordering::Relaxed), 9);
        let late = next().await.expect("an end").expect_err("it is late");
        assert!(late.to_string().contains("in time"), "{late}");
        taken.give_back();
        drop(taken);
        assert_eq!(room.large.load(Ordering::Relaxed), 0);
    }
}
