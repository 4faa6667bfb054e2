use super::signatures::{GOOD, Signer};
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

#[tokio::test]
async fn no_forged_or_broken_event_is_taken_and_nothing_of_it_stays() {
    let world = world().await;
    let body = json!({"hook": "builds", "type": "generic", "dedupe": "event.body.id"});
    let secret = world.engineer.post("/api/v1/hooks").json(&body).await;
    let secret = secret.text("secret");
    world.save(BUILDS).await;
    let signer = Signer {
        header: "x-mirastack-signature",
        other_header: "x-hub-signature-256",
        secret: &secret,
        name: "hook_builds",
    };
    let path = "/hooks/builds";
    let proof = signer.proof(GOOD.as_bytes());
    let sender = requests::Sender {
        path,
        proof: &proof,
        body: GOOD,
    };
    let mut all = sender.odd();
    for (name, headers) in signer.strangers(&world.admin.token()) {
        all.push(forged(name, post(path, &headers, GOOD.as_bytes()), 401));
    }
    for (name, body) in bodies::broken(GOOD) {
        all.push(forged(name, post(path, &signer.proof(&body), &body), 400));
        // Under the signature of another body nobody looks at it.
        let name = format!("{name}, not signed");
        all.push(forged(name, post(path, &proof, &body), 401));
    }
    let trailer = format!("{:x}\r\n{GOOD}\r\n0\r\n{proof}\r\n", GOOD.len());
    let chunked = "transfer-encoding: chunked\r\ntrailer: x-mirastack-signature\r\n";
    all.push(forged(
        "a signature after the body",
        post_with(path, chunked, trailer.as_bytes()),
        401,
    ));
    all_refused(&world, &secret, &all).await;
    nothing_stays(&world, "builds", &[event_key("builds", "42")]).await;
    let (status, said) = send(world.address, &post(path, &proof, GOOD.as_bytes())).await;
    assert_eq!(status, 202, "{said}");
    assert_eq!(world.operator.get("/api/v1/runs").await.items().len(), 1);
}
