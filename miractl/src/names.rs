//! Names of runs and approvals: the id, an ending of it, `@last`, `@last:WORKFLOW`.

use serde_json::Value;

use crate::call::{Call, v1};
use crate::client::Api;
use crate::exit::{Exit, Failure, Result};
use crate::list::{Paging, fetch};
use crate::model::text;

/// Shorter endings would name several runs before long.
const ENDING_MIN: usize = 6;
/// How far back an ending is looked for: the server cannot search by it, and what people name so
/// they have just seen in a list.
const SEARCHED: u32 = 5_000;

/// The full id of the run that `name` means.
pub(crate) async fn run_id(api: &Api, name: &str) -> Result<String> {
    if let Some(rest) = name.strip_prefix("@last") {
        return last(api, rest).await;
    }
    if is_full(name) {
        return Ok(name.to_lowercase());
    }
    let ending = check_ending(name, "run")?;
    let paging = Paging {
        limit: SEARCHED,
        all: false,
    };
    let page = fetch(api, Call::get(v1(["runs"])), paging).await?;
    one_of(&page.items, &ending, "run").map_err(|failure| {
        if failure.hint.is_some() {
            failure
        } else {
            failure.hint("`miractl run list` shows the ids")
        }
    })
}

/// The approval that `name` means: its own id or ending, or its run's, which then has just one pending.
pub(crate) async fn approval_id(api: &Api, name: &str) -> Result<String> {
    if name.starts_with('@') {
        return pending_of(api, &run_id(api, name).await?).await;
    }
    match api.send(Call::get(v1(["approvals", name]))).await {
        Ok(_) => return Ok(name.to_owned()),
        Err(failure) if matches!(failure.exit, Exit::NotFound | Exit::Usage) => {}
        Err(failure) => return Err(failure),
    }
    if is_full(name) {
        return pending_of(api, &name.to_lowercase()).await;
    }
    let ending = check_ending(name, "approval")?;
    let page = fetch(
        api,
        Call::get(v1(["approvals"])),
        Paging {
            limit: SEARCHED,
            all: false,
        },
    )
    .await?;
    if page.items.iter().any(|a| text(a, "id").ends_with(&ending)) {
        return one_of(&page.items, &ending, "approval");
    }
    match run_id(api, name).await {
        Ok(run) => pending_of(api, &run).await,
        Err(failure) if failure.exit == Exit::NotFound => Err(Failure::not_found(format!(
            "no approval and no run ends with `{name}`"
        ))
        .hint("`miractl approval list` shows what waits")),
        Err(failure) => Err(failure),
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

fn one_of(items: &[Value], ending: &str, what: &str) -> Result<String> {
    let ids: Vec<&str> = items
        .iter()
        .map(|item| text(item, "id"))
        .filter(|id| id.ends_with(ending))
        .collect();
    match ids.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Failure::not_found(format!(
            "no {what} ends with `{ending}` among the newest"
        ))),
        several => Err(Failure::usage(format!(
            "{} {what}s end with `{ending}`: write more of it",
            several.len()
        ))
        .hint(several.join("\n      "))),
    }
}

fn check_ending(name: &str, what: &str) -> Result<String> {
    let name = name.to_lowercase();
    if name.len() < ENDING_MIN || !name.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Err(Failure::usage(format!(
            "`{name}` is no name of {} {what}",
            if what == "run" { "a" } else { "an" }
        ))
        .hint(format!(
            "write its id, an ending of {ENDING_MIN} or more characters, @last or @last:WORKFLOW"
        )));
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
            check_ending("abc12", "run").expect_err("5 characters").exit,
            Exit::Usage
        );
        assert_eq!(
            check_ending("hello-world", "run").expect_err("no hex").exit,
            Exit::Usage
        );
        let items = [
            json!({"id": "0-aaaaaa"}),
            json!({"id": "1-baaaaa"}),
            json!({"id": "2-cccccc"}),
        ];
        assert_eq!(one_of(&items, "cccccc", "run").expect("one"), "2-cccccc");
        assert_eq!(
            one_of(&items, "aaaaa", "run").expect_err("two").exit,
            Exit::Usage
        );
        assert_eq!(
            one_of(&items, "dddddd", "run").expect_err("none").exit,
            Exit::NotFound
        );
    }
}
