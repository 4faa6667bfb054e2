//! Access tokens: PASETO v4.local, sealed under a key derived from the root key.
//!
//! The footer names the key (PASERK `k4.lid`), is read before the seal is checked, and is therefore bounded first.
//! The implicit assertion binds a token to this installation and tenant without being in it. The claims are checked
//! here, on the injected clock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::digest::Digest;
use engine::duration::Duration;
use engine::id::{Nonce, Tenant};
use engine::principal::{Principal, Role};
use engine::time::Timestamp;
use pasetors::keys::SymmetricKey;
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::token::{Local, UntrustedToken};
use pasetors::version4::{LocalToken, V4};
use serde::{Deserialize, Serialize};
use store::seal::RootKey;

/// No token is longer, in bytes.
const TOKEN_MAX: usize = 2_048;
/// No footer is longer, in bytes.
const FOOTER_MAX: usize = 256;
/// No token holds longer.
pub(crate) const TTL_MAX: Duration = Duration::from_secs(15 * 60);
/// The clock of another gateway may be ahead by so much.
const SKEW: Duration = Duration::from_secs(60);
/// So many tokens need not be unsealed again; over it all are forgotten.
const OPENED_MAX: usize = 1_024;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    /// Names this token.
    pub(crate) jti: Nonce,
    /// Who.
    pub(crate) sub: Principal,
    /// Whose.
    pub(crate) tenant: Tenant,
    /// With which role.
    pub(crate) role: Role,
    /// The serial of the API key that it was given for.
    pub(crate) serial: Nonce,
    /// Not before.
    pub(crate) iat: Timestamp,
    /// Not after.
    pub(crate) exp: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    kid: String,
}

/// Gives tokens and checks them.
pub(crate) struct Tokens {
    /// The first one seals; all of them open.
    keys: Vec<(String, SymmetricKey<V4>)>,
    assertion: Vec<u8>,
    /// What tokens say whose seals were found to hold, by the digests of their texts: a client comes with the same one
    /// again and again. Whether it still holds is another question, asked each time.
    opened: Mutex<BTreeMap<Digest, Arc<Claims>>>,
}

/// Why a token does not hold. For the log, never for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Form,
    Footer,
    UnknownKey,
    Seal,
    Claims,
    Expired,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "not a token",
            Self::Footer => "its footer cannot be read",
            Self::UnknownKey => "its key is not known here",
            Self::Seal => "its seal does not hold",
            Self::Claims => "its claims do not hold",
            Self::Expired => "its time is over or has not come",
        })
    }
}

impl Tokens {
    /// Tokens of one audience and tenant. `previous` root keys open what they sealed.
    pub(crate) fn new(
        current: &RootKey,
        previous: &[RootKey],
        audience: &str,
        tenant: &Tenant,
    ) -> Self {
        let key = |root: &RootKey| {
            let key = SymmetricKey::<V4>::from(root.derive("tokens").as_slice())
                .expect("a derived key has 32 bytes");
            (key_id(&key), key)
        };
        Self {
            keys: std::iter::once(current).chain(previous).map(key).collect(),
            assertion: format!("mirastack\0{audience}\0{tenant}").into_bytes(),
            opened: Mutex::default(),
        }
    }

    /// A token that says `claims`.
    pub(crate) fn seal(&self, claims: &Claims) -> String {
        let (kid, key) = &self.keys[0];
        let footer = serde_json::to_vec(&Footer { kid: kid.clone() }).expect("its keys are text");
        let message = serde_json::to_vec(claims).expect("its keys are text");
        LocalToken::encrypt(key, &message, Some(&footer), Some(&self.assertion))
            .expect("the message is not empty, and the system has random numbers")
    }

    /// What a token says, when it holds at `now`.
    pub(crate) fn open(&self, token: &str, now: Timestamp) -> Result<Arc<Claims>, Refused> {
        check_form(token)?;
        let digest = Digest::of(token.as_bytes());
        let known = self.opened().get(&digest).cloned();
        let claims = match known {
            Some(claims) => claims,
            None => self.unseal(token, digest)?,
        };
        let lives = claims.exp.millis_since(claims.iat);
        if claims.exp <= claims.iat || lives > TTL_MAX.millis() {
            return Err(Refused::Claims);
        }
        if now >= claims.exp || claims.iat > now.plus(SKEW) {
            return Err(Refused::Expired);
        }
        Ok(claims)
    }

    fn unseal(&self, token: &str, digest: Digest) -> Result<Arc<Claims>, Refused> {
        let untrusted = UntrustedToken::<Local, V4>::try_from(token).map_err(|_| Refused::Form)?;
        let named: Footer =
            serde_json::from_slice(untrusted.untrusted_footer()).map_err(|_| Refused::Footer)?;
        let (_, key) = self
            .keys
            .iter()
            .find(|(kid, _)| *kid == named.kid)
            .ok_or(Refused::UnknownKey)?;
        let trusted = LocalToken::decrypt(key, &untrusted, None, Some(&self.assertion))
            .map_err(|_| Refused::Seal)?;
        let claims = serde_json::from_str(trusted.payload()).map_err(|_| Refused::Claims)?;
        let claims: Arc<Claims> = Arc::new(claims);
        let planted = engine::planted!("fuzz_token");
        assert!(!(planted && claims.exp <= claims.iat), "planted: token");
        let mut opened = self.opened();
        if opened.len() >= OPENED_MAX {
            opened.clear();
        }
        opened.insert(digest, Arc::clone(&claims));
        Ok(claims)
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<Digest, Arc<Claims>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks the outer form, and that the footer is short, before anything is decoded.
fn check_form(token: &str) -> Result<(), Refused> {
    if token.len() > TOKEN_MAX {
        return Err(Refused::Form);
    }
    let parts: Vec<&str> = token.split('.').collect();
    let ["v4", "local", _, footer] = parts.as_slice() else {
        return Err(Refused::Form);
    };
    if footer.is_empty() || footer.len() > FOOTER_MAX.div_ceil(3) * 4 {
        return Err(Refused::Footer);
    }
    Ok(())
}

fn key_id(key: &SymmetricKey<V4>) -> String {
    let mut text = String::new();
    Id::from(key)
        .fmt(&mut text)
        .expect("writing to memory cannot fail");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(byte: u8) -> RootKey {
        RootKey::new([byte; 32])
    }

    fn tokens(byte: u8, audience: &str) -> Tokens {
        Tokens::new(&root(byte), &[], audience, &Tenant::default())
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000)
    }

    fn claims() -> Claims {
        Claims {
            jti: Nonce([1; 16]),
            sub: Principal::Key("ci".to_owned()),
            tenant: Tenant::default(),
            role: Role::Operator,
            serial: Nonce([2; 16]),
            iat: at(0),
            exp: at(900),
        }
    }

    #[test]
    fn a_token_holds_until_it_expires() {
        let tokens = tokens(1, "api");
        let token = tokens.seal(&claims());
        assert!(token.starts_with("v4.local."));
        assert_eq!(tokens.open(&token, at(899)), Ok(claims().into()));
        assert_eq!(tokens.open(&token, at(900)), Err(Refused::Expired), "known");
        let early = Timestamp::from_millis(at(0).millis() - 61_000);
        assert_eq!(tokens.open(&token, early), Err(Refused::Expired));
    }

    #[test]
    fn the_footer_names_the_key_by_its_paserk_id() {
        let token = tokens(1, "api").seal(&claims());
        let untrusted = UntrustedToken::<Local, V4>::try_from(token.as_str()).expect("a token");
        let footer: Footer =
            serde_json::from_slice(untrusted.untrusted_footer()).expect("a footer");
        assert!(footer.kid.starts_with("k4.lid."));
    }

    #[test]
    fn another_installation_audience_or_tenant_refuses_it() {
        let token = tokens(1, "api").seal(&claims());
        let opened = |t: &Tokens| t.open(&token, at(1));
        assert_eq!(opened(&tokens(2, "api")), Err(Refused::UnknownKey));
        assert_eq!(opened(&tokens(1, "other")), Err(Refused::Seal));
        let tenant = Tenant::new("acme").expect("a name");
        let other = Tokens::new(&root(1), &[], "api", &tenant);
        assert_eq!(opened(&other), Err(Refused::Seal));
    }

    #[test]
    fn a_rotated_root_key_still_opens_old_tokens() {
        let token = tokens(1, "api").seal(&claims());
        let rotated = Tokens::new(&root(2), &[root(1)], "api", &Tenant::default());
        assert_eq!(rotated.open(&token, at(1)), Ok(claims().into()));
        let fresh = rotated.seal(&claims());
        assert!(tokens(1, "api").open(&fresh, at(1)).is_err());
    }

    #[test]
    fn no_changed_token_holds() {
        let tokens = tokens(1, "api");
        let token = tokens.seal(&claims());
        assert!(tokens.open(&token, at(1)).is_ok(), "it is known then");
        for at_byte in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at_byte] = if bytes[at_byte] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("text");
            assert!(tokens.open(&changed, at(1)).is_err(), "byte {at_byte}");
            assert!(tokens.open(&token[..at_byte], at(1)).is_err());
        }
        let swapped = token.replacen("v4.local.", "v4.public.", 1);
        assert_eq!(tokens.open(&swapped, at(1)), Err(Refused::Form));
    }

    #[test]
    fn however_many_tokens_come_few_are_remembered() {
        let tokens = tokens(1, "api");
        for n in 0..2 * OPENED_MAX as u128 {
            let jti = Nonce(n.to_be_bytes());
            let token = tokens.seal(&Claims { jti, ..claims() });
            assert_eq!(tokens.open(&token, at(1)).map(|c| c.jti), Ok(jti));
        }
        assert!(tokens.opened().len() <= OPENED_MAX);
    }

    #[test]
    fn a_long_footer_is_not_even_decoded() {
        let tokens = tokens(1, "api");
        let token = tokens.seal(&claims());
        let (head, _) = token.rsplit_once('.').expect("a footer");
        let long = format!("{head}.{}", "A".repeat(345));
        assert_eq!(tokens.open(&long, at(1)), Err(Refused::Footer));
        assert_eq!(tokens.open(head, at(1)), Err(Refused::Form));
    }

    #[test]
    fn a_token_that_would_hold_for_longer_than_allowed_is_refused() {
        let tokens = tokens(1, "api");
        let long = Claims {
            exp: at(901),
            ..claims()
        };
        assert_eq!(
            tokens.open(&tokens.seal(&long), at(1)),
            Err(Refused::Claims)
        );
    }
}
