//! Signatures that prove nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::{hex, hmac};

/// What is signed in the tests.
pub(super) const GOOD: &str = r#"{"id": 42, "ok": true}"#;

/// Header lines under a name.
type Lines = (&'static str, String);

/// A sender that signs in the way of one type of hook.
pub(super) struct Signer<'a> {
    pub(super) header: &'static str,
    /// Where another type has its signature.
    pub(super) other_header: &'static str,
    pub(super) secret: &'a str,
    /// The secret's name.
    pub(super) name: &'static str,
}

impl Signer<'_> {
    /// The header line that proves this body.
    pub(super) fn proof(&self, body: &[u8]) -> String {
        self.signed(&hmac(self.secret.as_bytes(), body))
    }

    /// Header lines that do not prove [`GOOD`]. `admin` is a token of the API.
    pub(super) fn strangers(&self, admin: &str) -> Vec<Lines> {
        let parts = [
            self.bent(),
            self.rewritten(),
            self.others(),
            self.elsewhere(admin),
        ];
        parts.into_iter().flatten().collect()
    }

    fn line(&self, value: &str) -> String {
        format!("{}: {value}\r\n", self.header)
    }

    fn signed(&self, digits: &str) -> String {
        self.line(&format!("sha256={digits}"))
    }

    fn right(&self) -> String {
        hmac(self.secret.as_bytes(), GOOD.as_bytes())
    }

    fn bent(&self) -> Vec<Lines> {
        let right = self.right();
        vec![
            ("nothing", String::new()),
            ("an empty one", self.line("")),
            ("a prefix alone", self.line("sha256=")),
            ("no prefix", self.line(&right)),
            ("another prefix", self.line(&format!("sha1={right}"))),
            ("a longer prefix", self.line(&format!("sha2567={right}"))),
            (
                "a prefix in capitals",
                self.line(&format!("SHA256={right}")),
            ),
            ("a prefix twice", self.signed(&format!("sha256={right}"))),
            (
                "a space after the prefix",
                self.signed(&format!(" {right}")),
            ),
            ("0x", self.signed(&format!("0x{right}"))),
            ("half of it", self.signed(&right[..32])),
            ("all but a digit", self.signed(&right[..63])),
            ("a digit more", self.signed(&format!("{right}0"))),
            ("a digit turned", self.signed(&turned(&right))),
            ("zeros", self.signed(&"0".repeat(64))),
            ("no digits", self.signed(&"z".repeat(64))),
        ]
    }

    /// The right signature in other writing, or more than one.
    fn rewritten(&self) -> Vec<Lines> {
        let right = self.right();
        let turned = turned(&right);
        let mut mac = Vec::new();
        for pair in right.as_bytes().chunks(2) {
            let pair = std::str::from_utf8(pair).expect("digits");
            mac.push(u8::from_str_radix(pair, 16).expect("digits"));
        }
        let wide = right.replace('0', "\u{ff10}").replace('1', "\u{ff11}");
        vec![
            ("quotes", self.line(&format!("\"sha256={right}\""))),
            ("base64", self.signed(&STANDARD.encode(&mac))),
            (
                "base64 of the digits",
                self.signed(&STANDARD.encode(&right)),
            ),
            ("wide digits", self.signed(&wide)),
            ("a list", self.signed(&format!("{right}, sha256={right}"))),
            (
                "a list with a wrong one first",
                self.signed(&format!("{turned},sha256={right}")),
            ),
            (
                "the right one twice",
                self.signed(&right) + &self.signed(&right),
            ),
            (
                "the right one and a wrong one",
                self.signed(&right) + &self.signed(&turned),
            ),
            (
                "a wrong one and the right one",
                self.signed(&turned) + &self.signed(&right),
            ),
        ]
    }

    /// Proofs of something else.
    fn others(&self) -> Vec<Lines> {
        let secret = self.secret;
        let body = |body: &str| self.proof(body.as_bytes());
        let under = |secret: &str| self.signed(&hmac(secret.as_bytes(), GOOD.as_bytes()));
        vec![
            ("of another body", body(r#"{"id": 43, "ok": true}"#)),
            ("of the same in other bytes", body(r#"{"id":42,"ok":true}"#)),
            ("of a line more", body(&format!("{GOOD}\n"))),
            ("of no body", body("")),
            ("of the path", body("/hooks/builds")),
            (
                "of a time and the body",
                body(&format!("1767225600.{GOOD}")),
            ),
            ("under another secret", under("other")),
            ("under no secret", under("")),
            ("under the secret's name", under(self.name)),
            ("under the secret and a line", under(&format!("{secret}\n"))),
            (
                "under the secret in base64",
                under(&STANDARD.encode(secret)),
            ),
            (
                "a hash without a secret",
                self.signed(&hex(&Sha256::digest(GOOD))),
            ),
            (
                "a hash of secret and body",
                self.signed(&hex(&Sha256::digest(format!("{secret}{GOOD}")))),
            ),
        ]
    }

    /// Proofs that stand elsewhere, or are others.
    fn elsewhere(&self, admin: &str) -> Vec<Lines> {
        let (header, secret, right) = (self.header, self.secret, self.right());
        let under = |header: &str| format!("{header}: sha256={right}\r\n");
        vec![
            ("the secret itself", self.line(secret)),
            ("another header", under(self.other_header)),
            (
                "another header, nearly",
                under(&header.replace("-signature", "_signature")),
            ),
            ("a bearer", format!("authorization: Bearer {secret}\r\n")),
            (
                "a token of the API",
                format!("authorization: Bearer {admin}\r\n"),
            ),
            ("a cookie", format!("cookie: {header}=sha256={right}\r\n")),
        ]
    }
}

/// With another last digit.
fn turned(right: &str) -> String {
    let last = if right.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &right[..63])
}
