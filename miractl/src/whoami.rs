//! `miractl whoami`: who the server takes one for.

use clap::Args;
use serde_json::Value;

use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Result};
use crate::model::{clean, joined, text};

/// Show who you are on the server, and what you may do
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl whoami
  miractl whoami -o json | jq -r .principal")]
pub(crate) struct Cmd {}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, _cmd: &Cmd) -> Result<Exit> {
    let api = ctx.api()?;
    let me = api.send(Call::get(v1(["whoami"]))).await?.json()?;
    ctx.out.thing(&me, text(&me, "principal"), || {
        page(ctx, &clean(&me), api.server().as_str())
    })?;
    Ok(Exit::Ok)
}

fn page(ctx: &Ctx, me: &Value, server: &str) -> String {
    let paint = ctx.out.paint();
    let mut page = format!(
        "{}{}\n",
        paint.dim("principal  "),
        paint.strong(text(me, "principal"))
    );
    for (name, value) in [
        ("tenant", joined(&me["tenant"])),
        ("roles", joined(&me["roles"])),
        ("server", server.to_owned()),
    ] {
        if !value.is_empty() {
            page.push_str(&format!("{}{value}\n", paint.dim(format!("{name:<11}"))));
        }
    }
    let rights = me["rights"].as_array().cloned().unwrap_or_default();
    if !rights.is_empty() {
        page.push_str(&format!("{}\n", paint.dim("rights")));
        rights
            .iter()
            .for_each(|right| page.push_str(&format!("  {}\n", crate::model::inline(right))));
    }
    page
}
