//! Generates the protocol's messages and services. protox compiles the files in-process, so that no
//! `protoc` needs to be installed.

use std::error::Error;

const FILES: [&str; 3] = [
    "mirastack/plugin/v1/types.proto",
    "mirastack/plugin/v1/plugin.proto",
    "mirastack/plugin/v1/engine.proto",
];

/// The bytes fields that JSON peers know.
const BYTES: [&str; 10] = [
    "params_json",
    "result_json",
    "input_params",
    "output_params",
    "params_json_schema",
    "result_json_schema",
    "value",
    "data_json",
    "context_json",
    "ExecuteRequest.checkpoint",
];
/// The bytes fields that they do not.
const NATIVE_BYTES: [&str; 3] = ["bytes", "input_schema", "output_schema"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let files = protox::compile(FILES, ["."])?;
    let mut build = tonic_prost_build::configure()
        // The JSON form has the same names; what is left out is zero.
        .type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .message_attribute(".", "#[serde(default)]");
    for field in BYTES.iter().chain(&NATIVE_BYTES) {
        build = build.field_attribute(field, "#[serde(with = \"crate::json::base64\")]");
    }
    build
        // Bytes fields are slices of the message that came in: no copy of large parameters.
        .bytes(".")
        // Maps in one order, so that the same message has the same bytes on every machine.
        .btree_map(".")
        .compile_fds(files)?;
    Ok(())
}
