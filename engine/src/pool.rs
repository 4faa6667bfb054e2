//! Pools of workers.

use std::fmt;
use std::sync::Arc;

use minicbor::encode::Write;
use minicbor::{CborLen, Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};

use crate::id::is_name;

/// A pool of workers, by its name (`[a-z0-9][a-z0-9-]{0,62}`). All workers of a pool have the same agents, and the jobs
/// of an agent are offered to the pool that has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Pool(Arc<str>);

impl Pool {
    /// The pool of workers that name none.
    pub const DEFAULT: &'static str = "default";

    /// A pool by its name, or `None` when the name is not allowed.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        is_name(name).then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Pool> for String {
    fn from(pool: Pool) -> Self {
        pool.as_str().to_owned()
    }
}

impl TryFrom<String> for Pool {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name).ok_or_else(|| {
            format!("{name:?} is no name of a pool: write [a-z0-9][a-z0-9-]{{0,62}}")
        })
    }
}

impl<C> Encode<C> for Pool {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Pool {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let name = d.str()?;
        Self::new(name).ok_or_else(|| decode::Error::message("no name of a pool"))
    }
}

impl<C> CborLen<C> for Pool {
    fn cbor_len(&self, context: &mut C) -> usize {
        self.as_str().cbor_len(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_a_name_wherever_it_comes_from() {
        let pool = Pool::new("gpu-2").expect("a name");
        let written = minicbor::to_vec(&pool).expect("plain");
        assert_eq!(minicbor::decode::<Pool>(&written).expect("the same"), pool);
        assert_eq!(serde_json::to_string(&pool).expect("plain"), r#""gpu-2""#);
        for wrong in ["", "GPU", "a.b", "*", ">", "-a", "a b"] {
            assert_eq!(Pool::new(wrong), None, "{wrong}");
            let json = serde_json::to_string(wrong).expect("plain");
            let error = serde_json::from_str::<Pool>(&json).expect_err("no name");
            assert!(error.to_string().contains("no name of a pool"), "{error}");
            let cbor = minicbor::to_vec(wrong).expect("plain");
            assert!(minicbor::decode::<Pool>(&cbor).is_err(), "{wrong}");
        }
    }
}
