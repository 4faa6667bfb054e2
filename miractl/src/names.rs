//! Names of runs and approvals: the id, an ending of it, `@last`, `@last:WORKFLOW`.

use serde_json::Value;

use crate::call::{Call, v1};
use crate::client::Api;
use crate::exit::{Exit, Failure, Result};
use crate::list::{Paging, fetch};
use crate::model::text;

/// Shorter endings would name several runs before long.
const ENDING_MIN: usize = 6;
/// So many of the runs that an ambiguous ending names are shown.
const SHOWN: u32 = 10;

/// The full id of the run that `name` means.
pub(crate) async fn run_id(api: &Api, name: &str) -> Result<String> {
    if let Some(rest) = name.strip_prefix("@last") {
        return last(api, rest).await;
    }
    if is_full(name) {
        return Ok(name.to_lowercase());
    }
    let ending = check_ending(name)?;
    let few = Paging {
        limit: SHOWN,
        all: false,
    };
    let call = Call::get(v1(["runs"])).query("ending", &ending);
    one_of(&fetch(api, call, few).await?.items, &ending)
}

/// The approval that `name` means: its own id, in which the run may be named like any run
/// (`RUN.STEP.ASKING`), or its run's name, which then has just one pending.
pub(crate) async fn approval_id(api: &Api, name: &str) -> Result<String> {
    match name.split_once('.') {
        Some((run, rest)) => Ok(format!("{}.{rest}", run_id(api, run).await?)),
        None => pending_of(api, &run_id(api, name).await?).await,
    }
}

async fn last(api: &Api, rest: &str) -> Result<String> {
    let workflow = match rest.strip_prefix(':') {
        Some(workflow) if !workflow.is_empty() => Some(workflow),
        None if rest.is_empty() => None,
        Some(_) | None => {
            return Err(Failure::usage(format!("`@last{rest}` is no name of a run"))
                .hint("write @last, or @last:WORKFLOW"));
        }
    };
    let call = Call::get(v1(["runs"])).maybe("workflow", workflow);
    let page = fetch(
        api,
        call,
        Paging {
            limit: 1,
            all: false,
        },
    )
    .await?;
    let id = page.items.first().map(|run| text(run, "id").to_owned());
    id.filter(|id| !id.is_empty())
        .ok_or_else(|| match workflow {
            Some(workflow) => Failure::not_found(format!("workflow `{workflow}` has no runs"))
                .hint(format!("start one: miractl workflow run {workflow}")),
            None => Failure::not_found("there are no runs yet")
                .hint("start one: miractl workflow run NAME"),
        })
}

async fn pending_of(api: &Api, run: &str) -> Result<String> {
    let answer = api.send(Call::get(v1(["runs", run]))).await?.json()?;
    let waits = answer["waiting_for"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let ids: Vec<&str> = waits
        .iter()
        .filter(|w| text(w, "kind") == "approval")
        .map(|w| text(w, "id"))
        .filter(|id| !id.is_empty())
        .collect();
    match ids.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Failure::new(
            Exit::Conflict,
            format!(
                "run {run} waits for no approval; it is {}",
                text(&answer, "status")
            ),
        )
        .hint(format!("miractl run get {run}"))),
        several => Err(Failure::usage(format!(
            "run {run} waits for {} approvals: name one of them",
            several.len()
        ))
        .hint(
            several
                .iter()
                .map(|id| format!("miractl approval get {id}"))
                .collect::<Vec<_>>()
                .join("\n      "),
        )),
    }
}

fn one_of(items: &[Value], ending: &str) -> Result<String> {
    let ids = items.iter().map(|item| text(item, "id"));
    let ids: Vec<&str> = ids.filter(|id| id.ends_with(ending)).collect();
    match ids.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Failure::not_found(format!("no run ends with `{ending}`"))
            .hint("`miractl run list` shows the ids")),
        several => {
            let found = format!("several runs end with `{ending}`: write more of it");
            Err(Failure::usage(found).hint(several.join("\n      ")))
        }
    }
}

fn check_ending(name: &str) -> Result<String> {
    let name = name.to_lowercase();
    let is_ending = |c: char| c.is_ascii_hexdigit() || c == '-';
    if name.len() < ENDING_MIN || !name.chars().all(is_ending) {
        let known = format!(
            "write its id, an ending of {ENDING_MIN} or more characters, @last or @last:WORKFLOW"
        );
        return Err(Failure::usage(format!("`{name}` names no run")).hint(known));
    }
    Ok(name)
}

fn is_full(name: &str) -> bool {
    name.len() == 36 && uuid::Uuid::try_parse(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_ending_must_be_long_enough_and_unique() {
        assert_eq!(
            check_ending("abc12").expect_err("5 characters").exit,
            Exit::Usage
        );
        assert_eq!(
            check_ending("hello-world").expect_err("no hex").exit,
            Exit::Usage
        );
        let items = [
            json!({"id": "0-aaaaaa"}),
            json!({"id": "1-baaaaa"}),
            json!({"id": "2-cccccc"}),
        ];
        assert_eq!(one_of(&items, "cccccc").expect("one"), "2-cccccc");
        assert_eq!(one_of(&items, "aaaaa").expect_err("two").exit, Exit::Usage);
        assert_eq!(
            one_of(&items, "dddddd").expect_err("none").exit,
            Exit::NotFound
        );
    }
}
