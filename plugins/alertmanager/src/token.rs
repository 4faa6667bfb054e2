//! The trace that a call leaves in the comment of its silence, so that the silence is found again.
//!
//! Alertmanager takes no id from a client and makes two silences of two equal requests. So the comment, which
//! it keeps as it is, ends with the idempotency key.

/// The end of the comment of a silence made under this key. The key's characters are escaped, so that the
/// brackets can only be the token's own.
pub(crate) fn of(idempotency_key: &str) -> String {
    let mut token = String::from("[mirastack:");
    for byte in idempotency_key.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'.'
            | b':'
            | b'/'
            | b'@'
            | b'='
            | b'#' => {
                token.push(char::from(byte));
            }
            other => token.push_str(&format!("%{other:02X}")),
        }
    }
    token.push(']');
    token
}

/// A comment with the token of a key. Without a key it stays as it is.
pub(crate) fn sign(comment: &str, idempotency_key: &str) -> String {
    if idempotency_key.is_empty() {
        return comment.to_owned();
    }
    format!("{comment} {}", of(idempotency_key))
        .trim_start()
        .to_owned()
}

/// Whether a comment was signed with this key. Only its end counts: what stands before may come from an
/// alert, and could name the key of another call.
pub(crate) fn is_signed(comment: &str, idempotency_key: &str) -> bool {
    !idempotency_key.is_empty() && comment.ends_with(&of(idempotency_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_comment_is_known_by_its_key_alone() {
        let comment = sign("noisy", "run-1/silence");
        assert_eq!(comment, "noisy [mirastack:run-1/silence]");
        assert!(is_signed(&comment, "run-1/silence"));
        for other in [
            "",
            "run-1/silenc",
            "1/silence",
            "run-1/silence]",
            "run-2/silence",
        ] {
            assert!(!is_signed(&comment, other), "{other}");
        }
    }

    #[test]
    fn a_comment_from_outside_cannot_pose_as_another_call() {
        let comment = sign("see [mirastack:run-1/silence]", "run-2/silence");
        assert!(!is_signed(&comment, "run-1/silence") && is_signed(&comment, "run-2/silence"));
    }

    #[test]
    fn brackets_in_a_key_are_escaped() {
        assert_eq!(
            of("a] [mirastack:b\u{e9}"),
            "[mirastack:a%5D%20%5Bmirastack:b%C3%A9]"
        );
        assert!(!is_signed(&sign("x", "a[mirastack:b"), "b"));
    }
}
