//! Memories that break a promise.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::defects;
use crate::port::Memory;
use crate::{Backend, Error};

defects![
    memory_holds_what_was_put: HoldsNothing,
    memory_forgets_after_its_time: NeverForgets,
    memory_drops_what_is_removed: KeepsWhatIsRemoved,
    memory_never_tells_another_value: Invents,
];

struct Wrapper {
    inner: Arc<dyn Memory>,
    how: How,
}

fn wrap(backend: Backend, how: How) -> Backend {
    let inner = Arc::clone(&backend.memory);
    let memory = Arc::new(Wrapper { inner, how });
    Backend { memory, ..backend }
}

#[async_trait]
impl Memory for Wrapper {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.how {
            How::HoldsNothing => Ok(None),
            How::Invents => Ok(Some(b"invented".to_vec())),
            How::NeverForgets | How::KeepsWhatIsRemoved => self.inner.get(key).await,
        }
    }

    async fn put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), Error> {
        let ttl = if self.how == How::NeverForgets {
            Duration::MAX
        } else {
            ttl
        };
        self.inner.put(key, value, ttl).await
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        if self.how == How::KeepsWhatIsRemoved {
            return Ok(());
        }
        self.inner.remove(key).await
    }
}
