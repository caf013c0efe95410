//! Puts the one version string together: the package's version, and the commit where the build names it.

fn main() {
    println!("cargo::rerun-if-env-changed=REEVE_COMMIT");
    let version = env!("CARGO_PKG_VERSION");
    let commit = std::env::var("REEVE_COMMIT").unwrap_or_default();
    let text = if commit.is_empty() { version.to_owned() } else { format!("{version}+{commit}") };
    println!("cargo::rustc-env=REEVE_VERSION={text}");
}
