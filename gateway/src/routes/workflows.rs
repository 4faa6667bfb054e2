//! Workflows: saved as documents, kept in revisions.
//!
//! Creating the item of a revision is the moment of saving. The newest revision, which everybody reads, follows it; if
//! this process dies in between, whoever saves next rolls it forward first.

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use engine::definition::Workflow;
use engine::digest::Digest;
use engine::id::Tenant;
use engine::language::{CheckedWorkflow, Document};
use engine::principal::{Permission, Principal};
use engine::registry::{Form, SavedWorkflow, decode, encode, revision_key};
use engine::time::Timestamp;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use store::port::Expect;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::documents::Written;
use crate::gate::{Gate, Shared};
use crate::mirror::Kept;
use crate::page::page_of;
use crate::problem::Problem;
use crate::request::{Arg, Args, CURSOR_ARG, LIMIT_ARG, header};
use crate::respond::{self, Listed, check_change};
use crate::route::{Route, Shape};

/// Others may save the same name at the same time; this often they may be faster.
const TRIES: usize = 8;

const REVISION: [Arg; 1] = [Arg::one("revision", "This one, not the newest.")];
pub(super) const YAML: &str = "application/yaml";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/workflows", Right::Read),
            "listWorkflows",
            "The workflows, by name.",
            list,
        )
        .args(&[LIMIT_ARG, CURSOR_ARG])
        .answer(200, "The workflows.", Shape::list::<Row>()),
        Route::get(
            ("/api/v1/workflows/{name}", Right::Read),
            "getWorkflow",
            "A workflow; with `Accept: application/yaml` its text, byte for byte.",
            get,
        )
        .args(&REVISION)
        .answer(200, "The workflow.", Shape::json::<Full>())
        .answer(200, "Its text.", Shape::text(YAML)),
        Route::put(
            ("/api/v1/workflows/{name}", Right::Save),
            "saveWorkflow",
            "Save a workflow. What is as it was keeps its revision.",
            save,
        )
        .body(Shape::object(YAML))
        .body(Shape::object("application/json"))
        .answer(
            200,
            "It has a new revision, or is as it was.",
            Shape::json::<Saved>(),
        )
        .answer(201, "It is new.", Shape::json::<Saved>()),
        Route::delete(
            ("/api/v1/workflows/{name}", Right::Save),
            "deleteWorkflow",
            "Delete a workflow's name. Its runs go on.",
            delete,
        )
        .empty(204, "It is gone."),
    ]
}

/// A workflow in a list.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkflowRow)]
pub(crate) struct Row {
    /// Its name.
    name: String,
    /// For people.
    description: Option<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// Its labels.
    labels: std::collections::BTreeMap<String, String>,
    /// READ, MODIFY or ADMIN: the ceiling of its steps.
    #[schema(value_type = String)]
    permission: Permission,
    /// The hooks that start it.
    hooks: Vec<String>,
    /// Its newest revision.
    revision: u64,
    /// Of its definition.
    #[schema(value_type = String)]
    digest: Digest,
    /// When it was saved.
    #[schema(value_type = String, format = DateTime)]
    saved_at: Timestamp,
    /// By whom.
    #[schema(value_type = String)]
    saved_by: Principal,
}

/// A workflow.
#[derive(Serialize, ToSchema)]
#[schema(as = Workflow)]
struct Full {
    #[serde(flatten)]
    row: Row,
    /// The definition, with all defaults.
    #[schema(value_type = Object)]
    definition: Workflow,
}

/// What was saved.
#[derive(Serialize, ToSchema)]
#[schema(as = SavedWorkflow)]
struct Saved {
    /// Its name.
    name: String,
    /// Its revision.
    revision: u64,
    /// Of its definition.
    #[schema(value_type = String)]
    digest: Digest,
}

impl Row {
    fn of(name: &str, saved: &SavedWorkflow, definition: &Workflow) -> Self {
        Self {
            name: name.to_owned(),
            description: definition.description.clone(),
            owner: definition.owner.clone(),
            labels: definition.labels.clone(),
            permission: definition.permission,
            hooks: definition.on.iter().map(|t| t.hook.clone()).collect(),
            revision: saved.revision,
            digest: saved.digest,
            saved_at: saved.saved_at,
            saved_by: saved.saved_by.clone(),
        }
    }
}

async fn list(State(gate): State<Shared>, caller: Caller, args: Args) -> Result<Response, Problem> {
    let workflows = gate.workflows.list(&caller.tenant).into_iter();
    let there = workflows.filter(|(_, kept)| !kept.value.deleted);
    let page = page_of(there, &args.page()?, |(name, _)| name);
    let mut rows = Vec::new();
    for (name, kept) in page.items {
        let definition = gate.definition(&caller.tenant, kept.value.digest).await?;
        rows.push(Row::of(&name, &kept.value, &definition));
    }
    Ok(respond::json(&Listed {
        items: rows,
        next_cursor: page.next_cursor,
        incomplete: false,
    }))
}

async fn get(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    args: Args,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let newest = gate.workflow(&caller.tenant, &name).await?;
    let saved = match args.parsed::<u64>("revision", "a number")? {
        Some(number) if number != newest.revision => {
            revision(&gate, &caller.tenant, &name, (number, newest.revision)).await?
        }
        Some(_) | None => SavedWorkflow::clone(&newest),
    };
    let tag = gate.revision_tag(saved.revision);
    if wants_yaml(&headers) {
        return Ok(text(saved.text, &tag));
    }
    let definition = gate.definition(&caller.tenant, saved.digest).await?;
    let full = Full {
        row: Row::of(&name, &saved, &definition),
        definition: Workflow::clone(&definition),
    };
    Ok(respond::tagged(&full, &tag))
}

/// A document as it was saved.
pub(super) fn text(text: String, tag: &str) -> Response {
    let mut response = respond::tagged_bytes(
        StatusCode::OK,
        HeaderValue::from_static("application/yaml; charset=utf-8"),
        text,
        tag,
    );
    let vary = HeaderValue::from_static("accept");
    response.headers_mut().insert(http::header::VARY, vary);
    response
}

/// Whether the text is asked for.
pub(super) fn wants_yaml(headers: &HeaderMap) -> bool {
    header(headers, &ACCEPT).is_some_and(|accept| {
        let kinds = accept.split(',').map(|kind| kind.split(';').next());
        kinds.flatten().map(str::trim).any(|kind| {
            matches!(
                kind,
                "application/yaml" | "application/x-yaml" | "text/yaml"
            )
        })
    })
}

async fn revision(
    gate: &Gate,
    tenant: &Tenant,
    name: &str,
    (number, newest): (u64, u64),
) -> Result<SavedWorkflow, Problem> {
    let missing = || Problem::not_found("revision", &format!("{number} of {name}"));
    if number > newest {
        return Err(missing());
    }
    let key = revision_key(tenant, name, number);
    let item = gate.backend.registry.get(&key).await?.ok_or_else(missing)?;
    decode(&item.value).map_err(|error| {
        tracing::error!(key, error, "a revision cannot be read");
        Problem::internal()
    })
}

async fn save(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let written = Written::read(&headers, body)?;
    let checked = checked(&gate, &written).await?;
    let definition = &checked.definition;
    if definition.name != name {
        return Err(Problem::invalid_at(
            "/workflow",
            format!(
                "the document is of {:?}, and the address of {name:?}",
                definition.name
            ),
        ));
    }
    caller.must_reach(definition.permission, "this workflow's ceiling")?;
    let actions = gate.actions();
    let digest = definition.digest();
    gate.store_def(&caller.tenant, digest, &definition.bytes())
        .await?;
    gate.pin(&caller.tenant, definition, &actions).await?;
    let saving = Saving {
        gate: &gate,
        caller: &caller,
        name: &name,
        written,
        digest,
    };
    let (saved, new) = saving.save(&headers).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let place = format!("/api/v1/workflows/{name}");
    let answer = Saved {
        name,
        revision: saved.revision,
        digest: saved.digest,
    };
    let mut response = respond::located(status, &place, &answer);
    if let Ok(tag) = HeaderValue::from_str(&gate.revision_tag(saved.revision)) {
        response.headers_mut().insert(http::header::ETAG, tag);
    }
    Ok(response)
}

async fn checked(gate: &Gate, written: &Written) -> Result<CheckedWorkflow, Problem> {
    match written.check(&gate.room, gate.actions()).await? {
        Document::Workflow(checked) => Ok(*checked),
        Document::Hook(_) => Err(Problem::invalid_at(
            "",
            "this is a hook: it belongs to /api/v1/hooks",
        )),
    }
}

struct Saving<'a> {
    gate: &'a Gate,
    caller: &'a Caller,
    name: &'a str,
    written: Written,
    digest: Digest,
}

impl Saving<'_> {
    /// Saves; answers what stands now, and whether the name is new.
    async fn save(&self, headers: &HeaderMap) -> Result<(SavedWorkflow, bool), Problem> {
        for _ in 0..TRIES {
            let newest = self.gate.workflows.get(&self.caller.tenant, self.name);
            let there = newest.as_ref().filter(|kept| !kept.value.deleted);
            let tag = there.map(|kept| self.gate.revision_tag(kept.value.revision));
            check_change(headers, tag.as_deref())?;
            if let Some(kept) = there
                && kept.value.text == self.written.text
                && kept.value.digest == self.digest
            {
                return Ok((SavedWorkflow::clone(&kept.value), false));
            }
            let next = self.next(newest.as_ref());
            if self.create_revision(&next).await? {
                self.lead(&next, newest.as_ref()).await?;
                return Ok((next, there.is_none()));
            }
            self.roll_forward(next.revision, newest.as_ref()).await?;
        }
        Err(Problem::unavailable(
            "many save this workflow at once: try again",
        ))
    }

    fn next(&self, newest: Option<&Kept<SavedWorkflow>>) -> SavedWorkflow {
        SavedWorkflow {
            revision: newest.map_or(0, |kept| kept.value.revision) + 1,
            digest: self.digest,
            text: self.written.text.clone(),
            form: self.written.form,
            saved_at: self.gate.now(),
            saved_by: self.caller.who.clone(),
            deleted: false,
        }
    }

    /// The moment of saving. `false`: somebody else has saved that revision.
    async fn create_revision(&self, next: &SavedWorkflow) -> Result<bool, Problem> {
        let key = revision_key(&self.caller.tenant, self.name, next.revision);
        let registry = &self.gate.backend.registry;
        match registry.put(&key, &encode(next), Expect::Absent).await {
            Ok(_) => Ok(true),
            Err(store::Error::Conflict(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a revision the newest. Somebody else may have done so already.
    async fn lead(
        &self,
        next: &SavedWorkflow,
        newest: Option<&Kept<SavedWorkflow>>,
    ) -> Result<(), Problem> {
        let at = newest.map(|kept| kept.at);
        let put = self
            .gate
            .workflows
            .put(&self.caller.tenant, self.name, next.clone(), at)
            .await;
        match put {
            Ok(_) | Err(store::Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A revision is there that is not the newest yet: its saver died, is about to go on, or was faster than the
    /// mirror here.
    async fn roll_forward(
        &self,
        number: u64,
        newest: Option<&Kept<SavedWorkflow>>,
    ) -> Result<(), Problem> {
        let tenant = &self.caller.tenant;
        let saved = revision(self.gate, tenant, self.name, (number, number)).await?;
        self.lead(&saved, newest).await?;
        self.gate.workflows.refresh(tenant, self.name).await?;
        Ok(())
    }
}

async fn delete(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let newest = gate.workflows.get(&caller.tenant, &name);
    let newest = newest.filter(|kept| !kept.value.deleted);
    let newest = newest.ok_or_else(|| Problem::not_found("workflow", &name))?;
    check_change(&headers, Some(&gate.revision_tag(newest.value.revision)))?;
    let gone = SavedWorkflow {
        deleted: true,
        text: String::new(),
        form: Form::Yaml,
        saved_at: gate.now(),
        saved_by: caller.who.clone(),
        ..SavedWorkflow::clone(&newest.value)
    };
    gate.workflows
        .put(&caller.tenant, &name, gone, Some(newest.at))
        .await?;
    Ok(respond::empty())
}
