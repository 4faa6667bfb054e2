//! The life of an instance that registered itself: let in, looked after, gone.
//!
//! It is called over one connection that never reconnects. Once that is closed, or nothing was heard of the instance
//! for its lease, it is gone; should it live, its next heartbeat is answered with the wish that it registers again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::id::Tenant;
use engine::manifest::Manifest;
use engine::principal::Permission;
use engine::registry::{self, Agent, Health, InstanceState};
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use proto::v1::{InfoResponse, RegisterPluginRequest};
use proto::wire::Form;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use super::Common;
use super::dial::{HANDSHAKE_MAX, Said, reachable, shake_hands};
use super::discover::is_plugin_name;
use super::instance::Instance;
use super::launch::offered;
use super::launches::Launch;
use super::remotes::Remote;
use super::{manifest, notice, tenant_id};
use crate::config;

/// Of its lease: one part is how often it says that it lives.
const BEATS: u64 = 9;
/// How often the registry is told of it in one lease.
const RENEWALS: u32 = 3;
/// A longer name of an instance is none.
const ID_BYTES_MAX: usize = 128;

/// Lets an instance in that says it serves at an address.
///
/// # Errors
/// Why not, in words for those who run it.
pub(super) async fn register(
    common: &Common,
    (peer, form): (IpAddr, Form),
    asked: &RegisterPluginRequest,
) -> Result<Arc<Remote>, String> {
    if common.stopping.is_cancelled() {
        return Err("unavailable: the engine is stopping".to_owned());
    }
    let tenant = welcome(common, asked).await?;
    if let Some(known) = common.remotes.find(&asked.name, &asked.instance_id)
        && known.launch().tenant == tenant
        && known.notice().address.as_ref() == Some(&asked.grpc_addr)
        && known.instance.version == asked.version
    {
        known.heard();
        return Ok(known);
    }
    let address = reachable(common, peer, &asked.grpc_addr).await?;
    let handshake = shake_hands(common, &address, form);
    let (client, info) = timeout(HANDSHAKE_MAX, handshake)
        .await
        .unwrap_or_else(|_| Err("no answer in time".to_owned()))
        .map_err(|why| format!("the engine cannot call it back at {address}: {why}"))?;
    let (manifest, note) = offer(common, asked, form, info)?;
    let agent = Agent {
        manifest,
        form: name_of(form).to_owned(),
        executable: None,
        read_at: common.ports.clock.now(),
        unauthenticated: true,
    };
    let trusted = common.config.remote.trusts(&asked.name);
    let launch = Launch::of(tenant.clone(), asked.name.clone(), trusted);
    let instance = Instance::new(
        launch,
        client,
        offered(&agent.manifest),
        asked.version.clone(),
        asked.grpc_addr.clone(),
    );
    instance.push(common).await?;
    manifest::store(common, &tenant, &agent).await?;
    let said = said(common, &instance, &asked.instance_id, note);
    let remote = Remote::new(asked.instance_id.clone(), Arc::new(instance), said);
    let remote = Arc::new(remote);
    if !common.remotes.put(&remote) {
        return Err("too many instances are registered".to_owned());
    }
    info!(agent = asked.name, instance = asked.instance_id, %address, "registered");
    Ok(remote)
}

/// How often an instance is to say that it lives, in seconds.
pub(super) fn beat_s(common: &Common) -> i64 {
    let seconds = common.config.remote.lease.millis() / 1_000 / BEATS;
    i64::try_from(seconds.max(1)).unwrap_or(i64::MAX)
}

/// The tenant that it asks to serve, when its name can be its own.
async fn welcome(common: &Common, asked: &RegisterPluginRequest) -> Result<Tenant, String> {
    let name = &asked.name;
    let plain = asked
        .instance_id
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'/');
    if !plain || asked.instance_id.is_empty() || asked.instance_id.len() > ID_BYTES_MAX {
        return Err(format!(
            "its instance id has not 1 to {ID_BYTES_MAX} visible ASCII characters without `/`"
        ));
    }
    let tenant = tenant_id::find(&common.site.tenants, &asked.tenant_id);
    let tenant = tenant.ok_or_else(|| format!("tenant {} not found", asked.tenant_id))?;
    if !is_plugin_name(name) || asked.version.is_empty() || asked.version.len() > ID_BYTES_MAX {
        return Err(format!(
            "invalid argument: `{name}` must match [a-z0-9][a-z0-9_-]{{0,62}}, and its version has 1 to {ID_BYTES_MAX} bytes"
        ));
    }
    let taken = || format!("the name {name} belongs to an agent that is installed here");
    if common.installed.contains(name) {
        return Err(taken());
    }
    match manifest::stored(common, tenant, name).await? {
        Some((agent, _)) if agent.executable.is_some() => Err(taken()),
        None if manifest::is_full(common, tenant).await? => {
            Err("this tenant has as many agents as it may have".to_owned())
        }
        Some(_) | None => Ok(tenant.clone()),
    }
}

fn name_of(form: Form) -> &'static str {
    match form {
        Form::Protobuf => "native",
        Form::Json(_) => "json",
    }
}

/// What it offers here, and what people must know about that. An agent of the JSON form is let in though it cannot say
/// what it does: no released Python SDK can.
fn offer(
    common: &Common,
    asked: &RegisterPluginRequest,
    form: Form,
    info: Said,
) -> Result<(Manifest, Option<String>), String> {
    match form {
        Form::Protobuf => held(common, asked, info?),
        Form::Json(_) => {
            let native = |info| InfoResponse {
                // Replicas may share an address, and not all of them say which one they are.
                instance_id: asked.instance_id.clone(),
                ..proto::json::native_info(info)
            };
            let held = info.and_then(|info| held(common, asked, native(info)));
            Ok(held.unwrap_or_else(|why| {
                let why = format!("registered, metadata unavailable: {why}");
                (nothing(asked), Some(crate::failure::cut(why)))
            }))
        }
    }
}

/// The manifest of an agent that does not say what it does.
fn nothing(asked: &RegisterPluginRequest) -> Manifest {
    Manifest {
        name: asked.name.clone(),
        version: asked.version.clone(),
        description: "Registered, but does not say what it does.".to_owned(),
        actions: Vec::new(),
        settings: Vec::new(),
    }
}

/// Who answers must be who registered, and what it does not offer here is noted.
fn held(
    common: &Common,
    asked: &RegisterPluginRequest,
    info: InfoResponse,
) -> Result<(Manifest, Option<String>), String> {
    if info.instance_id != asked.instance_id {
        return Err("another instance answers at its address".to_owned());
    }
    let mut manifest = manifest::of_info(info)?;
    if manifest.name != asked.name {
        return Err(format!(
            "it registers as {}, but calls itself {}",
            asked.name, manifest.name
        ));
    }
    manifest::check_schemas(&manifest)?;
    if common.config.remote.trusts(&asked.name) {
        return Ok((manifest, None));
    }
    let (offered, withheld): (Vec<_>, Vec<_>) = manifest
        .actions
        .into_iter()
        .partition(|action| action.permission == Permission::Read);
    manifest.actions = offered;
    let withheld: Vec<String> = withheld.into_iter().map(|action| action.id).collect();
    let note = (!withheld.is_empty()).then(|| {
        format!(
            "not offered, because the agent does not authenticate and the configuration does not trust it: {}",
            withheld.join(", ")
        )
    });
    Ok((manifest, note))
}

fn said(
    common: &Common,
    instance: &Instance,
    id: &str,
    note: Option<String>,
) -> registry::Instance {
    let now = common.ports.clock.now();
    registry::Instance {
        agent: instance.launch.name.clone(),
        instance: id.to_owned(),
        worker: common.site.worker.clone(),
        version: Some(instance.version.clone()),
        address: Some(instance.address.clone()),
        form: name_of(instance.client.form()).to_owned(),
        state: InstanceState::Ready,
        since: now,
        restarts: 0,
        last_error: None,
        next_start: None,
        health: None,
        actions: instance.actions.clone(),
        note,
        expires_at: Some(now.plus(common.config.remote.lease)),
    }
}

/// Looks after all of them. Never ends.
pub(super) async fn tend(common: &Common) {
    let mut lives = FuturesUnordered::new();
    loop {
        tokio::select! {
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
    write(common, &remote).await;
    let why = watch(common, &remote).await;
    common.remotes.remove(&remote);
    let launch = remote.launch();
    info!(agent = launch.name, instance = remote.id, why, "gone");
    if common.remotes.find(&launch.name, &remote.id).is_none() {
        let said = remote.notice().clone();
        notice::remove(common, &launch.tenant, &said).await;
    }
}

async fn watch(common: &Common, remote: &Remote) -> &'static str {
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
    let looks = async {
        let mut renew = interval(lease / RENEWALS);
        let mut health = interval(config::time(common.config.health));
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        health.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = instance.settings_changed.notified() => settings(common, remote).await,
                _ = renew.tick() => write(common, remote).await,
                _ = health.tick() => ask(common, remote).await,
            }
        }
    };
    tokio::select! {
        biased;
        why = gone => why,
        () = looks => "nobody looks after it",
    }
}

async fn settings(common: &Common, remote: &Remote) {
    if let Err(why) = remote.instance.push(common).await {
        warn!(
            agent = remote.launch().name,
            why, "settings could not be given"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        remote.instance.settings_changed.notify_one();
    }
    ask(common, remote).await;
}

/// Asks how it is, and writes it down when it is news.
async fn ask(common: &Common, remote: &Remote) {
    // Those of the JSON form read their settings anew then, and some drop what they are doing for it.
    if remote.instance.client.form() != Form::Protobuf && remote.instance.rank().1 > 0 {
        return;
    }
    let health = remote.instance.health(common).await;
    let known = remote.notice().health.replace(health.clone());
    if known.is_none_or(|k| (k.ok, k.message) != (health.ok, health.message)) {
        write(common, remote).await;
    }
}

/// How the instances of an agent are: the first that is not well, or any. `None`: there are none.
pub(super) async fn health(common: &Common, tenant: &Tenant, name: &str) -> Option<Health> {
    let remotes = common.remotes.of(tenant, Some(name));
    join_all(remotes.iter().map(|remote| ask(common, remote))).await;
    let said = remotes
        .iter()
        .filter_map(|remote| remote.notice().health.clone());
    said.min_by_key(|health| health.ok)
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
