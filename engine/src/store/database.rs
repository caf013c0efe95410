//! One redb file, as a map from keys to bytes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::{Builder, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::{Change, StoreError};

const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");
const META: TableDefinition<&str, &str> = TableDefinition::new("meta");

/// Records are few and held in memory besides, so a small cache serves.
const CACHE_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    db: redb::Database,
}

impl Database {
    /// Commits are synced to disk. Also tells whether it was last opened in this boot.
    pub(super) fn durable(path: &Path, boot: &str) -> Result<(Self, bool), StoreError> {
        let failed = |error: redb::DatabaseError| database_error(path, error);
        let db = Builder::new().set_cache_size(CACHE_BYTES).create_file(open(path)?).map_err(failed)?;
        let database = Self { path: path.to_owned(), db };
        let same_boot = database.boot()?.as_deref() == Some(boot);
        if !same_boot {
            database.prepare(boot)?;
        }
        Ok((database, same_boot))
    }

    /// Commits are written and not synced. A file of another boot, or one that cannot be read (after a power
    /// failure, where the directory is not a tmpfs), is thrown away: true says that it is new.
    pub(super) fn live(path: &Path, boot: &str) -> Result<(Self, bool), StoreError> {
        match Self::open_live(path).and_then(|database| Ok((database.boot()?, database))) {
            Ok((made_in, database)) if made_in.as_deref() == Some(boot) => return Ok((database, false)),
            Ok(_) => {}
            Err(error) => tracing::info!(path = %path.display(), "starting from the durable copy: {error}"),
        }
        match std::fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::Io { path: path.to_owned(), source });
            }
            _ => {}
        }
        let database = Self::open_live(path)?;
        database.prepare(boot)?;
        Ok((database, true))
    }

    fn open_live(path: &Path) -> Result<Self, StoreError> {
        let backend = Unsynced(open(path)?);
        let db = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        Ok(Self { path: path.to_owned(), db: db.map_err(|error| database_error(path, error))? })
    }

    fn prepare(&self, boot: &str) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.db.begin_write()?;
            transaction.open_table(RECORDS)?;
            transaction.open_table(META)?.insert("boot", boot)?;
            Ok(transaction.commit()?)
        };
        write().map_err(|error| database_error(&self.path, error))
    }

    /// The boot that the file was made in; none in a file that was never finished.
    fn boot(&self) -> Result<Option<String>, StoreError> {
        let read = || -> Result<Option<String>, redb::Error> {
            let meta = match self.db.begin_read()?.open_table(META) {
                Ok(meta) => meta,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            Ok(meta.get("boot")?.map(|value| value.value().to_owned()))
        };
        read().map_err(|error| database_error(&self.path, error))
    }

    pub(super) fn read_all(&self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let mut entries = BTreeMap::new();
            for entry in self.db.begin_read()?.open_table(RECORDS)?.iter()? {
                let (key, value) = entry?;
                entries.insert(key.value().to_owned(), value.value().to_owned());
            }
            Ok(entries)
        };
        read().map_err(|error| database_error(&self.path, error))
    }

    /// All or none.
    pub(super) fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.db.begin_write()?;
            let mut records = transaction.open_table(RECORDS)?;
            for change in changes {
                match &change.value {
                    Some(value) => records.insert(change.key.as_str(), &**value)?,
                    None => records.remove(change.key.as_str())?,
                };
            }
            drop(records);
            Ok(transaction.commit()?)
        };
        write().map_err(|error| database_error(&self.path, error))
    }
}

/// Only root may read it: environments of containers hold passwords.
fn open(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|source| StoreError::Io { path: path.to_owned(), source })
}

fn database_error(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database { path: path.to_owned(), source: Box::new(error.into()) }
}

/// A file whose writes stay in the page cache: safe when the process dies, not when the machine does.
#[derive(Debug)]
struct Unsynced(File);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}
