//! Generates the messages of etcd that the registry needs. protox compiles the file in-process, so that no `protoc` needs
//! to be installed.

use std::error::Error;

const FILE: &str = "proto/etcd.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={FILE}");
    let file = protox::compile([FILE], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(file)?;
    Ok(())
}
