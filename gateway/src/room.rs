//! How much memory the bodies of all requests may take together: as bytes while they arrive, as values once they are
//! read, and as documents while they are checked.
//!
//! The limit of one body is in [`Edge`](crate::config::Edge). It says nothing about fifty at once, and a body of 1 MiB
//! can hold values that take eighty times as much. Bytes are counted as they arrive, so who sends slowly holds no more
//! than was sent; whoever has proven nothing finds less room, and so keeps nobody out who has. For values and documents
//! one waits: those that are before it do not depend on any peer.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
const BYTES: usize = 8 * MIB;
/// Besides these, those of bodies that are small: whoever sends large ones keeps none of them out.
const BYTES_SMALL: usize = 2 * MIB;
/// A body is small up to here.
const SMALL: usize = 64 * KIB;
/// The same of those whose senders have proven nothing yet.
const BYTES_UNPROVEN: usize = 4 * MIB;
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

/// So many times its bytes is what a text weighs.
const TEXT: usize = 4;

/// The room that there is.
pub(crate) struct Room {
    bytes: Arc<Shelf>,
    values: Arc<Semaphore>,
    light: Arc<Semaphore>,
    documents: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
    lane: Lane,
}

/// Bytes that are there.
#[derive(Default)]
struct Shelf {
    all: AtomicUsize,
    unproven: AtomicUsize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            bytes: Arc::default(),
            values: Arc::new(Semaphore::new(VALUES / KIB)),
            light: Arc::new(Semaphore::new(VALUES_LIGHT / KIB)),
            documents: Arc::new(Semaphore::new(DOCUMENTS / KIB)),
            heavy: Arc::new(Semaphore::new(1)),
            lane: Lane::default(),
        }
    }
}

impl Room {
    /// For the bytes of one body that is about to arrive.
    pub(crate) fn for_body(&self, proven: bool) -> Taken {
        Taken {
            shelf: self.bytes.clone(),
            bytes: 0,
            proven,
            _values: None,
        }
    }

    /// Waits for room for the values of a JSON body.
    ///
    /// # Errors
    /// 413 when they need more than one may take, 503 when there is none in time.
    pub(crate) async fn for_values(&self, body: &[u8], taken: &mut Taken) -> Result<(), Problem> {
        let weight = weight_of_json(body);
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
        let text = text.to_owned();
        let work = move || {
            // The work goes on when its peer goes away, and so it keeps its place.
            let _place = place;
            work(text)
        };
        let done = match heavy {
            true => self.lane.run(work).await,
            false => spawn_blocking(work).await.ok(),
        };
        done.ok_or_else(Problem::internal)
    }
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
    proven: bool,
    _values: Option<OwnedSemaphorePermit>,
}

impl Taken {
    /// More bytes of the body are here.
    ///
    /// # Errors
    /// 503 when there is no room for them.
    pub(crate) fn more(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes += bytes;
        let all = self.shelf.all.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let unproven = if self.proven {
            0
        } else {
            self.shelf.unproven.fetch_add(bytes, Ordering::Relaxed) + bytes
        };
        let most = if self.bytes <= SMALL {
            BYTES + BYTES_SMALL
        } else {
            BYTES
        };
        if all > most || unproven > BYTES_UNPROVEN {
            return Err(full());
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.shelf.all.fetch_sub(self.bytes, Ordering::Relaxed);
        if !self.proven {
            self.shelf.unproven.fetch_sub(self.bytes, Ordering::Relaxed);
        }
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

/// What the values of a JSON text take in memory, in bytes, as an upper estimate: a small object is a node of a tree
/// with room for eleven entries, a list grows by doubling, each text is an allocation of its own, and what is wrong is
/// copied into messages.
fn weight_of_json(text: &[u8]) -> usize {
    let (mut weight, mut in_text, mut escaped) = (TEXT * text.len(), false, false);
    for byte in text {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        weight += match byte {
            b'"' => {
                in_text = true;
                32
            }
            b'{' => 640,
            b'[' => 128,
            b':' => 64,
            b',' => 64,
            _ => 0,
        };
    }
    weight
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
    use super::*;

    fn status<T>(taken: Result<T, Problem>) -> Option<u16> {
        taken.err().map(|problem| problem.status.as_u16())
    }

    #[test]
    fn bytes_are_counted_together_and_given_back() {
        let room = Room::default();
        let mut first = room.for_body(true);
        assert_eq!(status(first.more(BYTES)), None);
        let mut second = room.for_body(true);
        assert_eq!(status(second.more(SMALL)), None, "a small one finds room");
        assert_eq!(status(second.more(1)), Some(503), "and is none any more");
        drop((first, second));
        assert_eq!(status(room.for_body(true).more(BYTES)), None);
    }

    #[test]
    fn who_has_proven_nothing_keeps_nobody_out_who_has() {
        let room = Room::default();
        let mut stranger = room.for_body(false);
        assert_eq!(status(stranger.more(BYTES_UNPROVEN)), None);
        assert_eq!(status(room.for_body(false).more(1)), Some(503));
        assert_eq!(
            status(room.for_body(true).more(BYTES - BYTES_UNPROVEN)),
            None
        );
    }

    #[tokio::test(start_paused = true)]
    async fn values_wait_for_room_and_not_for_ever() {
        let room = Room::default();
        let body = vec![b','; VALUES_MAX / 68];
        let mut first = room.for_body(true);
        assert_eq!(status(room.for_values(&body, &mut first).await), None);
        let mut second = room.for_body(true);
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
        assert!(weight_of_json(body.as_bytes()) < VALUES_MAX);
    }

    #[test]
    fn marks_in_texts_weigh_nothing() {
        let plain = weight_of_json(br#"{"a":"x"}"#);
        assert_eq!(weight_of_json(br#"{"a":"{[,\",{"}"#), plain + 6 * TEXT);
        assert!(weight_of_json(br#"[{"":0},{"":0}]"#) > 2 * 640);
    }
}
