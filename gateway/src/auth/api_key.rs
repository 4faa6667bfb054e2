//! Secrets of API keys: made here, shown once, kept as argon2id hashes.
//!
//! Hashing takes some 20 ms of a core, so it happens off the async threads, a few at a time; who finds the queue full
//! is told to come back. A secret that was right is known for a minute by its digest, in memory only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::digest::Digest;
use engine::duration::Duration;
use engine::registry::ApiKey;
use engine::time::Timestamp;
use store::clock::Random;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::auth::hash::Bench;
use crate::problem::Problem;

/// What a secret begins with, so that scanners of repositories know it.
const PREFIX: &str = "msk_";
/// A secret is not longer, in bytes.
const SECRET_MAX: usize = 256;
/// So long a right secret is known without hashing.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// So many right secrets are known at once.
const KNOWN_MAX: usize = 1_024;

/// What the secret of a key that does not exist is compared with: made as every other hash is.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$2LXoGfayXIVgAM86lRNosw$eNQybrB62u4N+yL60is1W77nv5dL9wF4d5F9A2/Mut8";

/// Hashes and verifies.
pub(crate) struct Hasher {
    seats: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    bench: Arc<Bench>,
    known: Mutex<BTreeMap<Digest, Timestamp>>,
}

impl Hasher {
    /// `seats` at a time, `queue` more may wait.
    pub(crate) fn new(seats: usize, queue: usize) -> Self {
        let seats = seats.max(1);
        Self {
            seats: Arc::new(Semaphore::new(seats)),
            queue: Arc::new(Semaphore::new(seats + queue)),
            bench: Arc::default(),
            known: Mutex::default(),
        }
    }

    /// The hash of a new secret.
    ///
    /// # Errors
    /// 429 when too many are being hashed.
    pub(crate) async fn hash(&self, secret: &str) -> Result<String, Problem> {
        let secret = Zeroizing::new(secret.to_owned());
        let bench = self.bench.clone();
        self.off_thread(move || bench.hash(&secret)).await
    }

    /// Whether `secret` is that of `key`. Where there is no key, finding that out takes as long.
    ///
    /// # Errors
    /// 429 when too many are being verified.
    pub(crate) async fn verify(
        &self,
        key: Option<&ApiKey>,
        secret: &str,
        now: Timestamp,
    ) -> Result<bool, Problem> {
        if secret.len() > SECRET_MAX {
            return Ok(false);
        }
        let bench = self.bench.clone();
        let Some(key) = key else {
            let secret = Zeroizing::new(secret.to_owned());
            let verify = move || bench.verify(NOBODY, &secret);
            return self.off_thread(verify).await.map(|_| false);
        };
        let digest = Digest::of(format!("{}/{}/{secret}", key.serial, key.secret_hash).as_bytes());
        if self.is_known(digest, now) {
            return Ok(true);
        }
        let secret = Zeroizing::new(secret.to_owned());
        let hash = key.secret_hash.clone();
        let right = self
            .off_thread(move || bench.verify(&hash, &secret))
            .await?;
        if right {
            self.learn(digest, now);
        }
        Ok(right)
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let place = Arc::clone(&self.queue)
            .try_acquire_owned()
            .map_err(|_| Problem::rate_limited("too many log-ins at once: try again", 1))?;
        let seat = Arc::clone(&self.seats)
            .acquire_owned()
            .await
            .map_err(|_| Problem::internal())?;
        let working = move || {
            // The work goes on when its peer goes away, and so it keeps its places.
            let _places = (place, seat);
            work()
        };
        tokio::task::spawn_blocking(working)
            .await
            .map_err(|_| Problem::internal())
    }

    fn is_known(&self, digest: Digest, now: Timestamp) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&digest).is_some_and(|until| now < *until)
    }

    fn learn(&self, digest: Digest, now: Timestamp) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, until| now < *until);
        if known.len() < KNOWN_MAX {
            known.insert(digest, now.plus(KNOWN_FOR));
        }
    }
}

/// A new secret: 256 random bits.
pub(crate) fn make_secret(random: &dyn Random) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&random.bits().to_be_bytes());
    }
    Zeroizing::new(format!(
        "{PREFIX}{}",
        URL_SAFE_NO_PAD.encode(bytes.as_slice())
    ))
}

/// The hash of a secret, where nobody else hashes.
pub(crate) fn hash_now(secret: &str) -> String {
    Bench::default().hash(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::id::Nonce;
    use engine::principal::{Principal, Role};

    fn key(secret: &str) -> ApiKey {
        ApiKey {
            serial: Nonce([1; 16]),
            secret_hash: hash_now(secret),
            role: Role::Operator,
            description: None,
            created_by: Principal::Key("admin".to_owned()),
            created_at: Timestamp::from_millis(0),
            revoked_at: None,
            revoked_by: None,
        }
    }

    #[tokio::test]
    async fn only_the_right_secret_is_right_also_when_it_is_known() {
        let hasher = Hasher::new(1, 4);
        let key = key("right");
        let now = Timestamp::from_millis(1_000);
        for _ in 0..2 {
            assert_eq!(hasher.verify(Some(&key), "right", now).await, Ok(true));
            assert_eq!(hasher.verify(Some(&key), "wrong", now).await, Ok(false));
        }
        assert!(key.secret_hash.starts_with("$argon2id$"));
    }

    #[tokio::test]
    async fn a_flood_is_told_to_come_back() {
        let hasher = Hasher::new(1, 0);
        let _busy = hasher.queue.acquire().await.expect("open");
        let key = key("right");
        for key in [Some(&key), None] {
            let answer = hasher.verify(key, "right", Timestamp::from_millis(0)).await;
            let refused = answer.expect_err("the same work is to be done, key or no key");
            assert_eq!(refused.status.as_u16(), 429);
        }
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_seat_to_the_hash_until_it_is_done() {
        let hasher = Hasher::new(1, 0);
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let hashing = hasher.off_thread(move || {
            let _ = begun.send(());
            let _ = may_go_on.recv();
        });
        tokio::select! { biased;
            hashed = hashing => panic!("nobody told it to go on: {hashed:?}"),
            begun = has_begun => begun.expect("it begins"),
        }
        let other = hasher.hash("other").await;
        assert_eq!(other.expect_err("one at a time").status.as_u16(), 429);
        drop(go_on);
        drop(hasher.queue.acquire().await.expect("it is given back"));
        assert!(hasher.hash("other").await.is_ok());
    }

    #[tokio::test]
    async fn who_is_not_known_is_looked_at_as_long_as_who_is() {
        let work = |hash: &str| hash.rsplitn(3, '$').last().map(str::to_owned);
        assert_eq!(work(NOBODY), work(&hash_now("x")), "the same parameters");
        let hasher = Hasher::new(1, 4);
        let now = Timestamp::from_millis(0);
        // The secret that the hash was made of.
        assert_eq!(hasher.verify(None, "other", now).await, Ok(false));
    }
}
