//! Network namespaces made ahead: one costs about half a millisecond, which no pod should wait for.
//!
//! They are held by descriptors alone, so they vanish with the daemon, however it ends.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::netns::{self, Namespace};

/// A supply of namespaces, made by a thread of its own.
#[derive(Debug)]
pub(crate) struct Pool {
    supply: Receiver<Namespace>,
    orders: Option<Sender<()>>,
    maker: Option<JoinHandle<()>>,
}

impl Pool {
    /// Makes `size` namespaces ready.
    pub(crate) fn new(size: usize) -> Result<Self> {
        let (made, supply) = channel();
        let (orders, queue) = channel::<()>();
        let maker = std::thread::Builder::new()
            .name("netns-maker".to_owned())
            .spawn(move || {
                for () in queue {
                    // Where one cannot be made the supply ends, and whoever needs one makes it and sees the error.
                    let Ok(namespace) = netns::unshare_here() else { return };
                    if made.send(namespace).is_err() {
                        return;
                    }
                }
            })
            .map_err(|source| Error::system("start a thread", source))?;
        let pool = Self { supply, orders: Some(orders), maker: Some(maker) };
        (0..size).for_each(|_| pool.order());
        Ok(pool)
    }

    /// A namespace that is nobody's yet, and whether it came from the supply: then the taker orders another when
    /// it has the time. Making one competes with what the taker does to its own.
    pub(crate) fn take(&self) -> Result<(Namespace, bool)> {
        match self.supply.try_recv() {
            Ok(namespace) => Ok((namespace, true)),
            Err(_) => netns::make().map(|namespace| (namespace, false)),
        }
    }

    /// Has one more made.
    pub(crate) fn order(&self) {
        // Where the maker has ended each is made when it is needed.
        let _ = self.orders.as_ref().map(|orders| orders.send(()));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.orders = None;
        // A maker that panicked has nothing to say here.
        self.maker.take().map(JoinHandle::join);
    }
}
