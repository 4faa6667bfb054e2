//! CBOR of a value that others hold, too: as the value itself.

use std::sync::Arc;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{CborLen, Decode, Encode};

pub(crate) fn encode<C, T: Encode<C>, W: Write>(
    value: &Arc<T>,
    encoder: &mut Encoder<W>,
    context: &mut C,
) -> Result<(), encode::Error<W::Error>> {
    T::encode(value, encoder, context)
}

pub(crate) fn decode<'b, C, T: Decode<'b, C>>(
    decoder: &mut Decoder<'b>,
    context: &mut C,
) -> Result<Arc<T>, decode::Error> {
    T::decode(decoder, context).map(Arc::new)
}

pub(crate) fn cbor_len<C, T: CborLen<C>>(value: &Arc<T>, context: &mut C) -> usize {
    T::cbor_len(value, context)
}
