//! Interfaces go in company: deleting one makes the kernel wait for a grace period of some 20 ms, however many go
//! in that time. So a thread of its own takes all that are due and deletes them as one group, while the worker
//! goes on with other pods.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::link;
use crate::netlink::Socket;

/// What is done after an interface is gone, or could not be deleted.
pub(crate) type After = Box<dyn FnOnce(Result<()>) + Send>;

/// An interface that is to go.
struct Order {
    link: String,
    after: After,
}

/// The thread that deletes interfaces.
#[derive(Debug)]
pub(crate) struct Remover {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Remover {
    /// Starts it, in the network namespace of the caller. `group` is a number for interfaces on their way out; no
    /// interface of anybody else may have it.
    pub(crate) fn new(group: u32) -> Result<Self> {
        let (orders, queue) = channel();
        let socket = Socket::route()?;
        let thread = std::thread::Builder::new()
            .name("link-remover".to_owned())
            .spawn(move || run(socket, group, &queue))
            .map_err(|source| Error::system("start a thread", source))?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Has an interface deleted, and then something done. An interface that does not exist is well deleted.
    pub(crate) fn delete(&self, link: String, after: After) {
        let order = Order { link, after };
        if let Some(Err(refused)) = self.orders.as_ref().map(|orders| orders.send(order)) {
            (refused.0.after)(Err(Error::Closed));
        }
    }

    /// Waits until everything ordered so far is done.
    pub(crate) fn settle(&self) {
        let (done, settled) = oneshot::channel();
        // No interface has an empty name.
        self.delete(String::new(), Box::new(move |_| _ = done.send(())));
        // The sender is dropped unused only when the thread has ended: then nothing is under way.
        let _ = settled.blocking_recv();
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        self.orders = None;
        self.thread.take().map(JoinHandle::join);
    }
}

fn run(mut socket: Socket, group: u32, queue: &Receiver<Order>) {
    while let Ok(first) = queue.recv() {
        let due: Vec<_> = std::iter::once(first).chain(queue.try_iter()).collect();
        let names: Vec<_> =
            due.iter().map(|order| order.link.as_str()).filter(|name| !name.is_empty()).collect();
        let results = delete(&mut socket, group, &names);
        let mut results = results.into_iter();
        for order in due {
            let result = if order.link.is_empty() { None } else { results.next() };
            (order.after)(result.unwrap_or(Ok(())));
        }
    }
}

/// Deletes these interfaces; one result each, in order.
fn delete(socket: &mut Socket, group: u32, names: &[&str]) -> Vec<Result<()>> {
    if let [_, _, ..] = names {
        let moves: Vec<_> = names.iter().map(|name| link::set_group(name, group)).collect();
        // Whatever goes wrong here is told by the deletion one by one below, which finds the rest.
        let together = socket.send(&moves).and_then(|_| socket.send_all(&[link::delete_group(group)]));
        if let Err(error) = together {
            tracing::debug!(%error, "deleting interfaces one by one");
        }
    }
    let one = |name: &&str| match socket.send_all(&[link::delete_link(name)]) {
        Err(error) if error.errno() != Some(libc::ENODEV) => Err(error),
        _ => Ok(()),
    };
    names.iter().map(one).collect()
}
