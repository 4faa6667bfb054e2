//! The API: addresses, arguments, headers and bodies of every route.

use crate::parts::text;
use crate::request::{assert_sound, of_text, with_world};

/// The text of a request.
pub(crate) fn read(data: &[u8]) {
    let Some(text) = text(data).filter(|text| !hashes(text)) else {
        return;
    };
    with_world(|world| {
        if let Some((request, _)) = of_text(text, world) {
            assert_sound(&world.ask(request), text);
        }
    });
}

/// Whether it makes or proves a secret, which is slow on purpose: nothing else would be tried.
fn hashes(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    line.contains("/auth/token") || line.starts_with("POST ") && line.contains("/api-keys")
}
