//! `miractl apply`: documents of files, saved on the server.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::call::{Call, v1};
use crate::client::Api;
use crate::ctx::Ctx;
use crate::document::{self, Document};
use crate::exit::{Exit, Failure, Result};
use crate::human::{count, dash};
use crate::model::text;
use crate::output::Format;
use crate::receiver;
use crate::report;
use crate::table::{Table, status};

/// Which files are meant.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// A file, a folder with *.mira.yaml files, or - for stdin; may be repeated
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// Save workflows and hooks from files
///
/// Hooks are saved before the workflows that name them. A document that is not valid does not keep
/// the others from being saved; all errors are shown, and the exit code is 2.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl apply -f silence.mira.yaml
  miractl apply -f deploy/mirastack/
  cat *.mira.yaml | miractl apply -f -")]
pub(crate) struct Cmd {
    #[command(flatten)]
    files: Files,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    files(ctx, &cmd.files, None).await
}

/// Saves the documents of `files`; with `only` other kinds are refused.
pub(crate) async fn files(ctx: &Ctx, files: &Files, only: Option<&str>) -> Result<Exit> {
    let documents = document::read(&files.files)?;
    if let (Some(kind), Some(other)) = (
        only,
        documents
            .iter()
            .find(|d| Some(d.kind) != only && !d.kind.is_empty()),
    ) {
        let place = format!("{}:{}", other.source.name, other.source.lines_before + 1);
        return Err(
            Failure::usage(format!("{place}: this is a {}, not a {kind}", other.kind))
                .hint("`miractl apply -f` takes all kinds"),
        );
    }
    let api = ctx.api()?;
    let mut saved = Vec::new();
    let mut worst = None;
    for document in &documents {
        match save(api, document).await {
            Ok(one) => saved.push(one),
            // Without the server or the right to it every other document fails the same way.
            Err(failure) if failure.exit != Exit::Usage && failure.exit != Exit::Conflict => {
                print(ctx, &saved)?;
                return Err(failure);
            }
            Err(failure) => {
                report::print(&failure, &ctx.out);
                worst = Some(failure.exit);
            }
        }
    }
    print(ctx, &saved)?;
    if let Some(exit) = worst {
        let failed = documents.len() - saved.len();
        ctx.out.err(&format!(
            "{} of {} not saved",
            failed,
            count(documents.len(), "document")
        ));
        return Ok(exit);
    }
    Ok(Exit::Ok)
}

/// Saves one document; says what that changed.
async fn save(api: &Api, document: &Document) -> Result<Value> {
    let within = |failure: Box<Failure>| failure.within(document.source.clone());
    if document.kind.is_empty() || document.name.is_empty() {
        // Only the server knows what is wrong with it; and if it finds nothing, we do.
        api.send(Call::post(v1(["validate"])).yaml(&document.text))
            .await
            .map_err(within)?;
        let place = format!(
            "{}:{}",
            document.source.name,
            document.source.lines_before + 1
        );
        return Err(
            Failure::usage(format!("{place}: the document does not say what it is"))
                .hint("its first key names the kind and the name, such as `workflow: my-first`"),
        );
    }
    let plural = if document.kind == "hook" {
        "hooks"
    } else {
        "workflows"
    };
    let path = || v1([plural, &document.name]);
    let before = match api.send(Call::get(path())).await {
        Ok(answer) => Some(answer.json()?["revision"].clone()),
        Err(failure) if failure.exit == Exit::NotFound => None,
        Err(failure) => return Err(failure),
    };
    let answer = api
        .send(Call::put(path()).yaml(&document.text))
        .await
        .map_err(within)?;
    let mut saved = answer.json()?;
    let result = match before {
        _ if answer.status == reqwest::StatusCode::CREATED => "created",
        None => "created",
        Some(revision) if !revision.is_null() && revision == saved["revision"] => "unchanged",
        Some(_) => "updated",
    };
    if !saved.is_object() {
        saved = json!({});
    }
    saved["kind"] = document.kind.into();
    saved["name"] = document.name.as_str().into();
    saved["result"] = result.into();
    Ok(saved)
}

fn print(ctx: &Ctx, saved: &[Value]) -> Result<()> {
    if ctx.out.structured(&json!({ "items": saved }))? {
        return Ok(());
    }
    if ctx.out.format == Format::Name {
        return saved.iter().try_for_each(|s| ctx.out.data(text(s, "name")));
    }
    if saved.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["RESULT", "KIND", "~NAME", "REVISION"]);
    for one in saved {
        let revision = if one["revision"].is_null() {
            String::new()
        } else {
            one["revision"].to_string()
        };
        table.row(vec![
            status(text(one, "result")),
            text(one, "kind").into(),
            text(one, "name").into(),
            dash(&revision).into(),
        ]);
    }
    ctx.out.data(&table.render(&ctx.out))?;
    for hook in saved {
        // A document that names no secret has one made, which is told once.
        if let Some(paste) = receiver::paste(hook, ctx.api()?.server()) {
            ctx.out.say(&format!(
                "\nThe secret of the hook {} is shown only now:",
                text(hook, "name")
            ));
            ctx.out.data(paste.trim_end())?;
        }
    }
    let workflow = saved.iter().find(|s| text(s, "kind") == "workflow");
    if let Some(workflow) = workflow.filter(|_| saved.len() == 1) {
        ctx.out
            .next(&[format!("miractl workflow run {}", text(workflow, "name"))]);
    }
    Ok(())
}
