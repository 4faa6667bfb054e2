//! The credential of a hook whose document names none.

use engine::registry::Form;
use serde_json::{Map, Value as Json, json};

use crate::documents::Written;
use crate::problem::Problem;
use crate::request::parse;

/// The header in which a generic hook's sender signs, where the server chooses.
const SIGNATURE: &str = "x-mirastack-signature";

/// The document with a credential, and the name of the secret that it needs, when it says nothing about either.
///
/// # Errors
/// 422 when no secret can be named after the hook; 400 and 422 when it is no document.
pub(crate) fn with_auth(written: &Written) -> Result<Option<(Written, String)>, Problem> {
    let (name, kind) = match written.form {
        Form::Json => {
            let map: Map<String, Json> = parse(written.text.as_bytes())?;
            if map.contains_key("auth") {
                return Ok(None);
            }
            let text = |key: &str| map.get(key).and_then(Json::as_str).map(str::to_owned);
            (text("hook"), text("type"))
        }
        Form::Yaml => {
            let lines = || written.text.lines();
            if lines().any(|line| line.starts_with("auth:")) {
                return Ok(None);
            }
            (top_level(lines(), "hook"), top_level(lines(), "type"))
        }
    };
    let Some(name) = name.filter(|name| engine::id::is_name(name)) else {
        return Ok(None);
    };
    let secret = format!("hook_{}", name.replace('-', "_"));
    if !engine::id::is_step_id(&secret) {
        let message =
            "the server makes secrets for names of at most 58 characters: name one in auth";
        return Err(Problem::invalid_at("/hook", message));
    }
    let reference = format!("${{{{ secrets.{secret} }}}}");
    let auth = match kind.as_deref() {
        Some("github") => json!({"hmac": {"secrets": [reference]}}),
        Some("generic") => {
            json!({"hmac": {"header": SIGNATURE, "prefix": "sha256=", "secrets": [reference]}})
        }
        Some(_) | None => json!({"bearer": [reference]}),
    };
    let text = match written.form {
        Form::Json => {
            let mut map: Map<String, Json> = parse(written.text.as_bytes())?;
            map.insert("auth".to_owned(), auth);
            Json::Object(map).to_string()
        }
        // JSON is YAML, and a line of its own is a key of its own.
        Form::Yaml => format!("{}\nauth: {auth}\n", written.text.trim_end()),
    };
    Ok(Some((Written::new(text, written.form)?, secret)))
}

/// The plain value of a top-level key.
fn top_level<'a>(mut lines: impl Iterator<Item = &'a str>, key: &str) -> Option<String> {
    lines.find_map(|line| {
        let value = line.strip_prefix(key)?.strip_prefix(':')?;
        let value = value.split(" #").next().unwrap_or_default().trim();
        Some(value.trim_matches(['"', '\'']).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_without_a_credential_gets_one_of_its_type() {
        let of = |text: &str, form| {
            let written = Written::new(text.to_owned(), form).expect("a document");
            with_auth(&written)
                .expect("a name")
                .map(|(w, s)| (w.text, s))
        };
        let (text, secret) =
            of("hook: my-alerts # ours\ntype: alertmanager\n", Form::Yaml).expect("one");
        assert_eq!(secret, "hook_my_alerts");
        assert!(text.ends_with("\nauth: {\"bearer\":[\"${{ secrets.hook_my_alerts }}\"]}\n"));
        let (text, _) = of(
            r#"{"dedupe":"none","hook":"b","type":"generic"}"#,
            Form::Json,
        )
        .expect("one");
        assert!(text.contains("x-mirastack-signature"));
        let (text, _) = of("hook: pushes\ntype: github\n", Form::Yaml).expect("one");
        assert!(
            text.ends_with("\nauth: {\"hmac\":{\"secrets\":[\"${{ secrets.hook_pushes }}\"]}}\n")
        );
        assert_eq!(of("hook: a\nauth: {}\n", Form::Yaml), None);
        assert_eq!(of(r#"{"hook":"a","auth":{}}"#, Form::Json), None);
        assert_eq!(
            of("workflow: a\n", Form::Yaml),
            None,
            "the check says what it is"
        );
    }
}
