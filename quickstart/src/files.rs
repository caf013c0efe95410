//! Verbs about files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::arguments::Arguments;
use crate::{Outcome, print, system, time};

fn at(path: impl AsRef<Path>) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: {error}", path.as_ref().display())
}

/// `write FILE [--every S]`
pub(crate) fn write(arguments: &Arguments) -> Outcome {
    let path = arguments.word(0, "FILE")?;
    let every = arguments.seconds("every", 1)?;
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(at(path))?;
    let name = system::hostname()?;
    for count in 1u64.. {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let line = format!("line {count} of {name} at {now}\n");
        file.write_all(line.as_bytes()).map_err(at(path))?;
        print(&format!("wrote {line}"))?;
        time::pause(every);
    }
    Ok(ExitCode::SUCCESS)
}

/// `watch FILE`: from its beginning, and it may come later.
pub(crate) fn watch(arguments: &Arguments) -> Outcome {
    let path = arguments.word(0, "FILE")?;
    let mut read = 0;
    loop {
        match File::open(path) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(read)).map_err(at(path))?;
                let mut text = String::new();
                read += file.read_to_string(&mut text).map_err(at(path))? as u64;
                print(&text)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(path)(error)),
        }
        time::pause(Duration::from_millis(200));
    }
}

/// `cat [FILE...]`
pub(crate) fn cat(arguments: &Arguments) -> Outcome {
    if arguments.words().is_empty() {
        io::copy(&mut io::stdin(), &mut Unbuffered).map_err(at("stdin"))?;
    }
    for path in arguments.words() {
        copy(path)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A file to stdout.
pub(crate) fn copy(path: &str) -> Outcome {
    let mut file = File::open(path).map_err(at(path))?;
    io::copy(&mut file, &mut Unbuffered).map_err(at(path))?;
    Ok(ExitCode::SUCCESS)
}

/// Stdout that holds nothing back: who feeds `cat` by hand wants each piece at once.
struct Unbuffered;

impl Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        nix::unistd::write(io::stdout(), bytes).map_err(io::Error::from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `ls [DIR]`: mode, owner, size and name, sorted.
pub(crate) fn ls(arguments: &Arguments) -> Outcome {
    let path = arguments.words().first().map_or(".", String::as_str);
    let mut lines = Vec::new();
    for entry in fs::read_dir(path).map_err(at(path))? {
        let entry = entry.map_err(at(path))?;
        let about = entry.metadata().map_err(at(entry.path()))?;
        let name = entry.file_name();
        lines.push((
            name.clone(),
            format!(
                "{:06o} {}:{} {:>9} {}\n",
                about.mode(),
                about.uid(),
                about.gid(),
                about.len(),
                name.to_string_lossy()
            ),
        ));
    }
    lines.sort();
    print(&lines.into_iter().map(|(_, line)| line).collect::<String>())
}
