use super::*;

/// Waits for consent: it stays as it is.
const SILENCES: &str = "\
workflow: silences
on:
  - hook: alerts
    with: { value: \"${{ event.alert.labels.alertname }}\" }
inputs:
  value: { type: string }
steps:
  - id: change
    uses: demo/change
    with: { value: \"${{ inputs.value }}\" }
";

fn alert() -> Value {
    json!({
        "status": "firing", "labels": {"alertname": "Down"}, "annotations": {}, "startsAt": "2026-01-01T00:01:00Z",
        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prom", "fingerprint": "f-Down",
    })
}

fn payload(alerts: &Value) -> Value {
    json!({"version": "4", "groupKey": "g", "truncatedAlerts": 0, "status": "firing", "receiver": "r",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am", "alerts": alerts})
}

/// Header lines that do not prove anything.
fn strangers(secret: &str, admin: &str, other: &str) -> Vec<(&'static str, String)> {
    let bearer = |text: &str| format!("authorization: Bearer {text}\r\n");
    let half = &secret[..secret.len() / 2];
    vec![
        ("nothing", String::new()),
        ("an empty one", "authorization:\r\n".to_owned()),
        ("a scheme alone", "authorization: Bearer\r\n".to_owned()),
        ("a scheme and a space", bearer(" ")),
        ("half a secret", bearer(half)),
        ("a secret and more", bearer(&format!("{secret}x"))),
        ("a secret in capitals", bearer(&secret.to_uppercase())),
        (
            "a secret backwards",
            bearer(&secret.chars().rev().collect::<String>()),
        ),
        ("a secret in base64", bearer(&STANDARD.encode(secret))),
        ("a secret in quotes", bearer(&format!("\"{secret}\""))),
        (
            "the hash of the secret",
            bearer(&hex(&Sha256::digest(secret))),
        ),
        ("two secrets in one", bearer(&format!("{secret} {secret}"))),
        ("a list of secrets", bearer(&format!("wrong,{secret}"))),
        (
            "a secret and then a wrong one",
            bearer(secret) + &bearer("wrong"),
        ),
        (
            "a wrong one and then a secret",
            bearer("wrong") + &bearer(secret),
        ),
        ("a secret twice", bearer(secret) + &bearer(secret)),
        ("the secret's name", bearer("hook_alerts")),
        (
            "the secret's expression",
            bearer("${{ secrets.hook_alerts }}"),
        ),
        ("a token of the API", bearer(admin)),
        ("another hook's secret", bearer(other)),
    ]
}

/// Header lines that prove it elsewhere, or otherwise.
fn elsewhere(secret: &str) -> Vec<(&'static str, String)> {
    vec![
        (
            "bytes",
            "authorization: Bearer \u{e9}\u{20ac}\r\n".to_owned(),
        ),
        (
            "another scheme",
            format!("authorization: Token {secret}\r\n"),
        ),
        ("no scheme", format!("authorization: {secret}\r\n")),
        (
            "basic",
            format!(
                "authorization: Basic {}\r\n",
                STANDARD.encode(format!("a:{secret}"))
            ),
        ),
        (
            "basic with a secret as it is",
            format!("authorization: Basic {secret}\r\n"),
        ),
        ("another header", format!("x-api-key: {secret}\r\n")),
        (
            "the proxy's header",
            format!("proxy-authorization: Bearer {secret}\r\n"),
        ),
        (
            "a cookie",
            format!("cookie: authorization=Bearer {secret}\r\n"),
        ),
        (
            "a signature",
            format!(
                "x-mirastack-signature: sha256={}\r\n",
                hmac(secret.as_bytes(), b"{}")
            ),
        ),
    ]
}

/// Payloads that no Alertmanager sends, under good credentials.
fn odd_payloads() -> Vec<(&'static str, Value)> {
    let top = |field: &str, value: Value| {
        let mut payload = payload(&json!([alert()]));
        payload[field] = value;
        payload
    };
    vec![
        ("null", Value::Null),
        ("a list", json!([payload(&json!([alert()]))])),
        ("a text", json!("alerts")),
        ("no alerts", json!({"version": "4"})),
        ("alerts that are null", payload(&Value::Null)),
        ("alerts by name", payload(&json!({"0": alert()}))),
        ("an alert that is a text", payload(&json!(["Down"]))),
        ("a good alert and a bad one", payload(&json!([alert(), {}]))),
        (
            "a negative number of alerts left out",
            top("truncatedAlerts", json!(-1)),
        ),
        (
            "a part of an alert left out",
            top("truncatedAlerts", json!(0.5)),
        ),
        ("a group that is a number", top("groupKey", json!(7))),
        (
            "labels of a group that are numbers",
            top("groupLabels", json!({"a": 1})),
        ),
    ]
}

/// Alerts that no Alertmanager sends.
fn odd_alerts() -> Vec<(&'static str, Value)> {
    let bent = |field: &str, value: Value| {
        let mut alert = alert();
        alert[field] = value;
        payload(&json!([alert]))
    };
    let without = |field: &str| {
        let mut alert = alert();
        alert.as_object_mut().expect("an alert").remove(field);
        payload(&json!([alert]))
    };
    vec![
        ("no status", without("status")),
        ("another status", bent("status", json!("pending"))),
        ("a status in capitals", bent("status", json!("FIRING"))),
        ("no start", without("startsAt")),
        (
            "a start that is a number",
            bent("startsAt", json!(1_767_225_660)),
        ),
        (
            "a start that is a word",
            bent("startsAt", json!("yesterday")),
        ),
        (
            "a start without a zone",
            bent("startsAt", json!("2026-01-01T00:01:00")),
        ),
        (
            "a start on no day",
            bent("startsAt", json!("2026-02-30T00:01:00Z")),
        ),
        (
            "a start of a year with six digits",
            bent("startsAt", json!("202601-01-01T00:00:00Z")),
        ),
        ("labels that are a list", bent("labels", json!(["a"]))),
        ("labels that are numbers", bent("labels", json!({"a": 1}))),
        ("labels that are null", bent("labels", Value::Null)),
        (
            "annotations inside of annotations",
            bent("annotations", json!({"a": {"b": "c"}})),
        ),
        (
            "a fingerprint that is a number",
            bent("fingerprint", json!(1)),
        ),
    ]
}

#[tokio::test]
async fn no_forged_or_broken_alert_is_taken_and_nothing_of_it_stays() {
    let world = world().await;
    let hook = |name: &str| {
        let body = json!({"hook": name, "type": "alertmanager"});
        let ask = world.engineer.post("/api/v1/hooks");
        async move { ask.json(&body).await.text("secret") }
    };
    let (secret, other) = (hook("alerts").await, hook("others").await);
    world.save(SILENCES).await;
    let good = payload(&json!([alert()])).to_string();
    let proof = format!("authorization: Bearer {secret}\r\n");
    let path = "/hooks/alerts";
    let sender = requests::Sender {
        path,
        proof: &proof,
        body: &good,
    };
    let mut all = sender.odd();
    let strangers = strangers(&secret, &world.admin.token(), &other);
    for (name, headers) in strangers.into_iter().chain(elsewhere(&secret)) {
        all.push(forged(name, post(path, &headers, good.as_bytes()), 401));
        // Whatever a stranger sends is not looked at.
        all.push(forged(
            format!("{name}, and no JSON"),
            post(path, &headers, b"{"),
            401,
        ));
    }
    for (name, body) in bodies::broken(&good) {
        all.push(forged(name, post(path, &proof, &body), 400));
    }
    for (name, body) in odd_payloads().into_iter().chain(odd_alerts()) {
        all.push(forged(
            name,
            post(path, &proof, body.to_string().as_bytes()),
            400,
        ));
    }
    all_refused(&world, &secret, &all).await;
    nothing_stays(
        &world,
        "alerts",
        &[episode_key("alerts", "alert", "f-Down")],
    )
    .await;
    let sender = world.nobody.with_token(&secret);
    let compressed = sender.post(path).header("content-encoding", "gzip");
    let answer = compressed.json(&json!({})).await;
    assert_eq!(answer.code(415), "unsupported_media_type");
    let (status, said) = send(world.address, &post(path, &proof, good.as_bytes())).await;
    assert_eq!(status, 202, "{said}");
    assert_eq!(world.operator.get("/api/v1/runs").await.items().len(), 1);
}
