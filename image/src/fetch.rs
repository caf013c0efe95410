//! One layer: its blob into the store and its content into a folder, in one pass over the bytes.

use std::fs::File;
use std::io::BufReader;
use std::os::fd::OwnedFd;
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
const DEPTH: usize = 16;
const FILE_BUFFER: usize = 256 << 10;

/// What one layer of an image is.
pub(crate) struct LayerTask<'a> {
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) diff_id: &'a Digest,
    pub(crate) chain_id: &'a Digest,
    /// Chain ids below, base first.
    pub(crate) below: &'a [Digest],
    pub(crate) max_bytes: u64,
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
        let mut early = None;
        let fetched = {
            let fetch = registry.blob(remote, host, self.part(), self.descriptor, &sink, self.counter);
            tokio::pin!(fetch);
            loop {
                tokio::select! {
                    fetched = &mut fetch => break fetched,
                    result = ended(&mut unpacking) => {
                        // Wrong content is better told by the digest, so the download goes on; trouble with
                        // the own disk will not get better.
                        let is_local = matches!(&result, Err(LayerError::Io { .. }));
                        early = Some(result);
                        unpacking = None;
                        if is_local {
                            break Ok(());
                        }
                    }
                }
            }
        };
        drop(sink);
        self.counter.set_state(LayerState::Unpacking);
        let written = ingesting.await.unwrap_or_else(|_| Err(Error::Cancelled { what: place.to_string() }));
        let outcome = match (early, unpacking) {
            (Some(result), _) => Some(self.judge(result, &place)),
            // Only when the blob is good is it worth to wait; otherwise its thread ends by itself.
            (None, Some(unpacking)) => match (&fetched, &written) {
                (Ok(()), Ok(())) => Some(self.unpacked(unpacking, &place).await),
                _ => {
                    if let Ok(unpacked) = unpacking.await {
                        discard(unpacked);
                    }
                    None
                }
            },
            (None, None) => None,
        };
        let remote_failure = fetched.err().filter(|error| !matches!(error, Error::Cancelled { .. }));
        let (local, failure) = match written.err() {
            Some(error) if !error.is_remote() && !matches!(error, Error::Cancelled { .. }) => {
                (Some(error), None)
            }
            other => (None, other),
        };
        let is_cancelled = |error: &Error| matches!(error, Error::Cancelled { .. });
        let wrong_blob = failure.clone().filter(|error| !is_cancelled(error));
        if let Some(error) = local.or(remote_failure).or(wrong_blob) {
            if let Some(Ok(unpacked)) = outcome {
                discard(Ok(unpacked));
            }
            return Err(error);
        }
        match (outcome, failure) {
            (Some(Err(error)), _) | (_, Some(error)) => Err(error),
            (Some(Ok(unpacked)), None) => Ok(Some(unpacked)),
            (None, None) => Ok(None),
        }
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
        let unpacked = result.map_err(|error| layer_error(error, place))?;
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
    let extent = unpacker.finish(&below).map_err(|error| layer_error(error, place))?;
    store.commit_layer(work, LayerInfo::new(chain_id, diff_id, tar_size, extent.bytes, extent.inodes))
}

/// Ends only where there is something to end.
async fn ended(unpacking: &mut Option<Unpacking>) -> Result<Unpacked<WorkDir>, LayerError> {
    match unpacking {
        Some(unpacking) => unpacking.await.unwrap_or(Err(LayerError::Abandoned)),
        None => std::future::pending().await,
    }
}

/// Removes a layer that is not wanted any more, away from the async threads: it may be large.
fn discard(unpacked: Result<Unpacked<WorkDir>, LayerError>) {
    tokio::task::spawn_blocking(move || drop(unpacked));
}

fn layer_error(error: LayerError, place: &Place) -> Error {
    if error.is_disk_full() {
        return Error::DiskFull { path: place.to_string().into() };
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
