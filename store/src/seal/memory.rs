//! Memory whose values only those can read and write who have the root key.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Seal, fresh};
use crate::clock::Random;
use crate::port::Memory;
use crate::{Backend, Error};

/// Seals what it puts, each value for its key. What cannot be opened, because it is damaged or somebody else's, is not
/// there.
struct Sealed {
    inner: Arc<dyn Memory>,
    seal: Seal,
    random: Arc<dyn Random>,
}

impl Backend {
    /// The same ports, with a memory whose values are sealed: what agents save may be secret, and whoever can write to
    /// the memory must not be able to tell a call where to go on.
    #[must_use]
    pub fn sealing_memory(mut self, seal: &Seal) -> Self {
        self.memory = Arc::new(Sealed {
            inner: self.memory,
            seal: seal.clone(),
            random: self.random.clone(),
        });
        self
    }
}

fn bound(key: &str) -> String {
    format!("memory/{key}")
}

#[async_trait]
impl Memory for Sealed {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(value) = self.inner.get(key).await? else {
            return Ok(None);
        };
        let opened = self.seal.open_bytes(&bound(key), &value);
        if opened.is_err() {
            tracing::warn!("a value in the memory is damaged or somebody else's: it is not used");
        }
        Ok(opened.ok().map(|plain| plain.to_vec()))
    }

    async fn put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), Error> {
        let random = fresh(self.random.as_ref());
        let sealed = self.seal.seal_bytes(&bound(key), random, value);
        self.inner.put(key, &sealed, ttl).await
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        self.inner.remove(key).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ProcessClock, SystemRandom};
    use crate::embedded::{Embedded, Options, Place};
    use crate::seal::RootKey;

    const FOREVER: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn what_is_damaged_or_somebody_else_s_is_not_there() {
        let options = Options::new(Arc::new(ProcessClock::start()), Arc::new(SystemRandom));
        let (plain, _) = Embedded::inline(Place::Memory, options).expect("an empty store");
        let inner = plain.memory.clone();
        let seal = Seal::new(&RootKey::new([1; 32]));
        let memory = plain.clone().sealing_memory(&seal).memory;
        memory
            .put("a", b"page 7", FOREVER)
            .await
            .expect("it answers");
        assert_eq!(memory.get("a").await, Ok(Some(b"page 7".to_vec())));

        let sealed = inner
            .get("a")
            .await
            .expect("it answers")
            .expect("it is there");
        assert!(!sealed.windows(6).any(|part| part == b"page 7"));
        // Under another key, as another wrote it, and damaged anywhere.
        inner.put("b", &sealed, FOREVER).await.expect("it answers");
        assert_eq!(memory.get("b").await, Ok(None));
        inner
            .put("c", b"page 9", FOREVER)
            .await
            .expect("it answers");
        assert_eq!(memory.get("c").await, Ok(None));
        for n in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[n] ^= 1;
            inner.put("a", &damaged, FOREVER).await.expect("it answers");
            assert_eq!(memory.get("a").await, Ok(None), "byte {n}");
        }
        let other = Seal::new(&RootKey::new([2; 32]));
        inner.put("a", &sealed, FOREVER).await.expect("it answers");
        assert_eq!(plain.sealing_memory(&other).memory.get("a").await, Ok(None));
    }
}
