//! What a run answers: by name for people, the whole run for programs.

use serde_json::{Map, Value};

use crate::call::{Call, v1};
use crate::client::Api;
use crate::ctx::Ctx;
use crate::exit::Result;
use crate::model::{clean, inline, text};
use crate::output::{Format, pretty};

/// Prints the result of a run that was waited for.
pub(crate) async fn print(ctx: &Ctx, run: &Value) -> Result<()> {
    let shown = match ctx.out.format {
        Format::Table => outputs(&clean(&whole(ctx.api()?, run).await?)),
        Format::Json | Format::Yaml | Format::Name => String::new(),
    };
    ctx.out.thing(run, text(run, "id"), || shown)
}

/// The outputs with large values fetched. A run without a workflow has one step, whose output is
/// what was asked for.
async fn whole(api: &Api, run: &Value) -> Result<Value> {
    let id = text(run, "id");
    let of = if run["workflow"].is_null() {
        &run["steps"][0]["output"]
    } else {
        &run["outputs"]
    };
    let of = fetched(api, id, of).await?;
    let Value::Object(map) = &of else {
        return Ok(of);
    };
    let mut all = Map::new();
    for (name, value) in map {
        all.insert(name.clone(), fetched(api, id, value).await?);
    }
    Ok(Value::Object(all))
}

/// A value, read from where it is if it stands there by reference only.
async fn fetched(api: &Api, run: &str, value: &Value) -> Result<Value> {
    let sha256 = text(value, "sha256");
    if sha256.is_empty() || text(value, "blob").is_empty() || value["size"].is_null() {
        return Ok(value.clone());
    }
    api.send(Call::get(v1(["runs", run, "blobs", sha256])))
        .await?
        .json()
}

/// Outputs as lines `name = value`; long values as indented JSON.
pub(crate) fn outputs(outputs: &Value) -> String {
    let Some(map) = outputs.as_object() else {
        return if outputs.is_null() {
            String::new()
        } else {
            pretty(outputs)
        };
    };
    let line = |(name, value): (&String, &Value)| {
        let short = inline(value);
        let shown = if short.len() > 60 && !value.is_string() {
            pretty(value)
        } else {
            short
        };
        format!("{name} = {shown}\n")
    };
    map.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outputs_are_lines_and_texts_stay_texts() {
        let lines = outputs(&json!({"b": "two words", "a": 1}));
        assert_eq!(lines, "a = 1\nb = two words\n");
        assert_eq!(outputs(&Value::Null), "");
    }
}
