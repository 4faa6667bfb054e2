//! Letting in the instances that register themselves: who they are, what they offer here, and what they get.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::id::Tenant;
use engine::manifest::Manifest;
use engine::principal::Permission;
use engine::registry::{self, Agent, InstanceState};
use proto::client::PluginClient;
use proto::v1::{InfoResponse, PluginType, RegisterPluginRequest};
use proto::wire::Form;
use tokio::time::timeout;
use tracing::info;

use super::Common;
use super::dial::{self, Said, reachable, shake_hands};
use super::discover::is_plugin_name;
use super::greetings::Greeting;
use super::instance::Instance;
use super::launch::offered;
use super::launches::Launch;
use super::remotes::Remote;
use super::{manifest, tenant_id};

/// Of its lease: one part is how often it says that it lives.
const BEATS: u64 = 9;
/// A longer name of an instance is none.
const ID_BYTES_MAX: usize = 128;
/// All of it, the parts of `dial.rs` and its settings: it waits 10 s for the answer to its registration.
const WELCOME_MAX: Duration = Duration::from_secs(9);
const SETTINGS_MAX: Duration = Duration::from_secs(2);

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
    if let Some(known) = known(common, asked) {
        known.heard();
        return Ok(known);
    }
    let greeting = common.greetings.begin(peer).ok_or(
        "unavailable: the engine lets in as many as it can at once just now: try again in a moment",
    )?;
    let welcome = welcome(common, (peer, form), asked, &greeting);
    let late = |_| Err("unavailable: it was not let in within 9 s: try again".to_owned());
    timeout(WELCOME_MAX, welcome).await.unwrap_or_else(late)
}

/// The same instance, that registers again.
fn known(common: &Common, asked: &RegisterPluginRequest) -> Option<Arc<Remote>> {
    let tenant = tenant_id::find(&common.site.tenants, &asked.tenant_id)?;
    let known = common.remotes.find(&asked.name, &asked.instance_id)?;
    let is_same = known.launch().tenant == *tenant
        && known.instance.address == asked.grpc_addr
        && known.instance.version == asked.version;
    is_same.then_some(known)
}

async fn welcome(
    common: &Common,
    (peer, form): (IpAddr, Form),
    asked: &RegisterPluginRequest,
    greeting: &Arc<Greeting>,
) -> Result<Arc<Remote>, String> {
    let tenant = tenant(common, asked).await?;
    let address = reachable(common, (peer, greeting), &asked.grpc_addr).await?;
    let (client, said) = shake_hands(common, &address, form)
        .await
        .map_err(|why| format!("the engine cannot call it back at {address}: {why}"))?;
    let offer = offer(common, asked, form, said)?;
    let remote = take_in(common, tenant, asked, client, offer).await?;
    info!(agent = asked.name, instance = asked.instance_id, %address, "registered");
    Ok(remote)
}

/// Asks an instance once more that could not say what it can do. When it can now, it is there anew, with that.
pub(super) async fn ask_again(common: &Common, remote: &Remote) -> bool {
    let (launch, instance) = (remote.launch(), &remote.instance);
    let said = dial::ask(&instance.client).await;
    let asked = RegisterPluginRequest {
        name: launch.name.clone(),
        version: instance.version.clone(),
        grpc_addr: instance.address.clone(),
        instance_id: remote.id.clone(),
        ..RegisterPluginRequest::default()
    };
    let (tenant, client) = (launch.tenant.clone(), instance.client.clone());
    match offer(common, &asked, client.form(), said) {
        Ok(offer) if offer.unavailable.is_none() && remote.instance.is_open() => {
            let taken = take_in(common, tenant, &asked, client, offer).await;
            taken.is_ok()
        }
        Ok(_) | Err(_) => false,
    }
}

/// From now on it is there, and is called for what it offers.
async fn take_in(
    common: &Common,
    tenant: Tenant,
    asked: &RegisterPluginRequest,
    client: PluginClient,
    offer: Offer,
) -> Result<Arc<Remote>, String> {
    let is_known = offer.unavailable.is_none();
    let agent = Agent {
        manifest: offer.manifest,
        form: name_of(client.form()).to_owned(),
        pool: common.site.pool.clone(),
        executable: None,
        read_at: common.ports.clock.now(),
        unauthenticated: true,
        metadata_unavailable: offer.unavailable,
    };
    let trusted = common.config.remote.trusts(&asked.name);
    let instance = Instance::new(
        Launch::of(tenant.clone(), asked.name.clone(), trusted),
        client,
        offered(&agent.manifest),
        asked.version.clone(),
        asked.grpc_addr.clone(),
    );
    instance.push_within(common, SETTINGS_MAX).await?;
    // One that cannot say what it can do does not make those forgotten that could.
    if is_known || !others_offer(common, &tenant, asked) {
        manifest::store(common, &tenant, &agent).await?;
    }
    let said = said(common, &instance, &asked.instance_id, offer.note);
    let remote = Remote::new((asked.instance_id.clone(), is_known), instance, said);
    let remote = Arc::new(remote);
    if !common.remotes.put(&remote) {
        return Err("too many instances are registered".to_owned());
    }
    Ok(remote)
}

/// Whether another instance of the agent is there, which can be called for something.
fn others_offer(common: &Common, tenant: &Tenant, asked: &RegisterPluginRequest) -> bool {
    let others = common.remotes.of(tenant, Some(&asked.name));
    others.iter().any(|other| {
        let instance = &other.instance;
        other.id != asked.instance_id && instance.is_open() && !instance.actions.is_empty()
    })
}

/// How often an instance is to say that it lives, in seconds.
pub(super) fn beat_s(common: &Common) -> i64 {
    let seconds = common.config.remote.lease.millis() / 1_000 / BEATS;
    i64::try_from(seconds.max(1)).unwrap_or(i64::MAX)
}

/// The tenant that it asks to serve, when its name can be its own.
async fn tenant(common: &Common, asked: &RegisterPluginRequest) -> Result<Tenant, String> {
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
    let kind = asked.plugin_type();
    if matches!(kind, PluginType::Provider | PluginType::Connector) {
        return Err("providers and connectors are not supported yet, only agents".to_owned());
    }
    let taken = || format!("the name {name} belongs to an agent that is installed here");
    if common.installed.contains(name) {
        return Err(taken());
    }
    match manifest::stored(common, tenant, name).await? {
        Some((agent, _)) if !agent.unauthenticated => Err(taken()),
        None if !manifest::has_room(common, tenant).await? => {
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

/// What it offers here.
struct Offer {
    manifest: Manifest,
    /// What people must know about it.
    note: Option<String>,
    /// Why it does not say what it can do.
    unavailable: Option<String>,
}

/// What it offers. An agent of the JSON form is let in though it cannot say what it can do: no released Python SDK can.
fn offer(
    common: &Common,
    asked: &RegisterPluginRequest,
    form: Form,
    said: Said,
) -> Result<Offer, String> {
    match form {
        Form::Protobuf => held(common, asked, said?),
        Form::Json(_) => {
            let native = |info| InfoResponse {
                // Replicas may share an address, and not all of them say which one they are.
                instance_id: asked.instance_id.clone(),
                ..proto::json::native_info(info)
            };
            let held = said.and_then(|info| held(common, asked, native(info)));
            Ok(held.unwrap_or_else(|why| nothing(asked, crate::failure::cut(why))))
        }
    }
}

/// That of an agent that does not say what it can do.
fn nothing(asked: &RegisterPluginRequest, why: String) -> Offer {
    let note = format!("registered, metadata unavailable: {why}");
    Offer {
        manifest: Manifest {
            name: asked.name.clone(),
            version: asked.version.clone(),
            description: "Registered, but does not say what it does.".to_owned(),
            actions: Vec::new(),
            settings: Vec::new(),
        },
        note: Some(crate::failure::cut(note)),
        unavailable: Some(why),
    }
}

/// Who answers must be who registered, and what it does not offer here is noted.
fn held(
    common: &Common,
    asked: &RegisterPluginRequest,
    info: InfoResponse,
) -> Result<Offer, String> {
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
    let trusted = common.config.remote.trusts(&asked.name);
    let (offered, withheld): (Vec<_>, Vec<_>) = manifest
        .actions
        .into_iter()
        .partition(|action| trusted || action.permission == Permission::Read);
    manifest.actions = offered;
    let withheld: Vec<String> = withheld.into_iter().map(|action| action.id).collect();
    let note = (!withheld.is_empty()).then(|| {
        format!(
            "not offered, because the agent does not authenticate and the configuration does not trust it: {}",
            withheld.join(", ")
        )
    });
    Ok(Offer {
        manifest,
        note,
        unavailable: None,
    })
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
