//! Generates the protocol's messages and services. protox compiles the files in-process, so that no
//! `protoc` needs to be installed.

use std::error::Error;

const FILES: [&str; 3] = [
    "mirastack/plugin/v1/types.proto",
    "mirastack/plugin/v1/plugin.proto",
    "mirastack/plugin/v1/engine.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let files = protox::compile(FILES, ["."])?;
    tonic_prost_build::configure()
        // Bytes fields are slices of the message that came in: no copy of large parameters.
        .bytes(".")
        // Maps in one order, so that the same message has the same bytes on every machine.
        .btree_map(".")
        .compile_fds(files)?;
    Ok(())
}
