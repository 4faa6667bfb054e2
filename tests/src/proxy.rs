//! The judge: an HTTP proxy that writes down every request and can hold one at three points of its way.
//!
//! It is our own, because it must do what no proxy does: keep a request that has arrived while the sender is killed,
//! let it travel on after the sender is dead, and swallow the answer of a request that was carried out. Each request
//! gets a connection of its own to the server behind, and none is ever sent twice.

mod book;
mod gate;
mod handover;

pub use book::Seen;
pub use gate::{Gate, Held, Stage};

use anyhow::Result;
use book::Book;
use gate::Verdict;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

/// Forwards to one server until it is dropped.
#[derive(Debug)]
pub struct CountingProxy {
    address: SocketAddr,
    book: Arc<Book>,
    _accepting: JoinSet<()>,
}

impl CountingProxy {
    /// Starts it in front of the server at this address, which need not listen yet.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let book = Arc::new(Book::default());
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build_http();
        let way = Way {
            server,
            client,
            book: Arc::clone(&book),
            exchanges: TaskTracker::new(),
        };
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, way));
        Ok(Self {
            address,
            book,
            _accepting: accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as agents are told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, in the order of arrival, as far as it has come.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.book.seen()
    }

    /// How many of them are such.
    #[must_use]
    pub fn count(&self, such: impl Fn(&Seen) -> bool) -> usize {
        self.seen().iter().filter(|seen| such(seen)).count()
    }

    /// Holds the next request that is such when it comes to this stage.
    #[must_use = "a gate that is dropped lets everything pass"]
    pub fn hold(&self, stage: Stage, such: impl Fn(&Seen) -> bool + Send + 'static) -> Gate {
        self.book.arm(stage, such)
    }
}

/// What a connection needs to pass requests on.
#[derive(Clone)]
struct Way {
    server: SocketAddr,
    client: Client<HttpConnector, handover::Body>,
    book: Arc<Book>,
    /// The exchanges live longer than the connections of those who asked for them.
    exchanges: TaskTracker,
}

async fn accept(listener: TcpListener, way: Way) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("a bound listener accepts");
                connections.spawn(serve(stream, way.clone()));
            }
        }
    }
}

async fn serve(stream: TcpStream, way: Way) {
    let service = service_fn(move |request| answer(request, way.clone()));
    let connection = hyper::server::conn::http1::Builder::new();
    // Its error is that of the sender, who went away or whose answer was cut.
    let _ = connection
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Makes hyper close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut")]
struct Cut;

type Answer = Response<Full<Bytes>>;

/// Runs the exchange beside the connection: when the sender dies, hyper drops this future and not that task.
async fn answer(request: Request<Incoming>, way: Way) -> Result<Answer, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let (tell, told) = oneshot::channel();
    let exchanges = way.exchanges.clone();
    exchanges.spawn(async move {
        // Nobody may be there any more.
        let _ = tell.send(exchange(Request::from_parts(head, body), &way).await);
    });
    told.await.ok().flatten().ok_or(Cut)
}

/// One request on its way; nothing if it or its answer was cut.
async fn exchange(request: Request<Bytes>, way: &Way) -> Option<Answer> {
    let book = &way.book;
    let number = book.arrived(&request);
    pass(book, Stage::Arrived, number).await?;
    let (request, handed_over) = handover::request(onward(request, way.server));
    let forward = async {
        let answer = way.client.request(request).await?;
        let (head, body) = answer.into_parts();
        anyhow::Ok((head, body.collect().await?.to_bytes()))
    };
    let hold = async {
        handed_over.await;
        book.forwarded(number);
        book.held(Stage::Forwarded, number).await
    };
    let (answer, verdict) = tokio::join!(forward, hold);
    let answer = match answer {
        Ok((head, body)) => Response::from_parts(plain(head), Full::new(body)),
        Err(error) => unreachable_server(&error),
    };
    book.answered(number, answer.status());
    if verdict == Verdict::Cut {
        return None;
    }
    pass(book, Stage::Answered, number).await?;
    Some(answer)
}

async fn pass(book: &Book, stage: Stage, number: usize) -> Option<()> {
    match book.held(stage, number).await {
        Verdict::Pass => Some(()),
        Verdict::Cut => None,
    }
}

fn onward(request: Request<Bytes>, server: SocketAddr) -> Request<Bytes> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder()
        .scheme("http")
        .authority(server.to_string())
        .path_and_query(path);
    head.uri = uri
        .build()
        .expect("its parts come from a URI and an address");
    head.headers.remove(CONNECTION);
    head.headers.remove(TRANSFER_ENCODING); // the body is whole now and has a length
    Request::from_parts(head, body)
}

fn plain(mut head: http::response::Parts) -> http::response::Parts {
    head.headers.remove(CONNECTION);
    head.headers.remove(TRANSFER_ENCODING);
    head
}

fn unreachable_server(error: &anyhow::Error) -> Answer {
    let mut answer = Response::new(Full::from(format!(
        "no answer from behind the proxy: {error:#}\n"
    )));
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer
}
