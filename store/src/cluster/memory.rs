//! What may be lost, in Valkey: every key is let go of by itself.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, SetExpiry, SetOptions};

use super::unavailable;
use crate::Error;
use crate::port::Memory;

/// So long a call may take. Whoever asks can do without an answer.
const CALL: Duration = Duration::from_secs(1);
/// Attempts to connect again, before those who wait are told; the next call tries again.
const TRIES: usize = 2;

/// Where memory is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's address, as `redis://user:password@host:port`.
    pub url: String,
    /// What all keys of the installation begin with, as `mirastack/`.
    pub root: String,
}

/// Memory in Valkey.
pub struct Cache {
    connection: ConnectionManager,
    root: String,
}

impl Cache {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the server does not answer.
    pub async fn open(options: &Options) -> Result<Self, Error> {
        let client = Client::open(options.url.as_str()).map_err(unavailable)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CALL))
            .set_response_timeout(Some(CALL))
            .set_number_of_retries(TRIES);
        let connection = ConnectionManager::new_with_config(client, config).await;
        Ok(Self {
            connection: connection.map_err(unavailable)?,
            root: options.root.clone(),
        })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.root)
    }
}

#[async_trait]
impl Memory for Cache {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut connection = self.connection.clone();
        connection.get(self.key(key)).await.map_err(unavailable)
    }

    async fn put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), Error> {
        // Less than the server can count is nothing.
        let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let ends = SetOptions::default().with_expiration(SetExpiry::PX(ms));
        let mut connection = self.connection.clone();
        let put = connection.set_options(self.key(key), value, ends);
        put.await.map_err(unavailable)
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        let mut connection = self.connection.clone();
        connection.unlink(self.key(key)).await.map_err(unavailable)
    }
}
