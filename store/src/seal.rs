//! Secrets at rest: sealed with XChaCha20-Poly1305 under keys that are derived from the installation's root key.
//!
//! Two roles use it: the gateway seals what it is given, the worker opens it at the plugin's door. Each sealed value is
//! bound to a text that names its place ([`engine::registry::secret_seal`], [`engine::registry::setting_seal`]), so
//! that none can be put where another one stands.

mod memory;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::clock::Random;

/// The first byte of a sealed value: how the rest is to be read.
const FORMAT: u8 = 1;
/// Random bytes that a sealing takes.
const NONCE_BYTES: usize = 24;

/// What each sealing takes anew.
#[must_use]
pub fn fresh(random: &dyn Random) -> [u8; NONCE_BYTES] {
    let mut bytes = [0; NONCE_BYTES];
    for part in bytes.chunks_exact_mut(8) {
        part.copy_from_slice(&random.bits().to_be_bytes());
    }
    bytes
}

/// 32 random bytes from which every key of an installation is derived. Whoever has it reads every secret.
#[derive(Clone)]
pub struct RootKey(Zeroizing<[u8; 32]>);

/// The text is no root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a root key: a root key is 64 hexadecimal digits (32 random bytes)")]
pub struct BadRootKey;

impl RootKey {
    /// A root key from its bytes, which must come from the system's random source.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A root key as it stands in a file or a variable: 64 hexadecimal digits, white space around them.
    ///
    /// # Errors
    /// [`BadRootKey`].
    pub fn parse(text: &str) -> Result<Self, BadRootKey> {
        let digits: engine::digest::Digest = text.trim().parse().map_err(|_| BadRootKey)?;
        Ok(Self::new(*digits.as_bytes()))
    }

    /// The key for one purpose, HMAC-SHA-256 of its name: knowing it tells nothing of the root key or of any other.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.as_slice())
            .expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(…)")
    }
}

/// Seals and opens secrets.
#[derive(Clone)]
pub struct Seal(XChaCha20Poly1305);

/// It was not sealed under this root key for this place, or it is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a sealed secret cannot be opened: it was sealed under another root key, stands in another's place, or is damaged"
)]
pub struct BadSeal;

impl Seal {
    /// The seal for secrets under this root key.
    #[must_use]
    pub fn new(root: &RootKey) -> Self {
        Self(XChaCha20Poly1305::new(
            (&*root.derive("mirastack.secrets.v1")).into(),
        ))
    }

    /// Seals `plain` for the place that `bound` names. `random` is new for each sealing ([`fresh`]).
    #[must_use]
    pub fn seal(&self, bound: &str, random: [u8; NONCE_BYTES], plain: &[u8]) -> String {
        BASE64.encode(self.seal_bytes(bound, random, plain))
    }

    /// The same as bytes.
    fn seal_bytes(&self, bound: &str, random: [u8; NONCE_BYTES], plain: &[u8]) -> Vec<u8> {
        let payload = Payload {
            msg: plain,
            aad: bound.as_bytes(),
        };
        let secret = self
            .0
            .encrypt(&XNonce::from(random), payload)
            .expect("a secret is far below the 256 GiB that the cipher takes");
        [&[FORMAT], random.as_slice(), &secret].concat()
    }

    /// Opens what was sealed for the place that `bound` names.
    ///
    /// # Errors
    /// [`BadSeal`].
    pub fn open(&self, bound: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, BadSeal> {
        let bytes = BASE64.decode(sealed).map_err(|_| BadSeal)?;
        self.open_bytes(bound, &bytes)
    }

    fn open_bytes(&self, bound: &str, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadSeal> {
        let rest = bytes.strip_prefix(&[FORMAT]).ok_or(BadSeal)?;
        let (nonce, secret) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(BadSeal)?;
        let payload = Payload {
            msg: secret,
            aad: bound.as_bytes(),
        };
        let plain = self.0.decrypt(&XNonce::from(*nonce), payload);
        plain.map(Zeroizing::new).map_err(|_| BadSeal)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_secret_opens_only_in_its_place_and_under_its_key() {
        let seal = Seal::new(&RootKey::parse(KEY).expect("64 digits"));
        let sealed = seal.seal("secrets/default/token/1", [7; 24], b"hunter2");
        assert!(!sealed.contains("hunter2"));
        let opened = seal.open("secrets/default/token/1", &sealed);
        assert_eq!(*opened.expect("its place"), b"hunter2");
        assert_eq!(seal.open("secrets/default/token/2", &sealed), Err(BadSeal));
        let other = Seal::new(&RootKey::new([9; 32]));
        assert_eq!(other.open("secrets/default/token/1", &sealed), Err(BadSeal));
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let seal = Seal::new(&RootKey::new([1; 32]));
        let sealed = BASE64
            .decode(seal.seal("x", [7; 24], b"x"))
            .expect("base64");
        for i in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[i] ^= 1;
            for bytes in [&damaged[..], &sealed[..i]] {
                assert_eq!(
                    seal.open("x", &BASE64.encode(bytes)),
                    Err(BadSeal),
                    "byte {i}"
                );
            }
        }
        assert_eq!(seal.open("x", "not base64!"), Err(BadSeal));
    }

    #[test]
    fn keys_are_never_printed() {
        let root = RootKey::parse(&format!("  {KEY}\n")).expect("white space around is fine");
        assert_eq!(
            format!("{root:?} {:?}", Seal::new(&root)),
            "RootKey(…) Seal(…)"
        );
        assert_ne!(*root.derive("a"), *root.derive("b"));
        assert_eq!(RootKey::parse("abc").err(), Some(BadRootKey));
    }
}
