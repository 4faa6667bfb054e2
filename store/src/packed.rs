//! The body of an archived run: CBOR, compressed with zstd after its length in eight bytes.

use minicbor::{Decode, Encode};

use crate::Error;

/// zstd's own default is 3; most journals are small, and there speed is all that differs.
const LEVEL: i32 = 1;
/// No body unpacks to more: a journal has at most 32 MiB, and its rows little more.
const UNPACKED_MAX: u64 = 64 * 1024 * 1024;

/// Packs what is archived.
///
/// # Errors
/// [`Error::Unavailable`] when there is no memory for it.
pub(crate) fn pack<T: Encode<()>>(rows: &T) -> Result<Vec<u8>, Error> {
    let plain = minicbor::to_vec(rows).expect("writing to memory cannot fail");
    let small = zstd::bulk::compress(&plain, LEVEL)
        .map_err(|e| Error::Unavailable(format!("records were not compressed: {e}")))?;
    let mut body = (plain.len() as u64).to_be_bytes().to_vec();
    body.extend(small);
    Ok(body)
}

/// What was packed, if the body is whole.
pub(crate) fn unpack<T: for<'b> Decode<'b, ()>>(body: &[u8]) -> Option<T> {
    let (length, small) = body.split_first_chunk::<8>()?;
    let length = u64::from_be_bytes(*length);
    let length = usize::try_from(length.min(UNPACKED_MAX)).ok()?;
    let plain = zstd::bulk::decompress(small, length).ok()?;
    minicbor::decode(&plain).ok()
}
