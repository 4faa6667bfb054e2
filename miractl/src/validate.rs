//! `miractl workflow validate`: the server's checks, the order of the steps, and the warnings.

use serde_json::{Value, json};

use crate::apply::Files;
use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::document::{self, Document};
use crate::exit::{Exit, Result};
use crate::human::{count, dash};
use crate::model::{joined, text};
use crate::output::Format;
use crate::paint::Tone;
use crate::problem::spots;
use crate::report;
use crate::table::{Table, cell};

/// Checks the documents of `files`.
pub(crate) async fn files(ctx: &Ctx, files: &Files) -> Result<Exit> {
    let documents = document::read(&files.files)?;
    let api = ctx.api()?;
    let mut answers = Vec::new();
    let mut wrong = 0;
    for document in &documents {
        match api
            .send(Call::post(v1(["validate"])).yaml(&document.text))
            .await
        {
            Ok(answer) => {
                let answer = answer.json()?;
                show(ctx, document, &answer)?;
                answers.push(json!({ "file": document.source.name, "kind": document.kind, "name": document.name, "answer": answer }));
            }
            Err(failure) if failure.exit == Exit::Usage => {
                wrong += 1;
                report::print(&failure.within(document.source.clone()), &ctx.out);
            }
            Err(failure) => return Err(failure),
        }
    }
    ctx.out.structured(&json!({ "items": answers }))?;
    if wrong > 0 {
        ctx.out.err(&format!(
            "{wrong} of {} not valid",
            count(documents.len(), "document")
        ));
        return Ok(Exit::Usage);
    }
    Ok(Exit::Ok)
}

fn show(ctx: &Ctx, document: &Document, answer: &Value) -> Result<()> {
    for warning in spots(&answer["warnings"]) {
        ctx.out
            .err(report::place(&warning, Some(&document.source), "warning", &ctx.out).trim_end());
    }
    match ctx.out.format {
        Format::Name => ctx.out.data(&document.name),
        Format::Json | Format::Yaml => Ok(()),
        Format::Table => {
            let paint = ctx.out.paint();
            let name = paint.strong(dash(&document.name));
            ctx.out.data(&format!(
                "{} {name} in {} is {}",
                document.kind,
                document.source.name,
                paint.tone(Tone::Good, "valid")
            ))?;
            let graph = graph(ctx, &answer["graph"]);
            if graph.is_empty() {
                Ok(())
            } else {
                ctx.out.data(&graph)
            }
        }
    }
}

/// The order of the steps: a list of nodes, under `steps` or by itself, or a text that is shown as it is.
fn graph(ctx: &Ctx, graph: &Value) -> String {
    if let Some(text) = graph.as_str() {
        return text.to_owned();
    }
    let Some(nodes) = graph["steps"]
        .as_array()
        .or_else(|| graph["nodes"].as_array())
        .or_else(|| graph.as_array())
    else {
        return String::new();
    };
    let mut table = Table::new(&["  STEP", "~DOES", "PERMISSION", "~AFTER", "SECTION"]);
    for node in nodes {
        let first = |names: &[&str]| {
            let found = names
                .iter()
                .map(|name| joined(&node[*name]))
                .find(|text| !text.is_empty());
            found.unwrap_or_default()
        };
        let section = text(node, "section");
        let permission = first(&["permission"]);
        let asks = matches!(permission.as_str(), "MODIFY" | "ADMIN");
        table.row(vec![
            format!("  {}", first(&["id", "step", "name"])).into(),
            first(&["uses", "action", "kind"]).into(),
            cell(permission, if asks { Tone::Attention } else { Tone::Plain }),
            first(&["needs", "after"]).into(),
            cell(if section == "steps" { "" } else { section }, Tone::Dim),
        ]);
    }
    table.render(&ctx.out)
}
