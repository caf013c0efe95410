//! One engine per directory.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use crate::error::{Error, IoContext, Result};

/// Held for as long as the engine lives; the kernel lets it go when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Takes `<dir>/lock` (flock(2)), and leaves our process id in it for people.
    pub(super) fn take(dir: &Path) -> Result<Lock> {
        let path = dir.join("lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .at("open", &path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                file.set_len(0).at("write", &path)?;
                file.rewind().at("write", &path)?;
                writeln!(file, "{}", std::process::id()).at("write", &path)?;
                Ok(Lock { _file: file })
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                // The message is for a person; without the number it is still clear.
                let _ = file.read_to_string(&mut pid);
                Err(Error::Locked { path, pid: pid.trim().to_owned() })
            }
            Err((_, error)) => Err(error).at("lock", &path),
        }
    }
}
