//! API keys: made here, shown once, revoked for ever.

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use engine::id::is_name;
use engine::principal::{Principal, Role};
use engine::registry::ApiKey;
use engine::time::Timestamp;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::api_key::make_secret;
use crate::auth::right::Right;
use crate::gate::Shared;
use crate::mirror::Kept;
use crate::page::page_of;
use crate::problem::Problem;
use crate::request::{Args, CURSOR_ARG, LIMIT_ARG, json};
use crate::respond;
use crate::route::{Keyed, Route, Shape};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/api-keys", Right::OwnKeys),
            "listApiKeys",
            "One's own API keys and those that one made; for an admin all.",
            list,
        )
        .args(&[LIMIT_ARG, CURSOR_ARG])
        .answer(200, "The keys.", Shape::list::<Key>()),
        Route::post(
            ("/api/v1/api-keys", Right::OwnKeys),
            "createApiKey",
            "Make an API key, with at most one's own role. Its secret is answered once.",
            create,
        )
        .keyed(Keyed::Refused)
        .body(Shape::json::<NewKey>())
        .answer(201, "The key and its secret.", Shape::json::<MadeKey>()),
        Route::get(
            ("/api/v1/api-keys/{name}", Right::OwnKeys),
            "getApiKey",
            "One API key.",
            get,
        )
        .answer(200, "The key.", Shape::json::<Key>()),
        Route::delete(
            ("/api/v1/api-keys/{name}", Right::OwnKeys),
            "revokeApiKey",
            "Revoke an API key: it and its tokens end at once, and its name is never given again.",
            revoke,
        )
        .empty(204, "It is revoked."),
    ]
}

/// An API key, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct Key {
    /// What one logs in with.
    api_key_id: String,
    /// The same: the principal is `key:NAME`.
    name: String,
    /// Its role.
    #[schema(value_type = String)]
    role: Role,
    /// `active` or `revoked`.
    state: &'static str,
    /// For people.
    description: Option<String>,
    /// Who made it.
    #[schema(value_type = String)]
    created_by: Principal,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

/// A new API key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// Its name: `[a-z0-9][a-z0-9-]{0,62}`.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    name: String,
    /// Its role, at most one's own.
    #[schema(value_type = String, pattern = "^(operator|engineer|admin)$")]
    role: Role,
    /// For people.
    #[serde(default)]
    description: Option<String>,
}

/// A new API key with its secret, which is shown only now.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeApiKey)]
struct MadeKey {
    #[serde(flatten)]
    key: Key,
    /// The secret.
    api_secret: String,
}

impl Key {
    fn of(name: &str, key: &ApiKey) -> Self {
        Self {
            api_key_id: name.to_owned(),
            name: name.to_owned(),
            role: key.role,
            state: if key.is_active() { "active" } else { "revoked" },
            description: key.description.clone(),
            created_by: key.created_by.clone(),
            created_at: key.created_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// Whether the caller may see and revoke it: its own, those that it made, or all for an admin.
fn is_ones_own(caller: &Caller, name: &str, key: &ApiKey) -> bool {
    caller.role >= Role::Admin
        || key.created_by == caller.who
        || caller.who == Principal::Key(name.to_owned())
}

async fn list(State(gate): State<Shared>, caller: Caller, args: Args) -> Result<Response, Problem> {
    let keys = gate.api_keys.list(&caller.tenant).into_iter();
    let keys = keys.filter(|(name, key)| is_ones_own(&caller, name, &key.value));
    let page = page_of(keys, &args.page()?, |(name, _)| name);
    Ok(respond::json(
        &page.map(|(name, key)| Key::of(&name, &key.value)),
    ))
}

fn find(gate: &Shared, caller: &Caller, name: &str) -> Result<Kept<ApiKey>, Problem> {
    gate.api_keys
        .get(&caller.tenant, name)
        .filter(|key| is_ones_own(caller, name, &key.value))
        .ok_or_else(|| Problem::not_found("API key", name))
}

async fn get(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let key = find(&gate, &caller, &name)?;
    Ok(respond::json(&Key::of(&name, &key.value)))
}

async fn create(
    State(gate): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let new: NewKey = json(&headers, &body)?;
    if !is_name(&new.name) {
        return Err(Problem::invalid_at(
            "/name",
            "a name is [a-z0-9][a-z0-9-]{0,62}",
        ));
    }
    if new.role > caller.role {
        return Err(Problem::forbidden(format!(
            "nobody makes a key above their own role: yours is {}",
            caller.role
        )));
    }
    let secret = make_secret(gate.backend.random.as_ref());
    let key = ApiKey {
        serial: gate.backend.random.nonce(),
        secret_hash: gate.hasher.hash(&secret).await?,
        role: new.role,
        description: new.description,
        created_by: caller.who.clone(),
        created_at: gate.now(),
        revoked_at: None,
        revoked_by: None,
    };
    let kept = gate
        .api_keys
        .put(&caller.tenant, &new.name, key, None)
        .await
        .map_err(|error| taken(error, &new.name))?;
    let made = MadeKey {
        key: Key::of(&new.name, &kept.value),
        api_secret: secret.to_string(),
    };
    let place = format!("/api/v1/api-keys/{}", new.name);
    Ok(respond::located(StatusCode::CREATED, &place, &made))
}

fn taken(error: store::Error, name: &str) -> Problem {
    match error {
        store::Error::Conflict(_) => Problem::conflict(
            engine::code::Code::Conflict,
            format!(
                "there is a key {name:?} already, perhaps a revoked one: names are never given twice"
            ),
        ),
        store::Error::Unavailable(_) | store::Error::Corrupt(_) => error.into(),
    }
}

async fn revoke(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = find(&gate, &caller, &name)?;
    let tag = respond::json_tag(&Key::of(&name, &key.value));
    respond::check_change(&headers, Some(&tag))?;
    if key.value.is_active() {
        let mut revoked = ApiKey::clone(&key.value);
        revoked.revoked_at = Some(gate.now());
        revoked.revoked_by = Some(caller.who.clone());
        gate.api_keys
            .put(&caller.tenant, &name, revoked, Some(key.at))
            .await?;
        tracing::info!(key = name, by = %caller.who, "an API key was revoked");
    }
    Ok(respond::empty())
}
