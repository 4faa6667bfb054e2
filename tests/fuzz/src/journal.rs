//! Records that are put behind each other as a journal has them.

use engine::digest::Digest;
use engine::record::Record;
use minicbor::Decoder;

/// A journal: each record has the number, the run and the hash that its place asks for.
#[derive(Default)]
pub(crate) struct Entries(Vec<(Record, Digest)>);

impl Entries {
    /// The next record.
    pub(crate) fn add(&mut self, mut record: Record) {
        if let Some((before, hash)) = self.0.last() {
            (record.key, record.n) = (before.key.clone(), before.n.wrapping_add(1));
            record.prev_hash = *hash;
        }
        let hash = Digest::of(&record.encode());
        self.0.push((record, hash));
    }

    /// So many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, with the hashes of their bytes.
    pub(crate) fn all(&self) -> Vec<(Record, Digest)> {
        self.0.clone()
    }
}

/// The CBOR items that stand one behind the other, as far as they are any.
pub(crate) fn items(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut decoder = Decoder::new(data);
    std::iter::from_fn(move || {
        let start = decoder.position();
        decoder.skip().ok()?;
        // An item of no bytes would be met for ever.
        let item = data.get(start..decoder.position())?;
        (!item.is_empty()).then_some(item)
    })
}
