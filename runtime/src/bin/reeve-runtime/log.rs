//! Error messages: on stderr, and in the log file in one of runc's two formats, which engines read back.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use reeve_runtime::Error;

use crate::args::{Global, LogFormat};
use crate::report::now;

pub(crate) struct Log {
    file: Option<File>,
    format: LogFormat,
}

impl Log {
    pub(crate) fn open(global: &Global) -> Result<Log, Error> {
        let open = |path: &std::path::PathBuf| {
            OpenOptions::new().create(true).append(true).open(path).map_err(|source| Error::File {
                action: "open",
                path: path.clone(),
                source,
            })
        };
        Ok(Log { file: global.log.as_ref().map(open).transpose()?, format: global.log_format })
    }

    pub(crate) fn error(&self, message: &str) {
        let line = match self.format {
            LogFormat::Text => format!("time=\"{}\" level=error msg={message:?}\n", now()),
            LogFormat::Json => {
                format!("{}\n", serde_json::json!({"level": "error", "msg": message, "time": now()}))
            }
        };
        // There is nowhere left to report that reporting failed.
        match &self.file {
            Some(file) => {
                let _ = (&*file).write_all(line.as_bytes());
                let _ = writeln!(io::stderr(), "{message}");
            }
            None => {
                let _ = io::stderr().write_all(line.as_bytes());
            }
        }
    }
}
