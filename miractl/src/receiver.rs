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

/// The configuration of the sender.
pub(crate) fn paste(kind: &str, name: &str, url: &str, secret: &str) -> String {
    match kind {
        "alertmanager" => alertmanager(name, url, secret),
        _ => generic(url, secret),
    }
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

fn generic(url: &str, secret: &str) -> String {
    format!(
        "\
url: {}
secret: {}
# The sender signs the raw body: HMAC-SHA256 with the secret, in hex, in the hook's signature header.
",
        quoted(url),
        quoted(secret)
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
        let text = paste(
            "alertmanager",
            "alerts",
            "http://127.0.0.1:8080/hooks/alerts",
            "s: \"3#'x",
        );
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
