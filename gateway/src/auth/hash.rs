//! argon2id in memory that is kept. A hash needs 19 MiB for some 20 ms: memory of that size that comes and goes on
//! whichever thread is free stays with each of them, many times over.

use std::sync::{Mutex, PoisonError};

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::constant_time::same;

/// The memory of those that hash at the same time.
#[derive(Default)]
pub(crate) struct Bench(Mutex<Vec<Vec<Block>>>);

impl Bench {
    /// The hash of a secret (PHC string), with the parameters that OWASP recommends (19 MiB, 2 passes).
    pub(crate) fn hash(&self, secret: &str) -> String {
        let (argon, salt) = (Argon2::default(), Salt::generate());
        let output = self.output(&argon, secret, (&salt, Params::DEFAULT_OUTPUT_LEN));
        let hash = PasswordHash {
            algorithm: Algorithm::default().ident(),
            version: Some(Version::default().into()),
            params: Params::DEFAULT
                .try_into()
                .expect("the default parameters are valid"),
            salt: Some(salt),
            hash: output,
        };
        hash.to_string()
    }

    /// Whether that is the hash of this secret. One that asks for more memory than ours is damaged.
    pub(crate) fn verify(&self, hash: &str, secret: &str) -> bool {
        let Ok(hash) = PasswordHash::new(hash) else {
            return false;
        };
        let version = hash
            .version
            .map_or(Ok(Version::default()), Version::try_from);
        let (Ok(algorithm), Ok(version), Ok(params), Some(salt), Some(known)) = (
            Algorithm::try_from(hash.algorithm.as_str()),
            version,
            Params::try_from(&hash),
            hash.salt,
            hash.hash,
        ) else {
            return false;
        };
        let argon = Argon2::new(algorithm, version, params);
        let output = self.output(&argon, secret, (&salt, known.len()));
        output.is_some_and(|output| same(output.as_bytes(), known.as_bytes()))
    }

    fn output(
        &self,
        argon: &Argon2<'_>,
        secret: &str,
        (salt, len): (&Salt, usize),
    ) -> Option<Output> {
        let blocks = Params::DEFAULT.block_count();
        if argon.params().block_count() > blocks {
            return None;
        }
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = lock().pop();
        let mut memory = kept.unwrap_or_else(|| vec![Block::default(); blocks]);
        let mut bytes = [0; Output::MAX_LENGTH];
        let output = bytes.get_mut(..len)?;
        let (secret, salt) = (secret.as_bytes(), salt.as_ref());
        let hashed = argon.hash_password_into_with_memory(secret, salt, output, &mut memory);
        let output = hashed.ok().and_then(|()| Output::new(output).ok());
        // What is left of the secret's work is nobody's business.
        memory.fill(Block::default());
        lock().push(memory);
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    #[test]
    fn it_makes_and_reads_what_everybody_does() {
        let bench = Bench::default();
        let ours = bench.hash("secret");
        let argon = Argon2::default();
        assert!(argon.verify_password(b"secret", &*ours).is_ok(), "{ours}");
        let theirs = argon.hash_password(b"secret").expect("a hash").to_string();
        assert!(bench.verify(&theirs, "secret") && !bench.verify(&theirs, "secreT"));
        assert_eq!(ours.rsplitn(3, '$').last(), theirs.rsplitn(3, '$').last());
        let kept = bench.0.lock().expect("nobody panicked").len();
        assert_eq!(kept, 1, "one at a time takes one piece of memory");
    }

    #[test]
    fn a_damaged_hash_is_no_hash_and_takes_no_memory() {
        let bench = Bench::default();
        let good = bench.hash("secret");
        for bad in [
            good.replace("m=19456", "m=4000000"),
            good.replace("$argon2id", "$argon2x"),
            good.replace("v=19", "v=99"),
            good[..good.len() - 4].to_owned(),
            good.rsplit_once('$').expect("parts").0.to_owned(),
            "x".repeat(100_000),
            String::new(),
        ] {
            assert!(!bench.verify(&bad, "secret"), "{bad}");
        }
    }
}
