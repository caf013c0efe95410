//! Compiles the interface definitions with protox, so that a build needs no `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");

    let shim = protox::compile(["proto/shim/shim.proto"], ["proto/shim"])?;
    prost_build::Config::new().compile_fds(shim)?;

    if std::env::var_os("CARGO_FEATURE_CRI").is_some() {
        let cri = protox::compile(["proto/cri/api.proto"], ["proto/cri"])?;
        tonic_prost_build::configure().build_transport(false).compile_fds(cri)?;
    }
    Ok(())
}
