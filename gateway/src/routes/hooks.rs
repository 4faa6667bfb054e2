//! Hooks as resources: saved as documents, with secrets that they only name.

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use engine::code::Code;
use engine::definition::{Hook, HookAuth, HookType, Rate};
use engine::digest::Digest;
use engine::id::Tenant;
use engine::language::Document;
use engine::principal::{Principal, Role};
use engine::registry::SavedHook;
use engine::time::Timestamp;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value as Json, json};
use store::port::{Delivery, DeliveryOutcome};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::api_key::make_secret;
use crate::auth::right::Right;
use crate::documents::Written;
use crate::gate::{Gate, Shared};
use crate::hook::credential::with_auth;
use crate::hook::verify;
use crate::mirror::Kept;
use crate::page::{listed, page_of};
use crate::problem::{Problem, Spot};
use crate::request::{Args, CURSOR_ARG, LIMIT_ARG};
use crate::respond::{self, Listed, check_change};
use crate::route::{Keyed, Route, Shape};
use crate::routes::secrets::store_version;
use crate::routes::workflows::{YAML, text, wants_yaml};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/hooks", Right::Save),
            "listHooks",
            "The hooks, by name.",
            list,
        )
        .args(&[LIMIT_ARG, CURSOR_ARG])
        .answer(200, "The hooks.", Shape::list::<Shown>()),
        Route::post(
            ("/api/v1/hooks", Right::Save),
            "createHook",
            "Make a hook. Where the document names no secret, the server makes one and answers it once.",
            create,
        )
        .keyed(Keyed::Refused)
        .body(Shape::object(YAML))
        .body(Shape::object("application/json"))
        .answer(201, "The hook.", Shape::json::<Made>()),
        Route::get(
            ("/api/v1/hooks/{name}", Right::Save),
            "getHook",
            "A hook; with `Accept: application/yaml` its text, byte for byte.",
            get,
        )
        .answer(200, "The hook.", Shape::json::<Shown>())
        .answer(200, "Its text.", Shape::text(YAML)),
        Route::put(
            ("/api/v1/hooks/{name}", Right::Save),
            "saveHook",
            "Save a hook. What is as it was keeps its revision.",
            save,
        )
        .body(Shape::object(YAML))
        .body(Shape::object("application/json"))
        .answer(200, "It has a new revision, or is as it was.", Shape::json::<Made>())
        .answer(201, "It is new.", Shape::json::<Made>()),
        Route::delete(
            ("/api/v1/hooks/{name}", Right::Save),
            "deleteHook",
            "Delete a hook. Its address answers 404 from then on; its runs go on.",
            delete,
        )
        .empty(204, "It is gone."),
        Route::get(
            ("/api/v1/hooks/{name}/deliveries", Right::Save),
            "listDeliveries",
            "What was delivered to a hook, newest first.",
            deliveries,
        )
        .args(&[LIMIT_ARG, CURSOR_ARG])
        .answer(200, "The deliveries.", Shape::list::<ShownDelivery>()),
    ]
}

/// A hook.
#[derive(Serialize, ToSchema)]
#[schema(as = Hook)]
pub(crate) struct Shown {
    /// Its name.
    name: String,
    /// For people.
    description: Option<String>,
    /// alertmanager, github or generic.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: HookType,
    /// How the sender proves itself; secrets by their names.
    #[schema(value_type = Object)]
    auth: Json,
    /// The role in which its runs are asked for.
    #[schema(value_type = String)]
    role: Role,
    /// No more deliveries than this are taken: `{max, per}`.
    #[schema(value_type = Option<Object>)]
    rate: Option<Rate>,
    /// generic: the headers that an event shows.
    headers: Vec<String>,
    /// generic: what makes two deliveries one; null: nothing.
    dedupe: Option<String>,
    /// The workflows that it starts.
    workflows: Vec<String>,
    /// Where its sender posts to.
    url: String,
    /// Counts up from 1.
    revision: u64,
    /// Of what was saved.
    #[schema(value_type = String)]
    digest: Digest,
    /// When it was saved.
    #[schema(value_type = String, format = DateTime)]
    saved_at: Timestamp,
    /// By whom.
    #[schema(value_type = String)]
    saved_by: Principal,
}

/// A hook that was saved, with its secret if one was made: it is shown only now.
#[derive(Serialize, ToSchema)]
#[schema(as = SavedHook)]
struct Made {
    #[serde(flatten)]
    hook: Shown,
    /// The secret that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Its name: `secrets.NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_name: Option<String>,
}

/// Something that was delivered to a hook.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct ShownDelivery {
    /// Its id.
    id: String,
    /// To which hook.
    hook: String,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// accepted, duplicate, unmatched, refused or error.
    #[schema(value_type = String)]
    outcome: DeliveryOutcome,
    /// The runs that it made or found.
    #[schema(value_type = Vec<String>)]
    runs: Vec<engine::id::RunId>,
    /// Why it was refused or went wrong.
    error: Option<String>,
    /// Its headers without credentials, when it made no run.
    headers: std::collections::BTreeMap<String, String>,
    /// The first 4 KiB of its body, when it made no run.
    body: Option<String>,
}

impl ShownDelivery {
    fn of(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            hook: delivery.hook,
            at: delivery.at,
            outcome: delivery.outcome,
            runs: delivery.runs,
            error: delivery.error,
            headers: delivery.headers,
            body: delivery.body,
        }
    }
}

/// Where the sender of a hook posts to.
fn url(gate: &Gate, tenant: &Tenant, name: &str) -> String {
    match tenant.as_str() {
        Tenant::DEFAULT => gate.url(&format!("/hooks/{name}")),
        tenant => gate.url(&format!("/hooks/{tenant}/{name}")),
    }
}

async fn show(gate: &Gate, tenant: &Tenant, saved: &SavedHook) -> Result<Shown, Problem> {
    let hook = &saved.hook;
    let triggered = gate.triggered(&hook.name).await?;
    Ok(Shown {
        url: url(gate, tenant, &hook.name),
        workflows: triggered.iter().map(|(_, w, _)| w.name.clone()).collect(),
        name: hook.name.clone(),
        description: hook.description.clone(),
        kind: hook.kind,
        auth: auth_json(&hook.auth),
        role: hook.role,
        rate: hook.rate,
        headers: hook.headers.clone(),
        dedupe: hook.dedupe.clone(),
        revision: saved.revision,
        digest: saved.digest,
        saved_at: saved.saved_at,
        saved_by: saved.saved_by.clone(),
    })
}

fn auth_json(auth: &HookAuth) -> Json {
    let named = |names: &[String]| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("${{{{ secrets.{name} }}}}"))
            .collect()
    };
    match auth {
        HookAuth::Bearer(names) => json!({"bearer": named(names)}),
        HookAuth::Basic(names) => json!({"basic": named(names)}),
        HookAuth::Hmac {
            header,
            prefix,
            secrets,
        } => json!({"hmac": {"header": header, "prefix": prefix, "secrets": named(secrets)}}),
    }
}

fn find(gate: &Gate, tenant: &Tenant, name: &str) -> Result<Kept<SavedHook>, Problem> {
    gate.hooks
        .get(tenant, name)
        .filter(|kept| !kept.value.deleted)
        .ok_or_else(|| Problem::not_found("hook", name))
}

async fn list(State(gate): State<Shared>, caller: Caller, args: Args) -> Result<Response, Problem> {
    let hooks = gate.hooks.list(&caller.tenant).into_iter();
    let there = hooks.filter(|(_, kept)| !kept.value.deleted);
    let page = page_of(there, &args.page()?, |(name, _)| name);
    let mut items = Vec::new();
    for (_, kept) in page.items {
        items.push(show(&gate, &caller.tenant, &kept.value).await?);
    }
    Ok(respond::json(&Listed {
        items,
        next_cursor: page.next_cursor,
        incomplete: false,
    }))
}

async fn get(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let kept = find(&gate, &caller.tenant, &name)?;
    let tag = gate.revision_tag(kept.value.revision);
    if wants_yaml(&headers) {
        return Ok(text(kept.value.text.clone(), &tag));
    }
    let shown = show(&gate, &caller.tenant, &kept.value).await?;
    Ok(respond::tagged(&shown, &tag))
}

async fn create(
    State(gate): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let saving = Saving::new(&gate, &caller, Written::read(&headers, body)?).await?;
    if saving.old().is_some() {
        return Err(Problem::conflict(
            Code::Conflict,
            format!(
                "there is a hook {:?} already; saving it under its name changes it",
                saving.hook.name
            ),
        ));
    }
    saving.save(&HeaderMap::new()).await
}

async fn save(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let saving = Saving::new(&gate, &caller, Written::read(&headers, body)?).await?;
    if saving.hook.name != name {
        return Err(Problem::invalid_at(
            "/hook",
            format!(
                "the document is of {:?}, and the address of {name:?}",
                saving.hook.name
            ),
        ));
    }
    saving.save(&headers).await
}

struct Saving<'a> {
    gate: &'a Gate,
    caller: &'a Caller,
    written: Written,
    hook: Hook,
    /// The name of the secret that the server makes, since the document names none.
    makes: Option<String>,
}

impl<'a> Saving<'a> {
    async fn new(gate: &'a Gate, caller: &'a Caller, written: Written) -> Result<Self, Problem> {
        let (checked, makes) = match with_auth(&written)? {
            Some((completed, secret)) => (completed, Some(secret)),
            None => (written.clone(), None),
        };
        let hook = match checked.check(&gate.room, gate.actions()).await? {
            Document::Hook(hook) => *hook,
            Document::Workflow(_) => {
                let message = "this is a workflow: it belongs to /api/v1/workflows";
                return Err(Problem::invalid_at("", message));
            }
        };
        if hook.role > caller.role {
            return Err(Problem::forbidden(format!(
                "nobody gives a hook a role above their own: yours is {}",
                caller.role
            )));
        }
        let saving = Self {
            gate,
            caller,
            written,
            hook,
            makes,
        };
        saving.check_secrets()?;
        Ok(saving)
    }

    fn old(&self) -> Option<Kept<SavedHook>> {
        find(self.gate, &self.caller.tenant, &self.hook.name).ok()
    }

    /// Every secret that it names must be there: without one nobody, or everybody, could come in.
    fn check_secrets(&self) -> Result<(), Problem> {
        let named = verify::names(&self.hook.auth).iter().enumerate();
        let missing = named.filter(|(_, name)| {
            let there = self.gate.secrets.get(&self.caller.tenant, name);
            let there = there.is_some_and(|kept| kept.value.newest().is_some());
            !there && self.makes.as_ref() != Some(name)
        });
        let spots: Vec<Spot> = missing
            .map(|(place, name)| {
                let mut spot = Spot::at(
                    format!("{}/{place}", pointer(&self.hook.auth)),
                    format!("there is no secret {name}"),
                );
                spot.hint = Some(format!("miractl secret set {name}"));
                spot
            })
            .collect();
        match spots.as_slice() {
            [] => Ok(()),
            [one] => Err(Problem::invalid(one.message.clone(), spots)),
            many => Err(Problem::invalid(
                format!("{} secrets are missing", many.len()),
                spots,
            )),
        }
    }

    async fn save(self, headers: &HeaderMap) -> Result<Response, Problem> {
        let (gate, tenant) = (self.gate, &self.caller.tenant);
        let kept = gate.hooks.get(tenant, &self.hook.name);
        let there = kept.as_ref().filter(|kept| !kept.value.deleted);
        let tag = there.map(|kept| gate.revision_tag(kept.value.revision));
        check_change(headers, tag.as_deref())?;
        let digest = self.digest();
        if let Some(same) = there.filter(|kept| kept.value.digest == digest) {
            return self.answer(StatusCode::OK, &same.value, None).await;
        }
        let new = there.is_none();
        let secret = self.secret(kept.as_ref().map(|kept| &*kept.value)).await?;
        let saved = SavedHook {
            revision: kept.as_ref().map_or(0, |kept| kept.value.revision) + 1,
            digest,
            text: self.written.text.clone(),
            form: self.written.form,
            hook: self.hook.clone(),
            made_secret: self.makes.clone(),
            saved_at: gate.now(),
            saved_by: self.caller.who.clone(),
            deleted: false,
        };
        let at = kept.map(|kept| kept.at);
        let kept = gate.hooks.put(tenant, &self.hook.name, saved, at).await?;
        let status = if new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        self.answer(status, &kept.value, secret).await
    }

    fn digest(&self) -> Digest {
        let hook = serde_json::to_value(&self.hook).unwrap_or_default();
        Digest::of(
            json!({"hook": hook, "text": self.written.text})
                .to_string()
                .as_bytes(),
        )
    }

    /// Makes the secret, unless an earlier saving has. What somebody else has set under its name is not for a hook to
    /// change.
    async fn secret(&self, before: Option<&SavedHook>) -> Result<Option<String>, Problem> {
        let Some(name) = &self.makes else {
            return Ok(None);
        };
        let old = self.gate.secrets.get(&self.caller.tenant, name);
        if let Some(newest) = old.as_ref().and_then(|old| old.value.newest()) {
            let made = before.filter(|hook| hook.made_secret.is_some());
            if made.is_some_and(|hook| !hook.deleted) {
                return Ok(None);
            }
            // One's own is left of a saving that ended in the middle.
            if made.is_none() && newest.set_by != self.caller.who {
                let detail =
                    format!("there is a secret {name} already, which this hook has not made");
                let hint = "name the secret that it is to use in the hook's auth";
                return Err(Problem::conflict(Code::Conflict, detail).hint(hint));
            }
        }
        let secret = make_secret(self.gate.backend.random.as_ref());
        store_version(self.gate, self.caller, name, (&secret, old)).await?;
        Ok(Some(secret.to_string()))
    }

    async fn answer(
        &self,
        status: StatusCode,
        saved: &SavedHook,
        secret: Option<String>,
    ) -> Result<Response, Problem> {
        let made = Made {
            secret_name: secret.as_ref().and(self.makes.clone()),
            hook: show(self.gate, &self.caller.tenant, saved).await?,
            secret,
        };
        let place = format!("/api/v1/hooks/{}", saved.hook.name);
        let mut response = respond::located(status, &place, &made);
        if let Ok(tag) = http::HeaderValue::from_str(&self.gate.revision_tag(saved.revision)) {
            response.headers_mut().insert(http::header::ETAG, tag);
        }
        Ok(response)
    }
}

fn pointer(auth: &HookAuth) -> &'static str {
    match auth {
        HookAuth::Bearer(_) => "/auth/bearer",
        HookAuth::Basic(_) => "/auth/basic",
        HookAuth::Hmac { .. } => "/auth/hmac/secrets",
    }
}

async fn delete(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let kept = find(&gate, &caller.tenant, &name)?;
    check_change(&headers, Some(&gate.revision_tag(kept.value.revision)))?;
    let gone = SavedHook {
        deleted: true,
        text: String::new(),
        saved_at: gate.now(),
        saved_by: caller.who.clone(),
        ..SavedHook::clone(&kept.value)
    };
    gate.hooks
        .put(&caller.tenant, &name, gone, Some(kept.at))
        .await?;
    Ok(respond::empty())
}

async fn deliveries(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    args: Args,
) -> Result<Response, Problem> {
    find(&gate, &caller.tenant, &name)?;
    let page = args.page()?;
    let rows = gate
        .backend
        .views
        .deliveries(&caller.tenant, &name, &page)
        .await?;
    Ok(respond::json(&listed(rows, ShownDelivery::of)))
}
