//! Network namespaces made ahead: one costs about half a millisecond, which no pod should wait for.
//!
//! They are held by descriptors alone, so they vanish with the daemon, however it ends.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::netns::{self, Namespace};

/// A supply of namespaces, kept up by a thread of its own.
#[derive(Debug)]
pub(crate) struct Pool {
    supply: Option<Receiver<Namespace>>,
    maker: Option<JoinHandle<()>>,
}

impl Pool {
    /// Keeps `size` namespaces ready; with 0 each is made when it is asked for.
    pub(crate) fn new(size: usize) -> Result<Self> {
        if size == 0 {
            return Ok(Self {
                supply: None,
                maker: None,
            });
        }
        // The maker holds one more in its hands while the channel is full.
        let (sender, supply) = sync_channel(size - 1);
        let maker = std::thread::Builder::new()
            .name("netns-maker".to_owned())
            .spawn(move || {
                // Where one cannot be made the supply ends, and whoever needs one makes it and sees the error.
                while let Ok(namespace) = netns::unshare_here() {
                    if sender.send(namespace).is_err() {
                        return;
                    }
                }
            })
            .map_err(|source| Error::system("start a thread", source))?;
        Ok(Self {
            supply: Some(supply),
            maker: Some(maker),
        })
    }

    /// A namespace that is nobody's yet.
    pub(crate) fn take(&self) -> Result<Namespace> {
        let ready = self.supply.as_ref().and_then(|supply| supply.try_recv().ok());
        ready.map_or_else(netns::make, Ok)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.supply = None;
        // A maker that panicked has nothing to say here.
        self.maker.take().map(JoinHandle::join);
    }
}
