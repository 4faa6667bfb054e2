//! How many bytes of requests may be in memory at once, whoever sent them and however many connections there are.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};
use tonic::Status;
use tonic::codegen::{Bytes, StdError};

use crate::limits;

/// Bytes of all requests of calls that carry names and small facts only, which are all that strangers may send.
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

impl Drop for Taken {
    fn drop(&mut self) {
        let bytes = self.bytes.load(Ordering::Relaxed);
        self.shelf().0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A body whose bytes are counted as they arrive.
pub(crate) struct Counted<B> {
    body: Pin<Box<B>>,
    taken: Arc<Taken>,
}

impl<B> Counted<B> {
    pub(crate) fn new(body: B, taken: Arc<Taken>) -> Self {
        Self {
            body: Box::pin(body),
            taken,
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
        let frame = std::task::ready!(self.body.as_mut().poll_frame(context));
        let Some(frame) = frame else {
            return Poll::Ready(None);
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
}
