//! What the proxy has seen, and the gates that are armed.

use super::gate::{Armed, Gate, Held, Stage, Verdict};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Bytes;
use std::fmt;
use std::sync::Mutex;
use tokio::sync::oneshot;

/// A request as far as it has come.
#[derive(Clone, Debug)]
pub struct Seen {
    /// From 0, in the order of arrival.
    pub number: usize,
    /// Its method.
    pub method: Method,
    /// Its path, without the query.
    pub path: String,
    /// Its query, as sent.
    pub query: Option<String>,
    /// Its headers, as sent.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
    /// It was handed to the server behind, which may have carried it out.
    pub forwarded: bool,
    /// What the server behind answered; 502 if it could not be reached.
    pub status: Option<StatusCode>,
}

impl Seen {
    /// Whether it has this method and path.
    #[must_use]
    pub fn is(&self, method: &Method, path: &str) -> bool {
        self.method == method && self.path == path
    }

    /// Its body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[derive(Default)]
pub(super) struct Book {
    seen: Mutex<Vec<Seen>>,
    gates: Mutex<Vec<Armed>>,
}

impl Book {
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect(NOT_POISONED).clone()
    }

    pub(super) fn arrived(&self, request: &Request<Bytes>) -> usize {
        let mut seen = self.seen.lock().expect(NOT_POISONED);
        let number = seen.len();
        seen.push(Seen {
            number,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            headers: request.headers().clone(),
            body: request.body().clone(),
            forwarded: false,
            status: None,
        });
        number
    }

    pub(super) fn forwarded(&self, number: usize) {
        self.seen.lock().expect(NOT_POISONED)[number].forwarded = true;
    }

    pub(super) fn answered(&self, number: usize, status: StatusCode) {
        self.seen.lock().expect(NOT_POISONED)[number].status = Some(status);
    }

    pub(super) fn arm(&self, stage: Stage, such: impl Fn(&Seen) -> bool + Send + 'static) -> Gate {
        let (armed, gate) = Armed::new(stage, such);
        self.gates.lock().expect(NOT_POISONED).push(armed);
        gate
    }

    /// Waits while a gate holds this request here.
    pub(super) async fn held(&self, stage: Stage, number: usize) -> Verdict {
        let seen = self.seen.lock().expect(NOT_POISONED)[number].clone();
        let (decide, decided) = oneshot::channel();
        let holds = self
            .take(stage, &seen)
            .is_some_and(|gate| gate.hold(Held::new(seen, decide)));
        if !holds {
            return Verdict::Pass;
        }
        decided.await.unwrap_or(Verdict::Pass)
    }

    /// The first gate that is waiting for it; a gate holds one request.
    fn take(&self, stage: Stage, seen: &Seen) -> Option<Armed> {
        let mut gates = self.gates.lock().expect(NOT_POISONED);
        gates.retain(Armed::is_watched);
        let index = gates.iter().position(|gate| gate.wants(stage, seen))?;
        Some(gates.remove(index))
    }
}

const NOT_POISONED: &str =
    "nothing panics under this lock but a test's own closure, and then the test has failed";

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
