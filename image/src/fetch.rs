//! One layer: its blob into the store and its content into a folder, in one pass over the bytes.

use std::fs::File;
use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::error::at;
use crate::layer::{LayerError, Limits, PipeWriter, Unpacked, Unpacker, pipe, start};
use crate::manifest::Descriptor;
use crate::progress::{Counter, LayerState};
use crate::pull::blocking;
use crate::registry::{Host, Registry, Remote, no_host};
use crate::store::{Ingest, LayerInfo, Store, WorkDir};
use crate::{Digest, Error, Part, Place};

/// Chunks on their way from the network; each is what one read of the socket gave.
const DEPTH: usize = 8;
const FILE_BUFFER: usize = 256 << 10;

/// What one layer of an image is.
pub(crate) struct LayerTask<'a> {
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) diff_id: &'a Digest,
    pub(crate) chain_id: &'a Digest,
    /// Chain ids below, base first.
    pub(crate) below: &'a [Digest],
    pub(crate) max_bytes: u64,
    /// Where layers are, for an error to name.
    pub(crate) root: &'a Path,
    pub(crate) counter: &'a Counter,
}

type Unpacking = oneshot::Receiver<Result<Unpacked<WorkDir>, LayerError>>;

impl LayerTask<'_> {
    fn part(&self) -> Part {
        Part::Layer(self.descriptor.digest.clone())
    }

    /// A layer whose blob is here already.
    pub(crate) async fn unpack_blob(&self, store: &Store, place: &Place) -> Result<Unpacked<WorkDir>, Error> {
        self.counter.set_downloaded(self.descriptor.size);
        self.counter.set_state(LayerState::Unpacking);
        let file = store.open_blob(&self.descriptor.digest)?;
        let unpacking = self.start(store, BufReader::with_capacity(FILE_BUFFER, file))?;
        self.unpacked(unpacking, place).await
    }

    /// A layer from the network, from the first host that has it whole. Without `unpack` only its blob.
    pub(crate) async fn download(
        &self,
        store: &Store,
        registry: &Registry,
        remote: &Remote,
        unpack: bool,
    ) -> Result<Option<Unpacked<WorkDir>>, Error> {
        let hosts = remote.pull_hosts();
        let mut last = None;
        for (index, host) in hosts.iter().enumerate() {
            match self.download_from(store, registry, remote, host, unpack).await {
                Ok(unpacked) => return Ok(unpacked),
                Err(error) if error.is_remote() && index + 1 < hosts.len() => {
                    tracing::info!(%error, "trying the next registry host");
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| no_host(remote)))
    }

    async fn download_from(
        &self,
        store: &Store,
        registry: &Registry,
        remote: &Remote,
        host: &Host,
        unpack: bool,
    ) -> Result<Option<Unpacked<WorkDir>>, Error> {
        let place = remote.place(&host.name(), self.part());
        self.counter.set_state(LayerState::Downloading);
        let (sink, source) = mpsc::channel(DEPTH);
        let (writer, reader) = pipe(DEPTH);
        let mut unpacking = if unpack { Some(self.start(store, reader)?) } else { None };
        let ingest = store.ingest(self.descriptor.digest.algorithm())?;
        let ingesting = {
            let (descriptor, place) = (self.descriptor.clone(), place.clone());
            tokio::task::spawn_blocking(move || write_blob(ingest, source, writer, &descriptor, &place))
        };
        let fetch = registry.blob(remote, host, self.part(), self.descriptor, &sink, self.counter);
        let (fetched, early) = fetch_while_unpacking(fetch, &mut unpacking).await;
        drop(sink);
        self.counter.set_state(LayerState::Unpacking);
        let written = ingesting.await.unwrap_or_else(|_| Err(Error::Cancelled { what: place.to_string() }));
        let unpacked = match (early, unpacking) {
            (Some(result), _) => Some(self.judge(result, &place)),
            (None, Some(unpacking)) => Some(self.unpacked(unpacking, &place).await),
            (None, None) => None,
        };
        verdict(fetched, written, unpacked)
    }

    fn start<R: std::io::BufRead + Send + 'static>(
        &self,
        store: &Store,
        reader: R,
    ) -> Result<Unpacking, Error> {
        let work = store.work_dir()?;
        let (root, trash) = work.folders()?;
        let unpacker = Unpacker::new(root, trash, self.below.is_empty());
        let limits = Limits { algorithm: self.diff_id.algorithm(), max_bytes: self.max_bytes };
        let path = store.layer_path(self.chain_id);
        start(reader, unpacker, work, limits).map_err(at("start a thread for", &path))
    }

    async fn unpacked(&self, unpacking: Unpacking, place: &Place) -> Result<Unpacked<WorkDir>, Error> {
        self.judge(unpacking.await.unwrap_or(Err(LayerError::Abandoned)), place)
    }

    fn judge(
        &self,
        result: Result<Unpacked<WorkDir>, LayerError>,
        place: &Place,
    ) -> Result<Unpacked<WorkDir>, Error> {
        let unpacked = result.map_err(|error| layer_error(error, place, self.root))?;
        if unpacked.diff_id == *self.diff_id {
            return Ok(unpacked);
        }
        let (expected, actual) = (self.diff_id.clone(), unpacked.diff_id.clone());
        discard(Ok(unpacked));
        Err(Error::WrongDiffId { place: Box::new(place.clone()), expected, actual })
    }

    /// Finishes the layer, when those below are whole, and makes it visible.
    pub(crate) async fn commit(
        &self,
        store: &Arc<Store>,
        unpacked: Unpacked<WorkDir>,
        place: &Place,
    ) -> Result<(), Error> {
        let (store, place) = (Arc::clone(store), place.clone());
        let (chain_id, below) = (self.chain_id.clone(), self.below.to_vec());
        blocking("finishing a layer", move || commit(&store, unpacked, chain_id, &below, &place)).await
    }
}

fn commit(
    store: &Store,
    unpacked: Unpacked<WorkDir>,
    chain_id: Digest,
    below: &[Digest],
    place: &Place,
) -> Result<(), Error> {
    let Unpacked { unpacker, diff_id, tar_size, work } = unpacked;
    let open = |chain_id: &Digest| {
        let path = store.layer_path(chain_id);
        File::open(&path).map(OwnedFd::from).map_err(at("open", &path))
    };
    let below: Vec<OwnedFd> = below.iter().rev().map(open).collect::<Result<_, _>>()?;
    let extent = unpacker.finish(&below).map_err(|error| layer_error(error, place, store.layers_root()))?;
    store.commit_layer(work, LayerInfo::new(chain_id, diff_id, tar_size, extent.bytes, extent.inodes))
}

/// Downloads, and looks whether the layer can be unpacked at all: its result, where it came before the end.
async fn fetch_while_unpacking(
    fetch: impl Future<Output = Result<(), Error>>,
    unpacking: &mut Option<Unpacking>,
) -> (Result<(), Error>, Option<Result<Unpacked<WorkDir>, LayerError>>) {
    tokio::pin!(fetch);
    let result = match unpacking {
        None => return (fetch.await, None),
        Some(unpacking) => tokio::select! {
            fetched = &mut fetch => return (fetched, None),
            result = unpacking => result.unwrap_or(Err(LayerError::Abandoned)),
        },
    };
    *unpacking = None;
    // Trouble with the own disk will not get better. Wrong content is better told by the blob's digest.
    if matches!(&result, Err(LayerError::Io { .. })) {
        return (Ok(()), Some(result));
    }
    (fetch.await, Some(result))
}

/// One failure brings others with it. The cause is told: the own disk before the registry, the blob before
/// what is in it, and that something was given up only when nothing else is known.
fn verdict(
    fetched: Result<(), Error>,
    written: Result<(), Error>,
    unpacked: Option<Result<Unpacked<WorkDir>, Error>>,
) -> Result<Option<Unpacked<WorkDir>>, Error> {
    let (content, refused) = match unpacked {
        Some(Ok(content)) => (Some(content), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let errors = [fetched.err(), written.err(), refused].into_iter().flatten();
    let rank = |error: &Error| match error {
        Error::Cancelled { .. } | Error::Layer { source: LayerError::Abandoned, .. } => 2,
        error => u8::from(error.is_remote()),
    };
    let Some(error) = errors.min_by_key(rank) else { return Ok(content) };
    if let Some(content) = content {
        discard(Ok(content));
    }
    Err(error)
}

/// Removes a layer that is not wanted any more, away from the async threads: it may be large.
fn discard(unpacked: Result<Unpacked<WorkDir>, LayerError>) {
    tokio::task::spawn_blocking(move || drop(unpacked));
}

fn layer_error(error: LayerError, place: &Place, root: &Path) -> Error {
    if error.is_disk_full() {
        return Error::DiskFull { path: root.to_owned() };
    }
    Error::Layer { place: Box::new(place.clone()), source: error }
}

/// Writes and digests a blob, and passes its bytes on to be unpacked. It goes on where nobody unpacks.
fn write_blob(
    mut ingest: Ingest,
    mut source: mpsc::Receiver<Bytes>,
    writer: PipeWriter<Bytes>,
    descriptor: &Descriptor,
    place: &Place,
) -> Result<(), Error> {
    while let Some(chunk) = source.blocking_recv() {
        ingest.write(&chunk)?;
        writer.send(chunk);
    }
    if ingest.written() < descriptor.size {
        return Err(Error::Cancelled { what: place.to_string() });
    }
    writer.end();
    let ingested = ingest.finish()?;
    if ingested.digest != descriptor.digest {
        return Err(Error::WrongDigest {
            place: Box::new(place.clone()),
            expected: descriptor.digest.clone(),
            actual: ingested.digest,
        });
    }
    ingested.commit()
}
