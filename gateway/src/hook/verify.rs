//! Is a delivery from who it says? Decided over the raw bytes, in constant time, before anything is parsed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::definition::HookAuth;
use engine::digest::Digest;
use hmac::{Hmac, KeyInit, Mac};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::auth::constant_time::same;

/// A secret's value.
pub(crate) type Value = Zeroizing<Vec<u8>>;

/// Whether the headers alone prove it; `None`: the body is needed.
pub(crate) fn by_headers(auth: &HookAuth, secrets: &[Value], headers: &HeaderMap) -> Option<bool> {
    match auth {
        HookAuth::Bearer(_) => Some(is_one_of(given(headers, "bearer"), secrets)),
        HookAuth::Basic(_) => {
            let decoded = given(headers, "basic").and_then(|text| STANDARD.decode(text).ok());
            Some(is_one_of(decoded.as_deref(), secrets))
        }
        HookAuth::Hmac { header: name, .. } => {
            let there = header_named(headers, name).is_some();
            // Without a signature nobody needs to read the body.
            (!there).then_some(false)
        }
    }
}

/// Whether the signature of the body proves it.
pub(crate) fn by_body(
    auth: &HookAuth,
    secrets: &[Value],
    headers: &HeaderMap,
    body: &[u8],
) -> bool {
    let HookAuth::Hmac {
        header: name,
        prefix,
        ..
    } = auth
    else {
        return false;
    };
    let given = header_named(headers, name).and_then(|text| text.strip_prefix(prefix.as_str()));
    let Some(given) = given.map(str::to_ascii_lowercase) else {
        return false;
    };
    let signed = |secret: &Value| same(signature(secret, body).as_bytes(), given.as_bytes());
    any(secrets, signed)
}

/// The names of the secrets of a hook.
pub(crate) fn names(auth: &HookAuth) -> &[String] {
    match auth {
        HookAuth::Bearer(names) | HookAuth::Basic(names) => names,
        HookAuth::Hmac { secrets, .. } => secrets,
    }
}

fn is_one_of(given: Option<&[u8]>, secrets: &[Value]) -> bool {
    given.is_some_and(|given| any(secrets, |secret| same(secret, given)))
}

/// Looks at all of them, so that it does not show which one fits. An empty secret fits nothing.
fn any(secrets: &[Value], fits: impl Fn(&Value) -> bool) -> bool {
    let with_value = secrets.iter().filter(|secret| !secret.is_empty());
    with_value.fold(false, |one, secret| fits(secret) | one)
}

fn given<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a [u8]> {
    let (given, rest) = only(headers, &AUTHORIZATION)?.split_once(' ')?;
    given
        .eq_ignore_ascii_case(scheme)
        .then(|| rest.trim().as_bytes())
}

fn header_named<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    only(headers, &name.parse().ok()?)
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(one), None) => one.to_str().ok(),
        // Two proofs are none: which one would count?
        _ => None,
    }
}

/// HMAC-SHA-256 in lower-case hexadecimal digits.
fn signature(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(body);
    Digest::from_bytes(mac.finalize().into_bytes().into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn secrets(all: &[&str]) -> Vec<Value> {
        all.iter()
            .map(|text| Zeroizing::new(text.as_bytes().to_vec()))
            .collect()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value).expect("plain text");
                (HeaderName::from_static(name), value)
            })
            .collect()
    }

    fn hmac() -> HookAuth {
        HookAuth::Hmac {
            header: "x-signature".to_owned(),
            prefix: "sha256=".to_owned(),
            secrets: Vec::new(),
        }
    }

    #[test]
    fn a_bearer_is_one_of_the_secrets_exactly() {
        let auth = HookAuth::Bearer(Vec::new());
        let both = secrets(&["old-token", "new-token"]);
        let proves = |value: &str| by_headers(&auth, &both, &headers(&[("authorization", value)]));
        assert_eq!(proves("Bearer new-token"), Some(true));
        assert_eq!(proves("bearer old-token"), Some(true));
        for forged in [
            "Bearer ",
            "Bearer new-toke",
            "Bearer new-tokens",
            "Bearer NEW-TOKEN",
            "Basic new-token",
            "new-token",
            "Bearer old-token,new-token",
            "Bearer old-token new-token",
        ] {
            assert_eq!(proves(forged), Some(false), "{forged:?}");
        }
        assert_eq!(by_headers(&auth, &both, &HeaderMap::new()), Some(false));
    }

    #[test]
    fn an_empty_or_missing_secret_lets_nobody_in() {
        let auth = HookAuth::Bearer(Vec::new());
        let given = headers(&[("authorization", "Bearer ")]);
        assert_eq!(by_headers(&auth, &secrets(&[""]), &given), Some(false));
        assert_eq!(by_headers(&auth, &[], &given), Some(false));
        let signed = headers(&[("x-signature", &format!("sha256={}", signature(b"", b"x")))]);
        assert!(!by_body(&hmac(), &secrets(&[""]), &signed, b"x"));
    }

    #[test]
    fn basic_is_user_and_password() {
        let auth = HookAuth::Basic(Vec::new());
        let text = format!("Basic {}", STANDARD.encode("am:secret"));
        let given = headers(&[("authorization", &text)]);
        assert_eq!(
            by_headers(&auth, &secrets(&["am:secret"]), &given),
            Some(true)
        );
        assert_eq!(
            by_headers(&auth, &secrets(&["am:other"]), &given),
            Some(false)
        );
    }

    #[test]
    fn a_signature_is_of_these_bytes_under_this_secret() {
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let body = b"what do ya want for nothing?";
        assert_eq!(signature(b"Jefe", body), expected);
        let both = secrets(&["other", "Jefe"]);
        let of = |text: &str| headers(&[("x-signature", text)]);
        let good = of(&format!("sha256={expected}"));
        assert_eq!(by_headers(&hmac(), &both, &good), None, "the body decides");
        assert!(by_body(&hmac(), &both, &good, body));
        assert!(by_body(
            &hmac(),
            &both,
            &of(&format!("sha256={}", expected.to_uppercase())),
            body
        ));
        assert!(!by_body(
            &hmac(),
            &both,
            &good,
            b"what do ya want for nothing!"
        ));
        assert!(!by_body(&hmac(), &secrets(&["other"]), &good, body));
        assert!(
            !by_body(&hmac(), &both, &of(expected), body),
            "the prefix is missing"
        );
        assert!(!by_body(&hmac(), &both, &of("sha256="), body));
        assert_eq!(by_headers(&hmac(), &both, &HeaderMap::new()), Some(false));
        let mut twice = good.clone();
        twice.append("x-signature", HeaderValue::from_static("sha256=00"));
        assert!(!by_body(&hmac(), &both, &twice, body));
    }
}
