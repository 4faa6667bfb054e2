//! Secrets at rest: sealed with XChaCha20-Poly1305 under keys that are derived from the installation's root key.
//!
//! Two roles use it: the gateway seals what it is given, the worker opens it at the plugin's door. Each sealed value is
//! bound to its place (tenant, name, version), so that none can be put where another one stands.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use engine::id::Tenant;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// The first byte of a sealed value: how the rest is to be read.
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;

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
        let digest: engine::digest::Digest = text.trim().parse().map_err(|_| BadRootKey)?;
        Ok(Self::new(*digest.as_bytes()))
    }

    /// The key for one purpose (HKDF-SHA-256, RFC 5869): knowing it tells nothing of the root key or of any other.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(b"mirastack.root.v1"), self.0.as_slice())
            .expand(purpose.as_bytes(), key.as_mut_slice())
            .expect("32 bytes are far below the 8,160 that HKDF can give");
        key
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
#[error("a sealed secret cannot be opened: it was sealed under another root key, stands in another's place, or is damaged")]
pub struct BadSeal;

/// Where a secret stands: what its seal is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// What kind of thing: `secret`, `setting` …
    pub kind: &'a str,
    /// Whose.
    pub tenant: &'a Tenant,
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: u64,
}

impl Seal {
    /// The seal for secrets under this root key.
    #[must_use]
    pub fn new(root: &RootKey) -> Self {
        let key = root.derive("mirastack.secrets.v1");
        Self(XChaCha20Poly1305::new((&*key).into()))
    }

    /// Seals `plain` for its place. `random` must come from the system's random source, new for each sealing.
    #[must_use]
    pub fn seal(&self, place: Place<'_>, random: [u8; NONCE_BYTES], plain: &[u8]) -> Vec<u8> {
        let aad = place.bytes();
        let payload = Payload { msg: plain, aad: &aad };
        let nonce = XNonce::from(random);
        let secret = self.0.encrypt(&nonce, payload).expect("a secret is far below the 256 GiB that the cipher takes");
        [&[FORMAT], random.as_slice(), &secret].concat()
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`BadSeal`].
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadSeal> {
        let rest = sealed.strip_prefix(&[FORMAT]).ok_or(BadSeal)?;
        let (nonce, secret) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(BadSeal)?;
        let aad = place.bytes();
        let payload = Payload { msg: secret, aad: &aad };
        self.0.decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| BadSeal)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Place<'_> {
    /// One spelling a place: no part can hold the separator's place of another (each is told with its length).
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"mirastack.seal.v1".to_vec();
        for part in [self.kind, self.tenant.as_str(), self.name] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes.extend(self.version.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn place<'a>(tenant: &'a Tenant, name: &'a str, version: u64) -> Place<'a> {
        Place { kind: "secret", tenant, name, version }
    }

    #[test]
    fn a_secret_opens_only_in_its_place_and_under_its_key() {
        let seal = Seal::new(&RootKey::parse(KEY).expect("64 digits"));
        let tenant = Tenant::default();
        let sealed = seal.seal(place(&tenant, "token", 1), [7; 24], b"hunter2");
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
        let opened = seal.open(place(&tenant, "token", 1), &sealed).expect("its place");
        assert_eq!(*opened, b"hunter2");

        let other = Tenant::new("other").expect("a name");
        for wrong in [place(&tenant, "token", 2), place(&tenant, "toke", 1), place(&other, "token", 1)] {
            assert_eq!(seal.open(wrong, &sealed), Err(BadSeal), "{wrong:?}");
        }
        let setting = Place { kind: "setting", ..place(&tenant, "token", 1) };
        assert_eq!(seal.open(setting, &sealed), Err(BadSeal));
        let other_key = Seal::new(&RootKey::new([9; 32]));
        assert_eq!(other_key.open(place(&tenant, "token", 1), &sealed), Err(BadSeal));
    }

    #[test]
    fn a_changed_bit_anywhere_is_noticed() {
        let seal = Seal::new(&RootKey::new([1; 32]));
        let tenant = Tenant::default();
        let sealed = seal.seal(place(&tenant, "t", 1), [7; 24], b"x");
        for i in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[i] ^= 1;
            assert_eq!(seal.open(place(&tenant, "t", 1), &damaged), Err(BadSeal), "byte {i}");
            assert_eq!(seal.open(place(&tenant, "t", 1), &sealed[..i]), Err(BadSeal), "first {i} bytes");
        }
    }

    #[test]
    fn a_root_key_is_64_hexadecimal_digits_and_never_printed() {
        let root = RootKey::parse(&format!("  {KEY}\n")).expect("white space around is fine");
        assert_eq!(format!("{root:?} {:?}", Seal::new(&root)), "RootKey(…) Seal(…)");
        assert_ne!(*root.derive("a"), *root.derive("b"));
        assert_eq!(RootKey::parse("abc").err(), Some(BadRootKey));
    }
}
