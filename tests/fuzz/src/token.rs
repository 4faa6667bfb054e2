//! Tokens as the gateway seals them, about whatever they are to say.

use pasetors::keys::SymmetricKey;
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::token::UntrustedToken;
use pasetors::version4::{LocalToken, V4};
use serde_json::json;
use store::seal::RootKey;

/// What the gateway binds its tokens to: the audience and the tenant.
const ASSERTION: &[u8] = b"mirastack\0api\0default";

/// Has the key of an installation.
pub(crate) struct Sealer {
    key: SymmetricKey<V4>,
    footer: String,
}

impl Sealer {
    pub(crate) fn new(root: &RootKey) -> Self {
        let key = root.derive("tokens");
        let key = SymmetricKey::<V4>::from(key.as_slice()).expect("it has 32 bytes");
        let mut id = String::new();
        Id::from(&key)
            .fmt(&mut id)
            .expect("writing to memory cannot fail");
        let footer = json!({"kid": id}).to_string();
        Self { key, footer }
    }

    /// A token that says this. An empty one says nothing at all, which is no token.
    pub(crate) fn seal(&self, says: &str) -> String {
        let footer = Some(self.footer.as_bytes());
        let sealed = LocalToken::encrypt(&self.key, says.as_bytes(), footer, Some(ASSERTION));
        sealed.unwrap_or_default()
    }

    /// What a token says, if it was sealed here.
    pub(crate) fn says(&self, token: &str) -> Option<String> {
        let untrusted = UntrustedToken::try_from(token).ok()?;
        let trusted = LocalToken::decrypt(&self.key, &untrusted, None, Some(ASSERTION)).ok()?;
        Some(trusted.payload().to_owned())
    }
}
