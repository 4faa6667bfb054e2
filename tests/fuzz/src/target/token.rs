//! Access tokens: the form, the footer that is read before the seal is checked, and what a sealed one says.

use axum::body::Body;
use http::{HeaderValue, Request};
use serde_json::Value;

use crate::parts::{choice, text};
use crate::request::{assert_sound, with_world};

/// A token as it comes, or, after an `s`, what one says that was sealed here.
pub(crate) fn read(data: &[u8]) {
    let Some((kind, rest)) = choice(data) else {
        return;
    };
    let Some(text) = text(rest) else {
        return;
    };
    with_world(|world| {
        let token = if kind == b's' {
            world.sealer().seal(text)
        } else {
            text.to_owned()
        };
        let Ok(proof) = HeaderValue::try_from(format!("Bearer {token}")) else {
            return;
        };
        let request = Request::get("/api/v1/whoami").header("authorization", proof);
        let answer = world.ask(request.body(Body::empty()).expect("a request"));
        assert_sound(&answer, text);
        assert!(
            [200, 401].contains(&answer.status.as_u16()),
            "{}",
            answer.status
        );
        if answer.status.is_success() {
            let says = world
                .sealer()
                .says(token.trim())
                .expect("only what was sealed here is believed");
            let says: Value = serde_json::from_str(&says).expect("it was read");
            let told: Value = serde_json::from_slice(&answer.body).expect("it is JSON");
            assert_eq!(told["principal"], says["sub"]);
        }
    });
}
