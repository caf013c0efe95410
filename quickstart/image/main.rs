//! `reeve-quickstart-image BINARY OUT.tar`: an OCI image layout (image-spec, "Image Layout") in a tar, with the
//! image `reeve.local/quickstart:latest` that holds BINARY. Equal binaries make equal digests: no time, no user
//! and no order of this machine goes in.

mod layer;
mod layout;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

/// Why the image could not be made.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("usage: reeve-quickstart-image BINARY OUT.tar")]
    Usage,
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("tar entry {name}: {source}")]
    Entry { name: String, source: io::Error },
}

fn main() -> ExitCode {
    match build() {
        Ok(digest) => {
            let _ = writeln!(io::stdout(), "{} {digest}", layout::NAME);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the tar, and returns the manifest's digest.
fn build() -> Result<String, Error> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(binary), Some(out), None) = (args.next(), args.next(), args.next()) else {
        return Err(Error::Usage);
    };
    let program = fs::read(&binary).map_err(|source| Error::File { path: binary, source })?;
    let (archive, digest) = layout::archive(layer::tar(&program)?)?;
    // Beside and renamed: whoever imports never sees half of it.
    let beside = out.with_extension("partial");
    fs::write(&beside, archive)
        .and_then(|()| fs::rename(&beside, &out))
        .map_err(|source| Error::File { path: out, source })?;
    Ok(digest)
}
