//! What plugins say of themselves: read once per executable, checked, written to the registry.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::Stdio;

use engine::digest::{Digest, Digesting};
use engine::id::Tenant;
use engine::manifest::{Action, Manifest, Setting};
use engine::principal::Permission;
use engine::registry::{self, Agent, Kind};
use engine::schema::Schema;
use store::port::{Expect, Item};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::Common;
use super::discover::Program;
use super::process;
use super::starter::Starter;
use crate::config;

/// How often a write to the registry is tried again when somebody else changed the same key.
const CONFLICTS_MAX: u32 = 5;
/// So much of a program is looked at at once.
const PART_BYTES: usize = 64 * 1024;
/// So many agents of a tenant are looked through for those whose programs are gone.
const AGENTS_MAX: usize = 10_000;
/// With so many agents in a tenant none may add itself any more.
const REMOTE_MAX: usize = 1_000;

/// The agent that this program is, as the registry has it now. Its manifest is read from the program only where the
/// executable is not the one that the registry knows.
pub(super) async fn known(
    common: &Common,
    tenant: &Tenant,
    program: &Program,
) -> Result<Agent, String> {
    let executable = executable(program).await?;
    let known = stored(common, tenant, &program.name).await?;
    match known {
        Some((mut agent, _)) if executable.is_some() && agent.executable == executable => {
            if agent.pool != common.site.pool {
                agent.pool = common.site.pool.clone();
                store(common, tenant, &agent).await?;
            }
            Ok(agent)
        }
        Some(_) | None => read(common, tenant, program, executable).await,
    }
}

/// The agent that this program is, read from it whatever the registry knows.
pub(super) async fn read_again(
    common: &Common,
    tenant: &Tenant,
    program: &Program,
) -> Result<Agent, String> {
    read(common, tenant, program, executable(program).await?).await
}

/// Reads the manifest from the program and writes it to the registry.
async fn read(
    common: &Common,
    tenant: &Tenant,
    program: &Program,
    executable: Option<Digest>,
) -> Result<Agent, String> {
    let manifest = checked(&printed(common, program).await?)?;
    if manifest.name != program.name {
        return Err(format!(
            "it is installed under this name, but calls itself {}",
            manifest.name
        ));
    }
    let agent = Agent {
        manifest,
        form: "native".to_owned(),
        pool: common.site.pool.clone(),
        executable,
        read_at: common.ports.clock.now(),
        unauthenticated: false,
        metadata_unavailable: None,
    };
    store(common, tenant, &agent).await?;
    Ok(agent)
}

/// The manifest in the reply to `Info`.
pub(super) fn of_info(info: proto::v1::InfoResponse) -> Result<Manifest, String> {
    let manifest = proto::manifest::Manifest::from_info(info).map_err(|e| e.to_string())?;
    converted(manifest)
}

/// Removes the agents that `keep` does not know from the registry: their programs are gone.
pub(super) async fn forget_others(common: &Common, tenant: &Tenant, keep: impl Fn(&str) -> bool) {
    let registry = &common.ports.registry;
    let prefix = Kind::Agents.of(tenant);
    let listed = registry
        .list(&prefix, "", AGENTS_MAX)
        .await
        .unwrap_or_default();
    for item in listed {
        let name = registry::name_of(&item.key);
        // What was installed and is not here is nowhere; what registered itself may be anywhere.
        let local = registry::decode::<Agent>(&item.value).is_ok_and(|a| !a.unauthenticated);
        if local && !keep(name) {
            info!(agent = name, "the program of this agent is gone");
            let _ = registry.delete(&item.key, item.revision).await;
        }
    }
}

/// Whether one more may add itself. Where there is no room, the one goes that has been nowhere for longest, of those that
/// added themselves and can do nothing.
pub(super) async fn has_room(common: &Common, tenant: &Tenant) -> Result<bool, String> {
    let registry = &common.ports.registry;
    let prefix = Kind::Agents.of(tenant);
    let listed = registry.list(&prefix, "", REMOTE_MAX).await;
    let listed = listed.map_err(|e| e.to_string())?;
    if listed.len() < REMOTE_MAX {
        return Ok(true);
    }
    let idle = |item: &Item| {
        let agent = registry::decode::<Agent>(&item.value).ok()?;
        let idle = agent.unauthenticated && agent.manifest.actions.is_empty();
        idle.then(|| (agent.read_at, item.key.clone(), item.revision))
    };
    let mut idle: Vec<_> = listed.iter().filter_map(idle).collect();
    idle.sort();
    for (_, key, revision) in idle {
        let name = registry::name_of(&key);
        let instances = registry::instance_key(tenant, name, "");
        let there = registry.list(&instances, "", 1).await;
        if there.is_ok_and(|there| there.is_empty())
            && registry.delete(&key, revision).await.is_ok()
        {
            info!(agent = name, "forgotten: it is gone, and could do nothing");
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the program prints with `--manifest`.
async fn printed(common: &Common, program: &Program) -> Result<Vec<u8>, String> {
    let environment = &common.site.environment;
    let mut command = program.command(process::wrapper(environment), Some("--manifest"));
    process::surroundings(&mut command, environment);
    let patience = config::time(common.config.manifest);
    match timeout(patience, output(&common.starter, command)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(e)) => Err(format!("its manifest cannot be read (`--manifest`): {e}")),
        Err(_) => Err(format!(
            "`--manifest` did not end within {}",
            common.config.manifest
        )),
    }
}

async fn output(starter: &Starter, mut command: Command) -> io::Result<Vec<u8>> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = starter.start(command).await?;
    // Whatever it started ends with it, also when it is not waited for any longer.
    let _group = process::Group::of(&child);
    let mut bytes = Vec::new();
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("it has no standard output"))?;
    // One byte more than is allowed, so that too much is told from just enough.
    let limit = proto::limits::MANIFEST as u64 + 1;
    stdout.take(limit).read_to_end(&mut bytes).await?;
    let status = child.wait().await?;
    if status.success() {
        return Ok(bytes);
    }
    Err(io::Error::other(format!("it ended with {status}")))
}

/// The manifest in these bytes, when it and every schema in it can be used.
fn checked(bytes: &[u8]) -> Result<Manifest, String> {
    let manifest = proto::manifest::Manifest::parse(bytes).map_err(|e| e.to_string())?;
    let manifest = converted(manifest)?;
    check_schemas(&manifest)?;
    Ok(manifest)
}

/// Whether every schema in it can be used.
pub(super) fn check_schemas(manifest: &Manifest) -> Result<(), String> {
    for action in &manifest.actions {
        for (what, schema) in [
            ("input", Some(&action.input)),
            ("output", action.output.as_ref()),
        ] {
            if let Some(schema) = schema {
                Schema::compile(schema)
                    .map_err(|e| format!("the {what} schema of its action {}: {e}", action.id))?;
            }
        }
    }
    Ok(())
}

fn converted(manifest: proto::manifest::Manifest) -> Result<Manifest, String> {
    match manifest.kind {
        proto::manifest::Kind::Agent => {}
        proto::manifest::Kind::Provider | proto::manifest::Kind::Connector => {
            return Err("providers and connectors are not supported yet, only agents".to_owned());
        }
    }
    let action = |a: proto::manifest::Action| Action {
        id: a.id,
        description: a.description,
        permission: match a.permission {
            proto::manifest::Permission::Read => Permission::Read,
            proto::manifest::Permission::Modify => Permission::Modify,
            proto::manifest::Permission::Admin => Permission::Admin,
        },
        input: a.input_schema,
        output: Some(a.output_schema),
        idempotent: a.idempotent,
        lookup: a.lookup,
        settle_ms: a.settle_ms,
        timeout_ms: a.timeout_ms,
    };
    let setting = |s: proto::manifest::Setting| Setting {
        kind: s.kind.name().to_owned(),
        key: s.key,
        required: s.required,
        default: s.default,
        description: s.description,
        secret: s.secret,
    };
    Ok(Manifest {
        name: manifest.name,
        version: manifest.version,
        description: manifest.description,
        actions: manifest.actions.into_iter().map(action).collect(),
        settings: manifest.settings.into_iter().map(setting).collect(),
    })
}

async fn executable(program: &Program) -> Result<Option<Digest>, String> {
    match program.executable() {
        Some(path) => digest_of(path).await.map(Some),
        None => Ok(None),
    }
}

async fn digest_of(path: &Path) -> Result<Digest, String> {
    let (file, shown) = (path.to_owned(), path.display().to_string());
    match spawn_blocking(move || digest_in_parts(&file)).await {
        Ok(Ok(digest)) => Ok(digest),
        Ok(Err(e)) => Err(format!("{shown}: {e}")),
        Err(e) => Err(format!("{shown}: {e}")),
    }
}

/// A program may have some hundred MiB: it is never in memory as a whole.
fn digest_in_parts(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let (mut digesting, mut part) = (Digesting::default(), vec![0; PART_BYTES]);
    loop {
        match file.read(&mut part)? {
            0 => return Ok(digesting.end()),
            read => digesting.push(&part[..read]),
        }
    }
}

pub(super) async fn stored(
    common: &Common,
    tenant: &Tenant,
    name: &str,
) -> Result<Option<(Agent, u64)>, String> {
    let item = common
        .ports
        .registry
        .get(&Kind::Agents.key(tenant, name))
        .await
        .map_err(|e| e.to_string())?;
    Ok(item.and_then(|item| {
        // What an older version wrote and cannot be read any more is written anew.
        let agent = registry::decode(&item.value).ok()?;
        Some((agent, item.revision))
    }))
}

/// Writes the agent, unless the registry says the same already.
pub(super) async fn store(common: &Common, tenant: &Tenant, agent: &Agent) -> Result<(), String> {
    let key = Kind::Agents.key(tenant, &agent.manifest.name);
    for _ in 0..CONFLICTS_MAX {
        let item = common
            .ports
            .registry
            .get(&key)
            .await
            .map_err(|e| e.to_string())?;
        let same = |old: Agent| {
            Agent {
                read_at: agent.read_at,
                ..old
            } == *agent
        };
        let old = item.as_ref().and_then(|i| registry::decode(&i.value).ok());
        if old.as_ref().is_some_and(|old| same(Agent::clone(old))) {
            return Ok(());
        }
        let before = old.map(|old| old.pool).filter(|pool| *pool != agent.pool);
        let expect = item.map_or(Expect::Absent, |item| Expect::Revision(item.revision));
        match common
            .ports
            .registry
            .put(&key, &registry::encode(agent), expect)
            .await
        {
            Ok(_) => {
                debug!(agent = agent.manifest.name, "manifest stored");
                if let Some(before) = before {
                    warn!(
                        agent = agent.manifest.name, %before, pool = %agent.pool,
                        "this agent was in another pool: from now on its jobs go to this one"
                    );
                }
                return Ok(());
            }
            Err(store::Error::Conflict(_)) => {}
            Err(e @ (store::Error::Unavailable(_) | store::Error::Corrupt(_))) => {
                return Err(e.to_string());
            }
        }
    }
    Err("its entry in the registry is changed by somebody else again and again".to_owned())
}
