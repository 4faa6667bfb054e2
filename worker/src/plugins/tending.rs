//! Looking after the instances that registered themselves, until each is gone.
//!
//! Each is called over one connection that never reconnects. Once that is closed, or nothing was heard of the instance
//! for its lease, it is gone; should it live, its next heartbeat is answered with the wish that it registers again.

use std::sync::Arc;
use std::time::Duration;

use engine::id::Tenant;
use engine::registry::Health;
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use proto::wire::Form;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{info, warn};

use super::remotes::Remote;
use super::{Common, notice, remote};
use crate::config;

/// How often the registry is told of it in one lease.
const RENEWALS: u32 = 3;
/// What it has not taken or not said is tried again after so long, then after twice that, and so on up to the longest.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Looks after all of them. Never ends.
pub(super) async fn tend(common: &Common) {
    let mut lives = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            remote = common.remotes.next() => lives.push(live(common, remote)),
            Some(()) = lives.next() => {}
        }
    }
}

/// The worker ends: none of them is its own any more.
pub(super) async fn leave(common: &Common) {
    for remote in common.remotes.all() {
        common.remotes.remove(&remote);
        let said = remote.notice().clone();
        notice::remove(common, &remote.launch().tenant, &said).await;
    }
}

/// From its registration until it is gone.
async fn live(common: &Common, remote: Arc<Remote>) {
    let why = watch(common, &remote).await;
    common.remotes.remove(&remote);
    let launch = remote.launch();
    info!(agent = launch.name, instance = remote.id, why, "gone");
    if common.remotes.find(&launch.name, &remote.id).is_none() {
        let said = remote.notice().clone();
        notice::remove(common, &launch.tenant, &said).await;
    }
}

async fn watch(common: &Common, remote: &Arc<Remote>) -> &'static str {
    let lease = config::time(common.config.remote.lease);
    let instance = &remote.instance;
    let gone = async {
        tokio::select! {
            biased;
            () = remote.left.cancelled() => "it left",
            () = instance.client.closed() => "its connection is closed",
            () = remote.silent(lease) => "nothing was heard of it",
        }
    };
    tokio::select! {
        biased;
        why = gone => why,
        // By itself: what is asked of the instance may take longer than its lease.
        () = renew(common, remote, lease) => "nobody looks after it",
        () = look(common, remote) => "nobody looks after it",
    }
}

/// Tells the registry that it is there, and what is new about it.
async fn renew(common: &Common, remote: &Remote, lease: Duration) {
    let mut renew = interval(lease / RENEWALS);
    renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = renew.tick() => {}
            () = remote.news.notified() => {}
        }
        write(common, remote).await;
    }
}

/// Asks it how it is, gives it its settings when they change, and comes back to what it did not take or say.
async fn look(common: &Common, remote: &Arc<Remote>) {
    let mut health = interval(config::time(common.config.health));
    health.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut wait = AGAIN_MIN;
    let mut again = (!remote.is_known).then(|| Instant::now() + wait);
    loop {
        let retry = async {
            match again {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let catch_up = tokio::select! {
            biased;
            () = remote.instance.settings_changed.notified() => true,
            () = retry => true,
            _ = health.tick() => false,
        };
        if catch_up {
            again = (!caught_up(common, remote).await).then(|| Instant::now() + wait);
            wait = if again.is_some() {
                AGAIN_MAX.min(wait * 2)
            } else {
                AGAIN_MIN
            };
        }
        ask(common, remote).await;
    }
}

/// Whether it has its settings, and has said what it can do.
async fn caught_up(common: &Common, remote: &Arc<Remote>) -> bool {
    let pushed = remote.instance.push(common).await;
    if let Err(why) = &pushed {
        let agent = &remote.launch().name;
        warn!(agent, why, "settings could not be given");
    }
    // One that says it now is there anew, and somebody else looks after it from then on.
    pushed.is_ok() && (remote.is_known || remote::ask_again(common, remote).await)
}

/// Asks how it is, and has it written down when it is news.
async fn ask(common: &Common, remote: &Remote) {
    // Those of the JSON form read their settings anew then, and some drop what they are doing for it.
    if remote.instance.client.form() != Form::Protobuf && remote.instance.rank().1 > 0 {
        return;
    }
    let health = remote.instance.health(common).await;
    let known = remote.notice().health.replace(health.clone());
    if known.is_none_or(|k| (k.ok, k.message) != (health.ok, health.message)) {
        remote.news.notify_one();
    }
}

/// How the instances of an agent are: the first that is not well, or any.
///
/// # Errors
/// Why nobody can say, in words for people.
pub(super) async fn health(common: &Common, tenant: &Tenant, name: &str) -> Result<Health, String> {
    let remotes = common.remotes.of(tenant, Some(name));
    if remotes.is_empty() {
        return Err(format!("no instance of the agent {name} is registered now"));
    }
    join_all(remotes.iter().map(|remote| ask(common, remote))).await;
    let said = remotes
        .iter()
        .filter_map(|remote| remote.notice().health.clone());
    let worst = said.min_by_key(|health| health.ok);
    worst.ok_or_else(|| format!("the agent {name} is busy, and was not asked yet"))
}

async fn write(common: &Common, remote: &Remote) {
    let said = {
        let mut notice = remote.notice();
        let quiet = u64::try_from(remote.last_heard().elapsed().as_millis()).unwrap_or(u64::MAX);
        let left = common.config.remote.lease.millis().saturating_sub(quiet);
        let left = engine::duration::Duration::from_millis(left);
        notice.expires_at = Some(common.ports.clock.now().plus(left));
        notice.clone()
    };
    if let Err(error) = notice::put(common, &remote.launch().tenant, &said).await {
        warn!(agent = said.agent, %error, "the state of a plugin was not written down");
    }
}
