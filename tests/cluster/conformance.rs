//! Each world is an installation of its own on the same servers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::jetstream;
use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use mirastack_tests::shared::Which;
use store::Backend;
use store::clock::Random as _;
use store::cluster::Options;
use store::conformance::broken::every_defect;
use store::conformance::{
    CountingRandom, Damage, HandClock, Hands, World, check, check_of, every_case,
};
use tempfile::TempDir;

use crate::ground::{Servers, process};
use crate::rights::connect;

/// So many defects are tried at the same time.
const AT_ONCE: usize = 8;

#[tokio::test]
async fn nats_kine_and_valkey_keep_every_promise() {
    let servers = Servers::start(Which::Kine).await;
    let worlds = AtomicUsize::default();
    check(async || world(&servers, &worlds).await).await;
}

#[tokio::test]
async fn etcd_keeps_the_promises_of_a_registry() {
    let servers = Servers::start(Which::Etcd).await;
    let worlds = AtomicUsize::default();
    check_of(&["::registry"], async || world(&servers, &worlds).await).await;
}

/// What comes in one part and what in two is the servers' affair, and may hide a defect for once.
const TRIES: usize = 3;

/// What the broker's files say is its own affair: it has a checksum for each message.
const DAMAGE: &str =
    "nobody can damage a message inside of the broker; what is missing there: `trouble`";

/// What a wrapper would publish is not listened to.
const TOLD: &str = "records are told by the stream that keeps them, and by nothing else";

/// Defects that no case can see here, and why.
const NOT_HERE: [(&str, &str, &str); 11] = [
    ("a_damaged_record_is_not_read", "ReadsOverDamage", DAMAGE),
    ("a_missing_record_is_noticed", "ReadsOverGaps", DAMAGE),
    (
        "a_missing_record_is_noticed_at_the_start",
        "StartsOverGaps",
        DAMAGE,
    ),
    (
        "a_damaged_head_is_noticed_at_the_start",
        "StartsOverDamage",
        DAMAGE,
    ),
    ("damage_harms_no_other_run", "GivesUpOnDamage", DAMAGE),
    (
        "a_damaged_archived_run_is_not_read",
        "ReadsDamagedArchives",
        DAMAGE,
    ),
    (
        "a_damaged_ended_run_keeps_no_other_from_the_archive",
        "StopsAtDamage",
        DAMAGE,
    ),
    ("a_damaged_blob_is_not_read", "ReadsOverDamage", DAMAGE),
    (
        "a_record_is_stored_before_it_is_told",
        "TellsBeforeItStores",
        TOLD,
    ),
    ("a_refused_record_is_not_told", "TellsWhatIsRefused", TOLD),
    (
        "a_sweep_takes_expired_keys_only",
        "SweepsEverything",
        "nothing is swept: the broker forgets expired keys by itself",
    ),
];

/// Where the case is the only thing that stands between a defect and the field.
#[tokio::test]
async fn each_promise_that_is_broken_on_servers_is_found_by_its_case() {
    let servers = Servers::start(Which::Kine).await;
    let worlds = AtomicUsize::default();
    let cases = every_case();
    let tried = stream::iter(every_defect()).map(async |defect| {
        let case = cases.iter().find(|case| case.name == defect.case);
        let case = case.expect("the embedded backend's test looks for it");
        for _ in 0..TRIES {
            let world = world(&servers, &worlds).await.wrapped(defect.wrap);
            if case.run(world).await.is_err() {
                return None;
            }
            if NOT_HERE.iter().any(|(case, ..)| *case == defect.case) {
                break;
            }
        }
        Some((defect.case, defect.name))
    });
    let unnoticed: Vec<_> = tried
        .buffer_unordered(AT_ONCE)
        .filter_map(async |found| found)
        .collect()
        .await;
    let known: BTreeSet<_> = NOT_HERE
        .into_iter()
        .map(|(case, how, _)| (case, how))
        .collect();
    let unnoticed: BTreeSet<_> = unnoticed.into_iter().collect();
    assert_eq!(unnoticed, known);
}

async fn world(servers: &Servers, worlds: &AtomicUsize) -> World {
    let name = format!("world{}", worlds.fetch_add(1, Ordering::Relaxed));
    let clock = Arc::<HandClock>::default();
    let random = Arc::<CountingRandom>::default();
    let options = servers.options(
        &name,
        None,
        Arc::<HandClock>::clone(&clock),
        Arc::<CountingRandom>::clone(&random),
    );
    let mut hands = Ours {
        random,
        folder: TempDir::new().expect("a folder"),
        opened: 0,
        options,
        admin: jetstream::new(connect(servers, "admin").await),
    };
    let backend = hands.restart().await;
    World::new(backend, clock, Box::new(hands))
}

struct Ours {
    random: Arc<CountingRandom>,
    folder: TempDir,
    opened: usize,
    options: Options,
    admin: jetstream::Context,
}

#[async_trait(?Send)]
impl Hands for Ours {
    /// The servers live on; another process draws other numbers, and makes its lists anew.
    async fn restart(&mut self) -> Backend {
        self.random.bits();
        if self.opened > 0 {
            // A broker that starts again has lost what it had in memory alone.
            let name = format!("{}_STEPS", self.options.broker.name.to_uppercase());
            let lost = self.admin.delete_stream(name).await;
            lost.expect("the queue is there");
        }
        self.opened += 1;
        let file = format!("lists-{}.db", self.opened);
        self.options.lists = Some(self.folder.path().join(file));
        process(&self.options).await
    }

    fn damage(&mut self, _: &Damage) -> bool {
        false
    }
}
