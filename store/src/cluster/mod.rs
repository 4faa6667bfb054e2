//! Everything on servers that many processes share. Only this module knows which ones they are.
//!
//! Start reading at [`open`].

mod answers;
mod archive;
mod blobs;
pub mod broker;
mod check;
mod ended;
mod history;
mod inbox;
mod jobs;
mod journal;
mod keys;
mod live;
pub mod memory;
mod reading;
mod record;
pub mod registry;
mod view;

#[expect(
    unreachable_pub,
    clippy::enum_variant_names,
    reason = "generated from store/proto/etcd.proto, which holds the documentation"
)]
mod etcd {
    tonic::include_proto!("etcdserverpb");
}

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use async_nats::jetstream::stream::{Config, Stream};
use engine::id::{RunKey, Shard, Tenant};

use self::archive::Archived;
use self::blobs::{Parts, Values};
use self::broker::Broker;
pub use self::check::{Finding, Verdict, check};
use self::history::History;
use self::inbox::Inboxes;
use self::jobs::Queues;
use self::journal::Journals;
use self::keys::Keys;
use self::live::Watch;
use self::memory::Cache;
use self::registry::Definitions;
use self::view::{Lists, NoLists};
use crate::clock::{Clock, Random};
use crate::{Backend, Error, Views};

/// Where everything is.
pub struct Options {
    /// NATS, and what is ours there.
    pub broker: broker::Options,
    /// Over how many shards the runs of a new installation are spread: 1 to 64.
    pub shards: u16,
    /// Kine or etcd.
    pub registry: registry::Options,
    /// Valkey.
    pub memory: memory::Options,
    /// The file of this process's lists; `None` where it shows none.
    pub lists: Option<PathBuf>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids and nonces come from.
    pub random: Arc<dyn Random>,
}

/// An installation.
pub struct Cluster {
    /// Its ports.
    pub backend: Backend,
    /// How many shards it has.
    pub shards: u16,
}

/// Connects to all servers. A scheduler makes what is not there yet, the others wait for that.
///
/// # Errors
/// [`Error::Unavailable`] when a server does not answer, or something there is not as it must be; with what and why.
pub async fn open(options: &Options) -> Result<Cluster, Error> {
    let (clock, random) = (Arc::clone(&options.clock), Arc::clone(&options.random));
    let registry = Definitions::open(&options.registry).await?;
    let shards = registry.shards(options.shards).await?;
    let broker = Broker::connect(&options.broker).await?;
    broker.made(&Inboxes::configs(&broker, shards)).await?;
    let journals = Journals::open(&broker, shards, Arc::clone(&clock)).await?;
    let journals = Arc::new(journals);
    let keys = Keys::open(&broker, Arc::clone(&clock), Arc::clone(&random)).await?;
    let watch = Watch::open(&broker, options.lists.is_some()).await?;
    let views: Arc<dyn Views> = match &options.lists {
        Some(file) => Arc::new(Lists::open(&broker, &journals, &watch, file).await?),
        None => Arc::new(NoLists::of(&broker, &journals)),
    };
    let jobs = Arc::new(Queues::open(&broker, Arc::clone(&random)).await?);
    // Last: whoever waits for the streams waits for these.
    let inbox = Arc::new(Inboxes::open(&broker, shards).await?);
    let backend = Backend {
        archive: Arc::new(Archived::of(Arc::clone(&journals), Arc::clone(&clock))),
        keys: Arc::new(keys),
        inbox,
        jobs,
        registry: Arc::new(registry),
        memory: Arc::new(Cache::open(&options.memory).await?),
        blobs: Arc::new(Values::of(Arc::clone(&journals))),
        views,
        live: Arc::new(watch),
        journal: journals,
        clock,
        random,
    };
    Ok(Cluster { backend, shards })
}

/// No installation has more.
const SHARDS_MAX: u16 = 64;

/// How all streams of an installation of so many shards must be.
fn configs(broker: &Broker, shards: u16) -> Vec<Config> {
    let mut all = Journals::configs(broker, shards);
    all.extend(History::configs(broker));
    all.push(Parts::config(broker));
    all.extend(Keys::configs(broker));
    all.extend(Inboxes::configs(broker, shards));
    all.push(Queues::config(broker));
    all
}

/// Whether it happened is not known.
fn unavailable(why: impl Display) -> Error {
    Error::Unavailable(why.to_string())
}

/// What the subjects of this kind begin with in a shard.
fn of_shard(broker: &Broker, kind: &str, shard: Shard) -> String {
    format!("{}.{kind}.{:02}", broker.name, shard.0)
}

/// The shard's own of these streams.
fn shard_of(streams: &[Stream], shard: Shard) -> Result<&Stream, Error> {
    let stream = streams.get(usize::from(shard.0));
    stream.ok_or_else(|| unavailable(format_args!("there is no shard {}", shard.0)))
}

/// The run that the last two tokens of a subject name.
fn run_of(subject: &str) -> Option<RunKey> {
    let mut tokens = subject.rsplitn(3, '.');
    let (run, tenant) = (tokens.next()?.parse().ok()?, tokens.next()?);
    let tenant = Tenant::new(tenant)?;
    Some(RunKey { tenant, run })
}
