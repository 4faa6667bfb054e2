//! Deliveries to hooks of each type, with their proofs.

use crate::parts::text;
use crate::request::{assert_sound, of_text, with_world};

/// The text of a request to a hook.
pub(crate) fn read(data: &[u8]) {
    let Some(text) = text(data).filter(|text| text.starts_with("POST /hooks/")) else {
        return;
    };
    with_world(|world| {
        let Some((request, _)) = of_text(text, world) else {
            return;
        };
        let proven = text.contains("canary") || text.contains("sha256=signed");
        let answer = world.ask(request);
        assert_sound(&answer, text);
        assert!(
            proven || !answer.status.is_success(),
            "nobody proved who sent this: {text}"
        );
    });
}
