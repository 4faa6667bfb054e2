//! What the sender of a hook needs: configuration to paste, with the secret in its place.

use reqwest::Url;
use serde_json::Value;

use crate::model::text;

/// The address that a hook's sender posts to.
pub(crate) fn address(server: &Url, name: &str, answer: &Value) -> String {
    let given = text(answer, "url");
    if given.contains("://") {
        return given.to_owned();
    }
    let mut url = server.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["hooks", name]);
    }
    url.to_string()
}

/// The configuration of the sender of a hook that was just made; `None` if its secret is not told.
pub(crate) fn paste(hook: &Value, server: &Url) -> Option<String> {
    let secret = Some(text(hook, "secret")).filter(|s| !s.is_empty())?;
    let name = [text(hook, "name"), text(hook, "hook")]
        .into_iter()
        .find(|n| !n.is_empty())
        .unwrap_or_default();
    let url = address(server, name, hook);
    Some(match text(hook, "type") {
        "alertmanager" => alertmanager(name, &url, secret),
        "github" => github(&url, secret),
        _ => signed(&hook["auth"]["hmac"], &url, secret),
    })
}

/// A receiver and a route for `alertmanager.yml`.
fn alertmanager(name: &str, url: &str, secret: &str) -> String {
    let (name, url, secret) = (
        quoted(&format!("mirastack-{name}")),
        quoted(url),
        quoted(secret),
    );
    format!(
        "\
# into alertmanager.yml
route:
  routes:
    - receiver: {name}
      continue: true          # the other receivers are told as before
receivers:
  - name: {name}
    webhook_configs:
      - url: {url}
        send_resolved: true   # ends what the alert started
        http_config:
          authorization:
            type: Bearer
            credentials: {secret}
"
    )
}

/// What is entered on GitHub, under Settings, Webhooks, Add webhook.
fn github(url: &str, secret: &str) -> String {
    let (url, secret) = (quoted(url), quoted(secret));
    format!(
        "\
# on GitHub: Settings, Webhooks, Add webhook
Payload URL: {url}
Content type: application/json
Secret: {secret}
SSL verification: enable
"
    )
}

/// What a sender needs that signs what it sends, and how to try it by hand.
fn signed(hmac: &Value, url: &str, secret: &str) -> String {
    let (header, prefix) = (text(hmac, "header"), text(hmac, "prefix"));
    let header = if header.is_empty() {
        "x-mirastack-signature"
    } else {
        header
    };
    let (quoted_url, secret) = (quoted(url), quoted(secret));
    format!(
        "\
url: {quoted_url}
secret: {secret}
header: {header}
# The header holds {prefix}HEX, the HMAC-SHA256 of the raw body with the secret. To try it:
#   sig=$(openssl dgst -sha256 -hmac \"$SECRET\" -r < body.json | cut -d' ' -f1)
#   curl -H \"{header}: {prefix}$sig\" -H 'content-type: application/json' \\
#        --data-binary @body.json {url}
"
    )
}

/// A YAML string that needs no thought about what stands in it; JSON strings are YAML strings.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_receiver_is_valid_yaml_with_the_secret_in_its_place() {
        let hook = json!({"name": "alerts", "type": "alertmanager", "secret": "s: \"3#'x"});
        let server = Url::parse("http://127.0.0.1:8080").expect("a server");
        let text = paste(&hook, &server).expect("a secret");
        let read: Value = serde_saphyr::from_str(&text).expect("YAML");
        let webhook = &read["receivers"][0]["webhook_configs"][0];
        assert_eq!(webhook["url"], json!("http://127.0.0.1:8080/hooks/alerts"));
        assert_eq!(
            webhook["http_config"]["authorization"]["credentials"],
            json!("s: \"3#'x")
        );
        assert_eq!(
            read["route"]["routes"][0]["receiver"],
            read["receivers"][0]["name"]
        );
    }

    #[test]
    fn on_github_one_enters_the_address_the_secret_and_json() {
        let hook =
            json!({"name": "g", "type": "github", "secret": "s1", "url": "https://h/hooks/g"});
        let server = Url::parse("https://h").expect("a server");
        let text = paste(&hook, &server).expect("a secret");
        let read: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(read["Payload URL"], json!("https://h/hooks/g"));
        assert_eq!(read["Content type"], json!("application/json"));
        assert_eq!(read["Secret"], json!("s1"));
    }

    #[test]
    fn a_signing_sender_is_told_its_header_and_a_hook_without_a_new_secret_nothing() {
        let auth = json!({"hmac": {"header": "x-sig", "prefix": "sha256="}});
        let hook = json!({"name": "b", "type": "generic", "secret": "s1", "auth": auth, "url": "https://h/hooks/b"});
        let server = Url::parse("https://h").expect("a server");
        let text = paste(&hook, &server).expect("a secret");
        let read: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(
            read,
            json!({"url": "https://h/hooks/b", "secret": "s1", "header": "x-sig"})
        );
        assert!(text.contains("x-sig: sha256=$sig"), "{text}");
        assert_eq!(paste(&json!({"name": "b"}), &server), None);
    }

    #[test]
    fn the_address_is_the_servers_own_unless_the_answer_names_one() {
        let server = Url::parse("https://h/mira").expect("a server");
        assert_eq!(
            address(&server, "alerts", &json!({})),
            "https://h/mira/hooks/alerts"
        );
        assert_eq!(
            address(
                &server,
                "alerts",
                &json!({"url": "https://out/hooks/alerts"})
            ),
            "https://out/hooks/alerts"
        );
    }
}
