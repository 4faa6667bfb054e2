use super::signatures::{GOOD, Signer};
use super::*;

/// Waits for consent: it stays as it is.
const PUSHES: &str = "\
workflow: pushes
on:
  - hook: pushes
    with: { value: \"${{ event.type + '/' + event.delivery }}\" }
inputs:
  value: { type: string }
steps:
  - id: change
    uses: demo/change
    with: { value: \"${{ inputs.value }}\" }
";

const NAMED: &str =
    "x-github-event: push\r\nx-github-delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958\r\n";

/// Header lines with which GitHub names no event, or no delivery, under a good signature.
fn unnamed() -> Vec<(&'static str, String)> {
    let event = |value: &str| NAMED.replace("push", value);
    let delivery = |value: &str| NAMED.replace("72d3162e-cc78-11e3-81ab-4c9367dc0958", value);
    let (push, id) = NAMED.split_at(NAMED.find('\n').map_or(0, |end| end + 1));
    vec![
        ("no names", String::new()),
        ("no event", id.to_owned()),
        ("no delivery", push.to_owned()),
        ("an empty event", event("")),
        ("an empty delivery", delivery("")),
        ("two events", format!("{push}{NAMED}")),
        ("a ping, too", format!("x-github-event: ping\r\n{NAMED}")),
        ("two deliveries", format!("{NAMED}{id}")),
        ("a list of events", event("push, ping")),
        ("an event with a space", event("push ping")),
        ("an event with a quote", event("push'")),
        ("an event that is an expression", event("${{ secrets.a }}")),
        ("an event in wide letters", event("\u{ff50}ush")),
        ("a long event", event(&"p".repeat(129))),
        ("a long delivery", delivery(&"7".repeat(4_096))),
        ("a delivery with a path", delivery("../../runs")),
    ]
}

#[tokio::test]
async fn no_forged_or_broken_delivery_of_github_is_taken_and_nothing_of_it_stays() {
    let world = world().await;
    let body = json!({"hook": "pushes", "type": "github"});
    let secret = world.engineer.post("/api/v1/hooks").json(&body).await;
    let secret = secret.text("secret");
    world.save(PUSHES).await;
    let signer = Signer {
        header: "x-hub-signature-256",
        other_header: "x-mirastack-signature",
        secret: &secret,
        name: "hook_pushes",
    };
    let path = "/hooks/pushes";
    let signature = signer.proof(GOOD.as_bytes());
    let proof = format!("{NAMED}{signature}");
    let sender = requests::Sender {
        path,
        proof: &proof,
        body: GOOD,
    };
    let mut all = sender.odd();
    let mut strangers = signer.strangers(&world.admin.token());
    let old = format!("x-hub-signature: sha1={}\r\n", "0".repeat(40));
    strangers.push(("GitHub's older signature alone", old));
    for (name, headers) in strangers {
        let headers = format!("{NAMED}{headers}");
        all.push(forged(name, post(path, &headers, GOOD.as_bytes()), 401));
        // Nobody looks at what a stranger sends, be it a ping.
        let (name, headers) = (format!("{name}, a ping"), headers.replace("push", "ping"));
        all.push(forged(name, post(path, &headers, GOOD.as_bytes()), 401));
    }
    let lists = [("a list", b"[]".to_vec()), ("a text", b"\"push\"".to_vec())];
    for (name, body) in bodies::broken(GOOD).into_iter().chain(lists) {
        let headers = format!("{NAMED}{}", signer.proof(&body));
        all.push(forged(name, post(path, &headers, &body), 400));
        let name = format!("{name}, not signed");
        all.push(forged(name, post(path, &proof, &body), 401));
    }
    for (name, headers) in unnamed() {
        let request = |body: &[u8], proof: &str| post(path, &format!("{headers}{proof}"), body);
        all.push(forged(name, request(GOOD.as_bytes(), &signature), 400));
        let name = format!("{name}, not signed");
        all.push(forged(name, request(b"{}", &signature), 401));
    }
    all_refused(&world, &secret, &all).await;
    let stored = engine::digest::Digest::of(GOOD.as_bytes()).to_string();
    nothing_stays(&world, "pushes", &[event_key("pushes", &stored)]).await;
    let (status, said) = send(world.address, &post(path, &proof, GOOD.as_bytes())).await;
    assert_eq!(status, 202, "{said}");
    assert_eq!(world.operator.get("/api/v1/runs").await.items().len(), 1);
}
