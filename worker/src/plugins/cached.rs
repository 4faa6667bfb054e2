//! Answers with values of the cache.

use proto::limits;
use proto::v1::CacheEntry;
use proto::wire::{Dialect, Form};
use serde_json::Value as Json;
use tonic::{Request, Status};
use tracing::debug;

use super::asker::Party;
use super::call_back::Service;

/// What stands around the key and the value of an entry, in bytes.
const ENTRY_AROUND: usize = 64;

/// An answer with values of the cache. A client takes 4 MiB, and a cache may forget: from the first value that does not
/// fit on, none is found.
pub(super) struct CacheAnswer {
    form: Form,
    left: usize,
}

impl CacheAnswer {
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let form = request.extensions().get().copied();
        Self {
            form: form.unwrap_or(Form::Protobuf),
            left: limits::MESSAGE,
        }
    }

    pub(super) async fn entry(
        &mut self,
        service: &Service,
        party: &Party,
        key: String,
    ) -> Result<CacheEntry, Status> {
        let none = |key| CacheEntry {
            key,
            ..CacheEntry::default()
        };
        if self.left == 0 {
            return Ok(none(key));
        }
        let entry = service.cached(party, key).await?;
        let needs = self.length(&entry);
        if needs > self.left {
            self.left = 0;
            debug!(tenant = %party.tenant, bytes = entry.value.len(), "a value of the cache does not fit into an answer");
            return Ok(none(entry.key));
        }
        self.left -= needs;
        Ok(entry)
    }

    /// How long it is as it is sent.
    fn length(&self, entry: &CacheEntry) -> usize {
        let value = entry.value.len();
        let value = match self.form {
            Form::Protobuf | Form::Json(Dialect::Python) => value,
            Form::Json(Dialect::Go) => 4 * value.div_ceil(3),
        };
        value + Json::from(entry.key.as_str()).to_string().len() + ENTRY_AROUND
    }
}
