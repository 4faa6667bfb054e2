//! NATS. How servers are set is told by the system's account, from which `deploy/nats/rights.conf` lets each role ask that
//! one thing.

mod judge;

use std::time::Duration;

use async_nats::StatusCode;
use async_nats::jetstream::stream::Info;
use bytes::Bytes;
use engine::time::Timestamp;
use futures::StreamExt as _;
use futures::future::join_all;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::{Finding, without_users};
use crate::clock::Clock;
use crate::cluster::broker::{self, Broker};
use crate::cluster::{SHARDS_MAX, configs};

/// Fixes of what loses messages are in it.
const VERSION: [u64; 3] = [2, 14, 4];
/// A message of ours and its headers are not larger.
const PAYLOAD: usize = 1024 * 1024;
/// More than that, and an owner would not know what is due.
const APART_MS: u64 = 1_000;
/// The queues may take so much.
const MEMORY: i64 = 64 * 1024 * 1024;
/// So long all servers have to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// So long others may take once as many have answered as must.
const OTHERS: Duration = Duration::from_millis(200);
/// So long whoever may ask too much waits for an answer: who may not gets none.
const TRIED_FOR: Duration = Duration::from_millis(500);
/// No role may ask that, and it changes nothing.
const FORBIDDEN: &str = "$JS.API.STREAM.NAMES";

/// What the servers say.
struct Reading {
    servers: Vec<Server>,
    /// Whether somebody without a password is let in.
    open: bool,
    payload: usize,
    /// Whether the user may do what no role needs.
    too_much: bool,
    replicas: usize,
    /// Streams that are not as they must be.
    differ: Vec<String>,
    /// Streams of which a server is behind or away.
    behind: Vec<String>,
    streams: usize,
}

/// What one server says of itself.
#[derive(Clone, Deserialize)]
struct Server {
    server: Named,
    data: Data,
    /// How far its clock is from ours.
    #[serde(skip)]
    apart_ms: u64,
}

#[derive(Clone, Deserialize)]
struct Named {
    name: String,
    ver: String,
    time: Timestamp,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Data {
    disabled: bool,
    memory: i64,
    storage: i64,
    config: Settings,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Settings {
    max_memory: i64,
    max_storage: i64,
    sync_always: bool,
}

pub(super) async fn check(options: &broker::Options, clock: &dyn Clock) -> Vec<Finding> {
    let broker = match Broker::connect(options).await {
        Ok(broker) => broker,
        Err(error) => {
            let mend = "start it, or correct --nats: its address, user and password";
            return vec![Finding::bad("nats.reachable", error.to_string(), mend)];
        }
    };
    let address = without_users(&options.servers);
    let mut all = vec![Finding::good("nats.reachable", address)];
    all.extend(read(&broker, options, clock).await.judged());
    all
}

async fn read(broker: &Broker, options: &broker::Options, clock: &dyn Clock) -> Reading {
    let info = broker.client.server_info();
    let (servers, too_much, (differ, behind, streams)) = tokio::join!(
        servers(broker, options.replicas, clock),
        may_too_much(broker),
        streams(broker),
    );
    Reading {
        servers,
        open: !info.auth_required,
        payload: info.max_payload,
        too_much,
        replicas: options.replicas,
        differ,
        behind,
        streams,
    }
}

/// What each server says; none where nobody may ask.
async fn servers(broker: &Broker, wanted: usize, clock: &dyn Clock) -> Vec<Server> {
    let to = broker.client.new_inbox();
    let Ok(mut answers) = broker.client.subscribe(to.clone()).await else {
        return Vec::new();
    };
    let ask = Bytes::from_static(br#"{"config":true}"#);
    let asked = "$SYS.REQ.SERVER.PING.JSZ";
    let asked = broker.client.publish_with_reply(asked, to, ask).await;
    let mut servers = Vec::new();
    let mut until = Instant::now() + ANSWER_WITHIN;
    while asked.is_ok()
        && let Ok(Some(answer)) = timeout_at(until, answers.next()).await
        && answer.status != Some(StatusCode::NO_RESPONDERS)
    {
        if let Ok(mut server) = serde_json::from_slice::<Server>(&answer.payload) {
            let (ours, its) = (clock.now(), server.server.time);
            server.apart_ms = ours.millis_since(its).max(its.millis_since(ours));
            servers.push(server);
        }
        if servers.len() >= wanted {
            until = until.min(Instant::now() + OTHERS);
        }
    }
    servers
}

async fn may_too_much(broker: &Broker) -> bool {
    let until = Instant::now() + TRIED_FOR;
    let ask = broker.client.request(FORBIDDEN, Bytes::new());
    matches!(timeout_at(until, ask).await, Ok(Ok(_)))
}

/// Streams that differ, streams that are behind, and how many there are.
async fn streams(broker: &Broker) -> (Vec<String>, Vec<String>, usize) {
    let wanted = configs(broker, SHARDS_MAX);
    let each =
        wanted.iter().map(
            async |config| match broker.context.get_stream(&config.name).await {
                Ok(found) => Ok(Some(found.cached_info().clone())),
                Err(error) if broker::is_absent(&error.kind()) => Ok(None),
                Err(error) => Err(format!("{} is not told: {error}", config.name)),
            },
        );
    let found: Vec<_> = match join_all(each).await.into_iter().collect() {
        Ok(found) => found,
        Err(why) => return (vec![why], Vec::new(), 0),
    };
    let (mut differ, mut behind, mut count) = (Vec::new(), Vec::new(), 0);
    for (is, wanted) in found.iter().zip(&wanted) {
        let Some(is) = is else { continue };
        count += 1;
        let differences = broker::differences(&is.config, wanted);
        differ.extend(differences.iter().map(|d| format!("{}: {d}", wanted.name)));
        behind.extend(late(is));
    }
    (differ, behind, count)
}

/// Where not every server has all of the stream.
fn late(info: &Info) -> Option<String> {
    let cluster = info.cluster.as_ref()?;
    let name = &info.config.name;
    if info.config.num_replicas > 1 && cluster.leader.is_none() {
        return Some(format!("{name} has no leader"));
    }
    let late = cluster.replicas.iter().find(|r| r.offline || !r.current)?;
    Some(format!("{name} at {}", late.name))
}
