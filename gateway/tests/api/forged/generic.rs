use super::*;

/// Waits for consent: it stays as it is.
const BUILDS: &str = "\
workflow: builds
on:
  - hook: builds
    with: { value: \"${{ string(event.body.id) }}\" }
inputs:
  value: { type: string }
steps:
  - id: change
    uses: demo/change
    with: { value: \"${{ inputs.value }}\" }
";

const GOOD: &str = r#"{"id": 42, "ok": true}"#;

fn line(value: &str) -> String {
    format!("x-mirastack-signature: {value}\r\n")
}

/// With another last digit.
fn turned(right: &str) -> String {
    let last = if right.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &right[..63])
}

/// Header lines that do not prove [`GOOD`].
fn strangers(secret: &str) -> Vec<(&'static str, String)> {
    let right = hmac(secret.as_bytes(), GOOD.as_bytes());
    let turned = turned(&right);
    let signed = |digits: &str| line(&format!("sha256={digits}"));
    vec![
        ("nothing", String::new()),
        ("an empty one", line("")),
        ("a prefix alone", line("sha256=")),
        ("no prefix", line(&right)),
        ("another prefix", line(&format!("sha1={right}"))),
        ("a longer prefix", line(&format!("sha2567={right}"))),
        ("a prefix in capitals", line(&format!("SHA256={right}"))),
        ("a prefix twice", line(&format!("sha256=sha256={right}"))),
        (
            "a space after the prefix",
            line(&format!("sha256= {right}")),
        ),
        ("0x", signed(&format!("0x{right}"))),
        ("half of it", signed(&right[..32])),
        ("all but a digit", signed(&right[..63])),
        ("a digit more", signed(&format!("{right}0"))),
        ("a digit turned", signed(&turned)),
        ("zeros", signed(&"0".repeat(64))),
        ("no digits", signed(&"z".repeat(64))),
    ]
}

/// The right signature in other writing, or more than one.
fn rewritten(secret: &str) -> Vec<(&'static str, String)> {
    let right = hmac(secret.as_bytes(), GOOD.as_bytes());
    let turned = turned(&right);
    let signed = |digits: &str| line(&format!("sha256={digits}"));
    let mut mac = Vec::new();
    for pair in right.as_bytes().chunks(2) {
        let pair = std::str::from_utf8(pair).expect("digits");
        mac.push(u8::from_str_radix(pair, 16).expect("digits"));
    }
    vec![
        ("quotes", line(&format!("\"sha256={right}\""))),
        ("base64", signed(&STANDARD.encode(&mac))),
        ("base64 of the digits", signed(&STANDARD.encode(&right))),
        (
            "wide digits",
            signed(&right.replace('0', "\u{ff10}").replace('1', "\u{ff11}")),
        ),
        ("a list", line(&format!("sha256={right}, sha256={right}"))),
        (
            "a list with a wrong one first",
            line(&format!("sha256={turned},sha256={right}")),
        ),
        ("the right one twice", signed(&right) + &signed(&right)),
        (
            "the right one and a wrong one",
            signed(&right) + &signed(&turned),
        ),
        (
            "a wrong one and the right one",
            signed(&turned) + &signed(&right),
        ),
    ]
}

/// Header lines that prove something else.
fn others(secret: &str) -> Vec<(&'static str, String)> {
    let of = |secret: &str, body: &str| hmac(secret.as_bytes(), body.as_bytes());
    let signed = |digits: &str| line(&format!("sha256={digits}"));
    let other_body = |body: &str| signed(&of(secret, body));
    vec![
        ("of another body", other_body(r#"{"id": 43, "ok": true}"#)),
        (
            "of the same in other bytes",
            other_body(r#"{"id":42,"ok":true}"#),
        ),
        ("of a line more", other_body(&format!("{GOOD}\n"))),
        ("of no body", other_body("")),
        ("of the path", other_body("/hooks/builds")),
        (
            "of a time and the body",
            other_body(&format!("1767225600.{GOOD}")),
        ),
        ("under another secret", signed(&of("other", GOOD))),
        ("under no secret", signed(&of("", GOOD))),
        ("under the secret's name", signed(&of("hook_builds", GOOD))),
        (
            "under the secret and a line",
            signed(&of(&format!("{secret}\n"), GOOD)),
        ),
        (
            "under the secret in base64",
            signed(&of(&STANDARD.encode(secret), GOOD)),
        ),
        (
            "a hash without a secret",
            signed(&hex(&Sha256::digest(GOOD))),
        ),
        (
            "a hash of secret and body",
            signed(&hex(&Sha256::digest(format!("{secret}{GOOD}")))),
        ),
    ]
}

/// Header lines that prove it elsewhere, or otherwise.
fn elsewhere(secret: &str, admin: &str) -> Vec<(&'static str, String)> {
    let right = hmac(secret.as_bytes(), GOOD.as_bytes());
    vec![
        ("the secret itself", line(secret)),
        (
            "another header",
            format!("x-hub-signature-256: sha256={right}\r\n"),
        ),
        (
            "another header, nearly",
            format!("x-mirastack_signature: sha256={right}\r\n"),
        ),
        ("a bearer", format!("authorization: Bearer {secret}\r\n")),
        (
            "a token of the API",
            format!("authorization: Bearer {admin}\r\n"),
        ),
        (
            "a cookie",
            format!("cookie: x-mirastack-signature=sha256={right}\r\n"),
        ),
    ]
}

#[tokio::test]
async fn no_forged_or_broken_event_is_taken_and_nothing_of_it_stays() {
    let world = world().await;
    let body = json!({"hook": "builds", "type": "generic", "dedupe": "event.body.id"});
    let secret = world.engineer.post("/api/v1/hooks").json(&body).await;
    let secret = secret.text("secret");
    world.save(BUILDS).await;
    let proof = |body: &[u8]| line(&format!("sha256={}", hmac(secret.as_bytes(), body)));
    let path = "/hooks/builds";
    let sender = requests::Sender {
        path,
        proof: &proof(GOOD.as_bytes()),
        body: GOOD,
    };
    let mut all = sender.odd();
    let admin = world.admin.token();
    let strangers = [
        strangers(&secret),
        rewritten(&secret),
        others(&secret),
        elsewhere(&secret, &admin),
    ];
    for (name, headers) in strangers.into_iter().flatten() {
        all.push(forged(name, post(path, &headers, GOOD.as_bytes()), 401));
    }
    for (name, body) in bodies::broken(GOOD) {
        all.push(forged(name, post(path, &proof(&body), &body), 400));
        // Under the signature of another body nobody looks at it.
        let stale = proof(GOOD.as_bytes());
        all.push(forged(
            format!("{name}, not signed"),
            post(path, &stale, &body),
            401,
        ));
    }
    let trailer = format!(
        "{:x}\r\n{GOOD}\r\n0\r\n{}\r\n",
        GOOD.len(),
        proof(GOOD.as_bytes())
    );
    let chunked = "transfer-encoding: chunked\r\ntrailer: x-mirastack-signature\r\n";
    all.push(forged(
        "a signature after the body",
        post_with(path, chunked, trailer.as_bytes()),
        401,
    ));
    all_refused(&world, &secret, &all).await;
    nothing_stays(&world, "builds", &[event_key("builds", "42")]).await;
    let (status, said) = send(
        world.address,
        &post(path, &proof(GOOD.as_bytes()), GOOD.as_bytes()),
    )
    .await;
    assert_eq!(status, 202, "{said}");
    assert_eq!(world.operator.get("/api/v1/runs").await.items().len(), 1);
}
