//! The checksum of a row, because the database's own checks answer `ok` to flipped bits.

/// A CRC-32C (Castagnoli) over the name of the table and the columns that matter, each with its kind and length, so that
/// no two rows read the same.
pub(super) struct Sum(u32);

impl Sum {
    pub(super) fn of(table: &str) -> Self {
        Self(crc32c::crc32c(table.as_bytes()))
    }

    pub(super) fn int(self, value: i64) -> Self {
        self.add(b'i').raw(&value.to_be_bytes())
    }

    pub(super) fn opt(self, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.int(value),
            None => self.add(b'-'),
        }
    }

    pub(super) fn bytes(self, value: &[u8]) -> Self {
        let length = value.len() as u64;
        self.add(b'b').raw(&length.to_be_bytes()).raw(value)
    }

    /// As it is stored.
    pub(super) fn done(self) -> i64 {
        i64::from(self.0)
    }

    fn add(self, kind: u8) -> Self {
        self.raw(&[kind])
    }

    fn raw(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_differ_anywhere_have_different_sums() {
        let base = || Sum::of("key").bytes(b"ab").int(1);
        let others = [
            Sum::of("run").bytes(b"ab").int(1),
            Sum::of("key").bytes(b"a").bytes(b"b").int(1),
            Sum::of("key").bytes(b"ab").int(2),
            Sum::of("key").bytes(b"ab").opt(None),
        ];
        assert_eq!(base().done(), base().done());
        for other in others {
            assert_ne!(base().done(), other.done());
        }
    }
}
