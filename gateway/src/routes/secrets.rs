//! Secrets: set here, never shown again. Sealed at rest; a run or a hook names them, and only its door opens them.

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use engine::id::{Tenant, is_step_id};
use engine::principal::Principal;
use engine::registry::{Secret, SecretVersion, secret_seal};
use engine::time::Timestamp;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::right::Right;
use crate::auth::{Caller, constant_time};
use crate::gate::{Gate, Shared};
use crate::mirror::Kept;
use crate::page::page_of;
use crate::problem::Problem;
use crate::request::{Args, CURSOR_ARG, LIMIT_ARG, json};
use crate::respond::{self, check_change};
use crate::route::{Route, Shape};
use crate::routes::token;

/// So many versions are kept: a run that waits for an approval names the one that it was asked with.
const VERSIONS_KEPT: usize = 20;
/// No secret is longer, in bytes.
const VALUE_MAX: usize = 64 * 1024;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/secrets", Right::SecretNames),
            "listSecrets",
            "The names of the secrets. Their values are never shown.",
            list,
        )
        .args(&[LIMIT_ARG, CURSOR_ARG])
        .answer(200, "The names.", Shape::list::<Shown>()),
        Route::get(
            ("/api/v1/secrets/{name}", Right::SecretNames),
            "getSecret",
            "Whether there is such a secret, and its version.",
            get,
        )
        .answer(
            200,
            "The secret, without its value.",
            Shape::json::<Shown>(),
        ),
        Route::put(
            ("/api/v1/secrets/{name}", Right::Secrets),
            "setSecret",
            "Set a secret: a new version of it, unless it has this value already.",
            set,
        )
        .body(Shape::json::<NewValue>())
        .answer(
            200,
            "It has a new version, or is as it was.",
            Shape::json::<Shown>(),
        )
        .answer(201, "It is new.", Shape::json::<Shown>()),
        Route::delete(
            ("/api/v1/secrets/{name}", Right::Secrets),
            "deleteSecret",
            "Delete a secret with all its versions.",
            delete,
        )
        .empty(204, "It is gone."),
    ]
}

/// A secret, without its value.
#[derive(Serialize, ToSchema)]
#[schema(as = Secret)]
pub(crate) struct Shown {
    /// Its name: `secrets.NAME` in documents.
    name: String,
    /// Always true.
    secret: bool,
    /// Always true.
    set: bool,
    /// Counts up from 1.
    version: u64,
    /// When it was set last.
    #[schema(value_type = String, format = DateTime)]
    set_at: Timestamp,
    /// By whom.
    #[schema(value_type = String)]
    set_by: Principal,
}

/// The value of a secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SecretValue)]
struct NewValue {
    /// The value: 1 byte to 64 KiB.
    #[schema(value_type = String)]
    value: token::Secret,
}

impl Shown {
    fn of(name: &str, version: &SecretVersion) -> Self {
        Self {
            name: name.to_owned(),
            secret: true,
            set: true,
            version: version.version,
            set_at: version.set_at,
            set_by: version.set_by.clone(),
        }
    }
}

async fn list(State(gate): State<Shared>, caller: Caller, args: Args) -> Result<Response, Problem> {
    let secrets = gate.secrets.list(&caller.tenant).into_iter();
    let there = secrets.filter_map(|(name, kept)| {
        let shown = Shown::of(&name, kept.value.newest()?);
        Some((name, shown))
    });
    let page = page_of(there, &args.page()?, |(name, _)| name);
    Ok(respond::json(&page.map(|(_, shown)| shown)))
}

async fn get(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let kept = gate.secrets.get(&caller.tenant, &name);
    let newest = kept.as_ref().and_then(|kept| kept.value.newest());
    let newest = newest.ok_or_else(|| Problem::not_found("secret", &name))?;
    let tag = gate.revision_tag(newest.version);
    Ok(respond::tagged(&Shown::of(&name, newest), &tag))
}

async fn set(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let value: NewValue = json(&headers, &body)?;
    let value = value.value.reveal();
    if !is_step_id(&name) {
        return Err(Problem::invalid_at(
            "",
            "a secret's name is [a-z][a-z0-9_]{0,62}, so that expressions can say secrets.NAME",
        ));
    }
    if value.is_empty() || value.len() > VALUE_MAX {
        return Err(Problem::invalid_at(
            "/value",
            "a secret has 1 byte to 64 KiB",
        ));
    }
    let old = gate.secrets.get(&caller.tenant, &name);
    check(&gate, &headers, old.as_ref())?;
    let newest = old.as_ref().and_then(|old| old.value.newest()).cloned();
    let status = match newest {
        Some(_) => StatusCode::OK,
        None => StatusCode::CREATED,
    };
    let same = newest.filter(|newest| has_value(&gate, (&caller.tenant, &name), newest, value));
    let version = match same {
        Some(same) => same,
        None => store_version(&gate, &caller, &name, (value, old)).await?,
    };
    let place = format!("/api/v1/secrets/{name}");
    Ok(respond::located(
        status,
        &place,
        &Shown::of(&name, &version),
    ))
}

/// Whether this is the value of that version. One that does not open is another.
fn has_value(
    gate: &Gate,
    (tenant, name): (&Tenant, &str),
    version: &SecretVersion,
    value: &str,
) -> bool {
    let bound = secret_seal(tenant, name, version.version);
    let known = gate.unseal(&bound, &version.sealed);
    known.is_some_and(|known| constant_time::same(&known, value.as_bytes()))
}

fn check(gate: &Gate, headers: &HeaderMap, old: Option<&Kept<Secret>>) -> Result<(), Problem> {
    let newest = old.and_then(|old| old.value.newest());
    let tag = newest.map(|newest| gate.revision_tag(newest.version));
    check_change(headers, tag.as_deref())
}

/// Writes a new version of a secret.
pub(crate) async fn store_version(
    gate: &Gate,
    caller: &Caller,
    name: &str,
    (value, old): (&str, Option<Kept<Secret>>),
) -> Result<SecretVersion, Problem> {
    let at = old.as_ref().map(|old| old.at);
    let mut secret = old.map(|old| Secret::clone(&old.value)).unwrap_or_default();
    secret.last_version += 1;
    let bound = secret_seal(&caller.tenant, name, secret.last_version);
    let version = SecretVersion {
        version: secret.last_version,
        sealed: gate.seal(&bound, value.as_bytes()),
        set_at: gate.now(),
        set_by: caller.who.clone(),
    };
    secret.versions.push(version.clone());
    let over = secret.versions.len().saturating_sub(VERSIONS_KEPT);
    secret.versions.drain(..over);
    gate.secrets.put(&caller.tenant, name, secret, at).await?;
    Ok(version)
}

async fn delete(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let old = gate
        .secrets
        .get(&caller.tenant, &name)
        .filter(|old| old.value.newest().is_some())
        .ok_or_else(|| Problem::not_found("secret", &name))?;
    check(&gate, &headers, Some(&old))?;
    let gone = Secret {
        last_version: old.value.last_version,
        versions: Vec::new(),
    };
    gate.secrets
        .put(&caller.tenant, &name, gone, Some(old.at))
        .await?;
    Ok(respond::empty())
}
