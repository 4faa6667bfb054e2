//! What the registry says of each plugin's process, for people to see. Nothing is decided by it.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::id::Tenant;
use engine::registry::{self, Health, InstanceState, Kind};
use engine::time::Timestamp;
use store::port::Expect;
use tracing::debug;

use super::Common;
use super::instance::Instance;
use super::plugin::Plugin;

/// More instances than that are not looked through for those that are gone.
const INSTANCES_MAX: usize = 10_000;

/// What is remembered of a plugin over its processes.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) restarts: u32,
    pub(super) last_error: Option<String>,
    pub(super) health: Option<Health>,
    state: Option<InstanceState>,
    since: Option<Timestamp>,
    next_start: Option<Timestamp>,
    address: Option<String>,
    actions: BTreeMap<String, engine::digest::Digest>,
}

pub(super) async fn starting(common: &Common, plugin: &Plugin) {
    change(common, plugin, InstanceState::Starting, |book| {
        book.next_start = None
    })
    .await;
}

pub(super) async fn ready(common: &Common, plugin: &Plugin, instance: &Instance) {
    change(common, plugin, InstanceState::Ready, |book| {
        book.last_error = None;
        book.address = Some(instance.address.clone());
        book.actions.clone_from(&instance.actions);
    })
    .await;
}

pub(super) async fn resting(common: &Common, plugin: &Plugin, why: String, rest: Duration) {
    let rest = engine::duration::Duration::from_millis(
        u64::try_from(rest.as_millis()).unwrap_or(u64::MAX),
    );
    let next = common.ports.clock.now().plus(rest);
    change(common, plugin, InstanceState::Backoff, |book| {
        book.last_error = Some(crate::failure::cut(why));
        book.next_start = Some(next);
        book.health = None;
        book.address = None;
    })
    .await;
}

pub(super) async fn stopped(common: &Common, plugin: &Plugin) {
    change(common, plugin, InstanceState::Stopped, |book| {
        book.next_start = None;
        book.health = None;
        book.address = None;
    })
    .await;
}

/// Writes what is in the book.
pub(super) async fn again(common: &Common, plugin: &Plugin) {
    let book = plugin.book().clone();
    let agent = plugin.agent();
    let notice = registry::Instance {
        agent: plugin.name.clone(),
        instance: common.site.worker.clone(),
        worker: common.site.worker.clone(),
        version: Some(agent.manifest.version.clone()),
        address: book.address,
        form: agent.form.clone(),
        state: book.state.unwrap_or(InstanceState::Stopped),
        since: book.since.unwrap_or_else(|| common.ports.clock.now()),
        restarts: book.restarts,
        last_error: book.last_error,
        next_start: book.next_start,
        health: book.health,
        actions: book.actions,
        note: None,
        expires_at: None,
    };
    if let Err(error) = put(common, &plugin.tenant, &notice).await {
        debug!(agent = plugin.name, %error, "the state of a plugin was not written down");
    }
}

async fn change(
    common: &Common,
    plugin: &Plugin,
    state: InstanceState,
    also: impl FnOnce(&mut Book),
) {
    {
        let mut book = plugin.book();
        book.state = Some(state);
        book.since = Some(common.ports.clock.now());
        also(&mut book);
    }
    again(common, plugin).await;
}

pub(super) async fn put(
    common: &Common,
    tenant: &Tenant,
    notice: &registry::Instance,
) -> Result<(), store::Error> {
    let key = registry::instance_key(tenant, &notice.agent, &notice.instance);
    let item = common.ports.registry.get(&key).await?;
    let expect = item.map_or(Expect::Absent, |item| Expect::Revision(item.revision));
    common
        .ports
        .registry
        .put(&key, &registry::encode(notice), expect)
        .await?;
    Ok(())
}

/// Removes what the registry says of an instance.
pub(super) async fn remove(common: &Common, tenant: &Tenant, notice: &registry::Instance) {
    let key = registry::instance_key(tenant, &notice.agent, &notice.instance);
    let registry = &common.ports.registry;
    if let Ok(Some(item)) = registry.get(&key).await {
        let _ = registry.delete(&key, item.revision).await;
    }
}

/// Removes the instances that registered with this worker before it was started.
pub(super) async fn forget_remote(common: &Common, tenant: &Tenant) {
    let registry = &common.ports.registry;
    let listed = registry
        .list(&Kind::Plugins.of(tenant), "", INSTANCES_MAX)
        .await
        .unwrap_or_default();
    for item in listed {
        let ours = registry::decode::<registry::Instance>(&item.value)
            .is_ok_and(|i| i.expires_at.is_some() && i.worker == common.site.worker);
        if ours {
            let _ = registry.delete(&item.key, item.revision).await;
        }
    }
}
