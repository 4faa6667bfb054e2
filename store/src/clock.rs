//! Time and chance, injected, so that the simulation owns both.

use engine::id::Nonce;
use engine::time::Timestamp;

/// What time it is. Sleeping goes through `tokio::time`, which the simulation pauses.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Where ids and nonces come from.
pub trait Random: Send + Sync {
    /// 64 random bits.
    fn bits(&self) -> u64;

    /// A new nonce.
    fn nonce(&self) -> Nonce {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&self.bits().to_be_bytes());
        bytes[8..].copy_from_slice(&self.bits().to_be_bytes());
        Nonce(bytes)
    }
}
