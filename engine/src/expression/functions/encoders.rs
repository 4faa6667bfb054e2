//! Base64: the encoders extension.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::super::meter::{Fault, Meter};
use super::super::value::Value;
use super::{P, Signature, function, mismatch, text};

pub(super) static TABLE: &[Signature] = &[
    function("base64.decode", &[P::String], P::Bytes, decode),
    function("base64.encode", &[P::Bytes], P::String, encode),
];

fn encode<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    let [Value::Bytes(bytes)] = args else {
        return mismatch("bytes", args.first());
    };
    meter.make(bytes.len().div_ceil(3) * 4)?;
    Ok(Value::text(STANDARD.encode(bytes)))
}

/// With or without the `=` at the end.
fn decode<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    let encoded = text(args, 0)?;
    meter.make(encoded.len())?;
    match STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')) {
        Ok(bytes) => Ok(Value::Bytes(bytes.into())),
        Err(_) => Fault::failed("the text is no base64"),
    }
}
