//! Definitions and policies, in Kine or etcd.
//!
//! Kine knows three transactions, each on one key and in one form: create what is not there, replace and delete what is at
//! a revision. They are all that is used, so that both do.
//!
//! One watch follows all keys of the installation; it feeds a bounded `History`, from which every watcher in this process
//! reads. Where the watch was interrupted for so long that the server has forgotten what happened meanwhile, watchers
//! are told of a gap and list again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::id::Nonce;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use super::etcd::compare::{Target, TargetUnion};
use super::etcd::event::EventType;
use super::etcd::kv_client::KvClient;
use super::etcd::request_op::Request;
use super::etcd::watch_client::WatchClient;
use super::etcd::watch_request::RequestUnion;
use super::etcd::{
    Compare, DeleteRangeRequest, Event, KeyValue, PutRequest, RangeRequest, RequestOp,
    ResponseHeader, TxnRequest, WatchCreateRequest, WatchRequest, WatchResponse,
};
use super::{SHARDS_MAX, unavailable};
use crate::Error;
use crate::history::History;
use crate::port::{Change, Expect, Item, Registry};

/// So long a call may take before it is not known whether it happened.
const CALL: Duration = Duration::from_secs(5);
/// So long after a watch broke it is begun again.
const PAUSE: Duration = Duration::from_millis(500);
/// A connection that says nothing is asked so often whether it is alive.
const PING: Duration = Duration::from_secs(10);
/// One message of a watch may hold the changes of many keys.
const MESSAGE_MAX: usize = 64 * 1024 * 1024;

/// Where the registry is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses of the servers, as `http://host:port`.
    pub endpoints: Vec<String>,
    /// What all keys of the installation begin with, as `/mirastack/`.
    pub root: String,
}

/// The registry on Kine or etcd.
pub struct Definitions {
    kv: KvClient<Channel>,
    root: String,
    history: Arc<History>,
    /// Ends with it.
    _follower: JoinSet<()>,
}

impl Definitions {
    /// Connects, and follows what changes from now on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no server answers.
    pub async fn open(options: &Options) -> Result<Self, Error> {
        let channel = Channel::balance_list(endpoints(options)?.into_iter());
        let kv = KvClient::new(channel.clone()).max_decoding_message_size(MESSAGE_MAX);
        let root = options.root.clone();
        let since = newest(&kv, &root).await?;
        let history = Arc::new(History::new(since));
        let follower = Follower {
            watch: WatchClient::new(channel).max_decoding_message_size(MESSAGE_MAX),
            root: root.clone(),
            history: Arc::clone(&history),
            newest: since,
        };
        let mut following = JoinSet::new();
        following.spawn(follower.run());
        Ok(Self {
            kv,
            root,
            history,
            _follower: following,
        })
    }

    /// How many shards the installation has: whoever came first has set it. It stands beside what the installation keeps.
    pub(super) async fn shards(&self, new: u16) -> Result<u16, Error> {
        let key = format!("{}.shards", self.root.trim_end_matches('/')).into_bytes();
        let put = Request::RequestPut(PutRequest {
            key: key.clone(),
            value: new.to_string().into_bytes(),
        });
        match self.change(key.clone(), 0, put).await {
            Ok(_) => return Ok(new),
            Err(Error::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
        let found = in_time(self.kv.clone().range(one(key))).await?.kvs.pop();
        let text = found.and_then(|found| String::from_utf8(found.value).ok());
        let number = text.and_then(|text| text.parse().ok());
        let number = number.filter(|number| (1..=SHARDS_MAX).contains(number));
        number.ok_or_else(|| Error::Corrupt("the registry's number of shards is none".to_owned()))
    }

    /// Makes a key beside what the installation keeps, and removes it: whether anything can be stored.
    pub(super) async fn tried(&self, by: Nonce) -> Result<(), Error> {
        let key = format!("{}.tried.{by}", self.root.trim_end_matches('/')).into_bytes();
        let value = Vec::new();
        let put = Request::RequestPut(PutRequest {
            key: key.clone(),
            value,
        });
        let made = self.change(key.clone(), 0, put).await?;
        let delete = Request::RequestDeleteRange(DeleteRangeRequest { key: key.clone() });
        self.change(key, made, delete).await.map(drop)
    }

    fn key(&self, key: &str) -> Vec<u8> {
        [self.root.as_bytes(), key.as_bytes()].concat()
    }

    async fn range(&self, request: RangeRequest) -> Result<Vec<Item>, Error> {
        let found = in_time(self.kv.clone().range(request)).await?;
        let items = found.kvs.into_iter();
        Ok(items.filter_map(|found| item(&self.root, found)).collect())
    }

    /// Does `then` if the key is at the revision, and answers its own. At 0 it is not there.
    async fn change(&self, key: Vec<u8>, revision: u64, then: Request) -> Result<u64, Error> {
        // Kine creates in a transaction without an `else`, and changes in one that reads there.
        let read = Request::RequestRange(one(key.clone()));
        let otherwise = (revision > 0).then(|| read.into());
        let txn = TxnRequest {
            compare: vec![at(key, revision)],
            success: vec![then.into()],
            failure: otherwise.into_iter().collect(),
        };
        let answer = in_time(self.kv.clone().txn(txn)).await?;
        if !answer.succeeded {
            return Err(Error::Conflict("it was changed meanwhile".to_owned()));
        }
        revision_of(answer.header)
    }
}

fn endpoints(options: &Options) -> Result<Vec<Endpoint>, Error> {
    let each = options.endpoints.iter().map(|address| {
        let endpoint = Endpoint::from_shared(address.clone()).map_err(unavailable)?;
        Ok(endpoint
            .connect_timeout(CALL)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(CALL)
            .keep_alive_while_idle(true))
    });
    each.collect()
}

/// The newest revision of the server.
async fn newest(kv: &KvClient<Channel>, root: &str) -> Result<u64, Error> {
    let found = in_time(kv.clone().range(one(root.into()))).await?;
    revision_of(found.header)
}

/// The answer to a call.
pub(super) async fn in_time<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Error> {
    match timeout(CALL, call).await {
        Ok(answer) => Ok(answer.map_err(unavailable)?.into_inner()),
        Err(late) => Err(unavailable(format_args!("the registry's server: {late}"))),
    }
}

fn revision_of(header: Option<ResponseHeader>) -> Result<u64, Error> {
    let revision = header.and_then(|header| counted(header.revision));
    revision.ok_or_else(|| unavailable("the registry's server names no revision"))
}

/// A revision as we count it. Servers use no negative ones.
fn counted(revision: i64) -> Option<u64> {
    u64::try_from(revision).ok()
}

/// A revision as servers count it. None is ever at the largest number.
fn wire(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// What stands under a key, unless the key is none of ours: somebody else's must not hide what is.
fn item(root: &str, found: KeyValue) -> Option<Item> {
    let key = std::str::from_utf8(&found.key).ok();
    let key = key.and_then(|key| key.strip_prefix(root));
    let (Some(key), Some(revision)) = (key, counted(found.mod_revision)) else {
        let key = String::from_utf8_lossy(&found.key);
        tracing::warn!(%key, "a key of the registry is none of ours and is passed over");
        return None;
    };
    Some(Item {
        key: key.to_owned(),
        value: found.value,
        revision,
    })
}

/// The question for one key.
fn one(key: Vec<u8>) -> RangeRequest {
    RangeRequest {
        key,
        ..RangeRequest::default()
    }
}

/// The condition that a key is at a revision.
fn at(key: Vec<u8>, revision: u64) -> Compare {
    let mut compare = Compare {
        key,
        target_union: Some(TargetUnion::ModRevision(wire(revision))),
        ..Compare::default()
    };
    compare.set_target(Target::Mod);
    compare
}

/// The first key that does not begin with `prefix`, and that all keys with it stand before.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Every key stands before it.
    vec![0]
}

impl From<Request> for RequestOp {
    fn from(request: Request) -> Self {
        Self {
            request: Some(request),
        }
    }
}

#[async_trait]
impl Registry for Definitions {
    async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        Ok(self.range(one(self.key(key))).await?.pop())
    }

    async fn list(&self, prefix: &str, after: &str, max: usize) -> Result<Vec<Item>, Error> {
        // The first key after another is the same with a zero behind it.
        let from = if after < prefix {
            self.key(prefix)
        } else {
            [self.key(after), vec![0]].concat()
        };
        let range = RangeRequest {
            key: from,
            range_end: behind(&self.key(prefix)),
            limit: i64::try_from(max).unwrap_or(i64::MAX),
        };
        self.range(range).await
    }

    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, Error> {
        let key = self.key(key);
        let put = Request::RequestPut(PutRequest {
            key: key.clone(),
            value: value.to_vec(),
        });
        let revision = match expect {
            Expect::Absent => 0,
            Expect::Revision(revision) => revision,
        };
        self.change(key, revision, put).await
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<(), Error> {
        let key = self.key(key);
        let delete = Request::RequestDeleteRange(DeleteRangeRequest { key: key.clone() });
        self.change(key, revision, delete).await.map(drop)
    }

    async fn watch(&self, prefix: &str, revision: u64) -> Result<Vec<Change>, Error> {
        Ok(self.history.wait(prefix, revision).await)
    }
}

/// Tells the history what changes.
struct Follower {
    watch: WatchClient<Channel>,
    root: String,
    history: Arc<History>,
    /// What happened up to here was told.
    newest: u64,
}

impl Follower {
    async fn run(mut self) {
        loop {
            if let Err(error) = self.follow().await {
                tracing::warn!(%error, "the registry is not followed; it is tried again");
            }
            sleep(PAUSE).await;
        }
    }

    /// Follows until the watch breaks.
    async fn follow(&mut self) -> Result<(), Error> {
        let create = WatchCreateRequest {
            key: self.root.clone().into_bytes(),
            range_end: behind(self.root.as_bytes()),
            start_revision: wire(self.newest + 1),
            progress_notify: true,
        };
        let create = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        // The watch lasts as long as more could be asked.
        let (asks, asked) = mpsc::channel(1);
        asks.send(create).await.map_err(unavailable)?;
        let mut changes = in_time(self.watch.watch(ReceiverStream::new(asked))).await?;
        while let Some(message) = changes.message().await.map_err(unavailable)? {
            self.hear(message)?;
        }
        drop(asks);
        Ok(())
    }

    fn hear(&mut self, message: WatchResponse) -> Result<(), Error> {
        if let Some(compacted) = counted(message.compact_revision).filter(|at| *at > 0) {
            self.newest = self.newest.max(compacted);
            self.history.forget(self.newest);
        }
        if message.canceled {
            return Err(unavailable(message.cancel_reason));
        }
        for event in message.events {
            let Some((change, revision)) = self.change(event) else {
                continue;
            };
            // What is sent again after an interruption was told.
            if revision > self.newest {
                self.newest = revision;
                self.history.tell(change);
            }
        }
        Ok(())
    }

    fn change(&self, event: Event) -> Option<(Change, u64)> {
        let kind = event.r#type();
        let item = item(&self.root, event.kv?)?;
        let revision = item.revision;
        let change = match kind {
            EventType::Put => Change::Put(item),
            EventType::Delete => Change::Deleted {
                key: item.key,
                revision,
            },
        };
        Some((change, revision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(key: &[u8], mod_revision: i64) -> KeyValue {
        KeyValue {
            key: key.to_vec(),
            mod_revision,
            value: b"v".to_vec(),
        }
    }

    #[test]
    fn a_key_that_is_none_of_ours_is_passed_over() {
        let ours = item("/m/", found(b"/m/hooks/a", 7)).expect("it is ours");
        assert_eq!((ours.key.as_str(), ours.revision), ("hooks/a", 7));
        for foreign in [found(b"/m/\xff", 7), found(b"/n/a", 7), found(b"/m/a", -1)] {
            assert_eq!(item("/m/", foreign), None);
        }
    }

    #[test]
    fn what_stands_behind_a_prefix_is_the_next_that_does_not_begin_with_it() {
        assert_eq!(behind(b"/m/"), b"/m0");
        assert_eq!(behind(b"a\xff"), b"b");
        assert_eq!(behind(b"\xff"), b"\0");
    }
}
