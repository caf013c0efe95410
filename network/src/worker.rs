//! What is done to the kernel, one thing after another, on one thread with two sockets.
//!
//! Order within an attachment: written down, namespace pinned, interfaces, addresses, rules, written down as
//! complete. Taking out goes the other way. Whatever a crash leaves is thus in the ledger, and is finished by the
//! next attach of that pod, or undone by its detach.

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::addresses::Plan;
use crate::bridge::Bridge;
use crate::config::{Attachment, Config, PortMapping};
use crate::error::{Error, Result, describe};
use crate::ledger::{Entry, Ledger};
use crate::link::{self, POD_INTERFACE};
use crate::netlink::Socket;
use crate::netns::{self, Namespace};
use crate::nft::{self, PodPorts, Ruleset};
use crate::pool::Pool;
use crate::ports;
use crate::remover::Remover;

/// The ledger, written by the worker and read by everybody.
pub(crate) type SharedLedger = Arc<Mutex<Ledger>>;

/// Why the network does not work, if it does not.
pub(crate) type Problem = Arc<Mutex<Option<String>>>;

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Worker {
    config: Config,
    plan: Plan,
    ledger: SharedLedger,
    pool: Pool,
    /// How many namespaces were taken from the pool and not ordered again.
    taken: usize,
    remover: Remover,
    route: Socket,
    netfilter: Socket,
    ruleset: Ruleset,
    bridge: Bridge,
    /// Why the bridge or the rules could not be made, when they were last needed.
    problem: Problem,
}

/// Locks; a panic elsewhere leaves the ledger as it is on the disk.
pub(crate) fn lock(ledger: &SharedLedger) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    /// Opens what can be opened without touching the network.
    pub(crate) fn open(config: Config, plan: Plan, ledger: SharedLedger, problem: Problem) -> Result<Self> {
        fs::create_dir_all(&config.netns_dir)
            .map_err(|source| Error::file("create", &config.netns_dir, source))?;
        Ok(Self {
            pool: Pool::new(config.prepared)?,
            taken: 0,
            remover: Remover::new(doomed_group(&config.bridge))?,
            route: Socket::route()?,
            netfilter: Socket::netfilter()?,
            ruleset: Ruleset::new(&config.bridge, plan.subnets()),
            bridge: Bridge::new(&config.bridge),
            problem,
            config,
            plan,
            ledger,
        })
    }

    /// Puts right what pods of an earlier run need.
    pub(crate) fn restore(&mut self) {
        if self.has_pods()
            && let Err(error) = self.ensure()
        {
            tracing::error!(
                error = describe(&error),
                bridge = self.config.bridge,
                "the network does not work"
            );
        }
    }

    /// The bridge, its addresses and the rules; quick when they are there.
    fn ensure(&mut self) -> Result<u32> {
        let made = self.make_bridge();
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = made.as_ref().err().map(describe);
        made
    }

    fn make_bridge(&mut self) -> Result<u32> {
        if let Some(index) = self.bridge.current(&mut self.route)? {
            return Ok(index);
        }
        let index = self.bridge.make(&mut self.route, &self.plan)?;
        self.replace_rules(None)?;
        Ok(index)
    }

    fn has_pods(&self) -> bool {
        lock(&self.ledger).pods().next().is_some()
    }

    pub(crate) fn attach(&mut self, id: &str, wanted: &[PortMapping]) -> Result<Attachment> {
        if lock(&self.ledger).get(id).is_some_and(|entry| !entry.complete) {
            // It may be on its way out.
            self.remover.settle();
        }
        let known = lock(&self.ledger).get(id).cloned();
        if let Some(entry) = &known
            && entry.complete
            && entry.ports == wanted
            && self.stands(id, entry)?
        {
            return Ok(attachment(&self.config, &self.plan, id, entry));
        }
        let families: Vec<_> = self.plan.gateways().iter().map(|net| net.addr()).collect();
        ports::check(id, &families, wanted)?;
        {
            let ledger = lock(&self.ledger);
            let others = ledger.pods().filter(|(other, _)| *other != id);
            ports::check_free(wanted, others.map(|(other, entry)| (other, entry.ports.as_slice())))?;
        }
        let bridge = self.ensure()?;
        let fresh = known.is_none();
        let mut entry = match known {
            None => lock(&self.ledger).allocate(&self.plan, id, wanted)?,
            Some(entry) => {
                let entry = Entry { ports: wanted.to_vec(), complete: false, ..entry };
                lock(&self.ledger).set(id, entry.clone())?;
                entry
            }
        };
        let made = self.make(id, &entry, bridge, fresh).and_then(|()| {
            entry.complete = true;
            lock(&self.ledger).set(id, entry.clone())
        });
        match made {
            Ok(()) => Ok(attachment(&self.config, &self.plan, id, &entry)),
            Err(error) => {
                if let Err(undo) = self.detach_now(id) {
                    tracing::warn!(pod = id, error = %undo, "a failed attachment is not wholly undone");
                }
                Err(error)
            }
        }
    }

    /// Makes good what was taken from the pool: between two jobs, when nobody waits.
    pub(crate) fn refill(&mut self) {
        (0..std::mem::take(&mut self.taken)).for_each(|_| self.pool.order());
    }

    /// Whether the kernel still has what the ledger says; a reboot takes it away.
    fn stands(&mut self, id: &str, entry: &Entry) -> Result<bool> {
        let interface = link::host_interface(self.plan.ip4(entry.slot));
        Ok(netns::is_pinned(&self.pin(id))? && link::link_named(&mut self.route, &interface)?.is_some())
    }

    fn make(&mut self, id: &str, entry: &Entry, bridge: u32, fresh: bool) -> Result<()> {
        let mut namespace = self.namespace(id, fresh)?;
        self.interfaces(id, entry, bridge, &namespace)?;
        self.addresses(entry, &mut namespace.socket)?;
        if entry.ports.is_empty() && fresh {
            return Ok(());
        }
        let pod = self.pod_ports(entry);
        if !fresh {
            self.replace_rules(None)?;
        } else if let Err(error) = self.ruleset.add(&pod).commit(&mut self.netfilter) {
            // Somebody emptied our table, or it holds what we do not know of: put it right as a whole.
            tracing::warn!(%error, "nftables rules are not as they were left: writing them anew");
            self.replace_rules(None)?;
        }
        if pod.ports.iter().any(|mapping| mapping.host_ip.is_none_or(|ip| ip.is_ipv4())) {
            self.bridge.route_loopback()?;
        }
        nft::forget_ports(&mut self.netfilter, &pod.ips, &pod.ports)
    }

    /// The pod's pinned namespace: the one that is there, or one from the pool.
    fn namespace(&mut self, id: &str, fresh: bool) -> Result<Namespace> {
        let path = self.pin(id);
        if fresh {
            // A pin that the ledger knows nothing of may hold anything.
            netns::unpin(&path)?;
        } else if let Some(namespace) = netns::open_pinned(&path)? {
            return Ok(namespace);
        }
        let (namespace, pooled) = self.pool.take()?;
        self.taken += usize::from(pooled);
        netns::pin(&namespace, &path)?;
        Ok(namespace)
    }

    fn interfaces(&mut self, id: &str, entry: &Entry, bridge: u32, namespace: &Namespace) -> Result<()> {
        let ip = self.plan.ip4(entry.slot);
        let name = link::host_interface(ip);
        let messages = [
            link::create_veth(&name, bridge, namespace.fd.as_fd(), link::mac_of(ip)),
            link::set_port(&name, id),
        ];
        match self.route.send_all(&messages) {
            // Left by an attempt that crashed; it goes with its other end.
            Err(error) if error.errno() == Some(libc::EEXIST) => {
                self.route.send_all(&[link::delete_link(&name)])?;
                self.route.send_all(&messages)
            }
            done => done,
        }
    }

    fn addresses(&self, entry: &Entry, socket: &mut Socket) -> Result<()> {
        let link = link::link_named(socket, POD_INTERFACE)?;
        let link =
            link.ok_or_else(|| Error::Answer(format!("look up interface {POD_INTERFACE} in the pod")))?;
        let addresses = self.plan.nets(entry.slot);
        let mut messages = vec![link::set_up(link.index, POD_INTERFACE)];
        messages.extend(addresses.iter().map(|net| link::add_address(link.index, POD_INTERFACE, *net)));
        let gateways = self.plan.gateways();
        messages.extend(gateways.iter().map(|net| link::add_default_route(link.index, net.addr())));
        socket.send_all(&messages)
    }

    /// Takes a pod out. Goes on past what fails; the pod stays in the ledger until nothing does. The answer comes
    /// when the interface is gone; meanwhile there may be other work.
    pub(crate) fn detach(&mut self, id: &str) -> oneshot::Receiver<Result<()>> {
        let (answer, answered) = oneshot::channel();
        let path = self.pin(id);
        let Some(entry) = lock(&self.ledger).get(id).cloned() else {
            // The receiver is in our hands.
            let _ = answer.send(netns::unpin(&path));
            return answered;
        };
        let mut errors = Vec::new();
        if entry.complete {
            errors.extend(lock(&self.ledger).set(id, Entry { complete: false, ..entry.clone() }).err());
        }
        if !entry.ports.is_empty() {
            errors.extend(self.remove_rules(id, &entry).err());
        }
        errors.extend(netns::unpin(&path).err());

        let (id, ledger) = (id.to_owned(), Arc::clone(&self.ledger));
        let interface = link::host_interface(self.plan.ip4(entry.slot));
        let after = move |deleted: Result<()>| {
            errors.extend(deleted.err());
            let result =
                if errors.is_empty() { lock(&ledger).remove(&id) } else { Err(Error::Detach { id, errors }) };
            // Whoever asked may have gone away.
            let _ = answer.send(result);
        };
        self.remover.delete(interface, Box::new(after));
        answered
    }

    fn detach_now(&mut self, id: &str) -> Result<()> {
        self.detach(id).blocking_recv().unwrap_or(Err(Error::Closed))
    }

    fn remove_rules(&mut self, id: &str, entry: &Entry) -> Result<()> {
        let pod = self.pod_ports(entry);
        if let Err(error) = self.ruleset.remove(&pod).commit(&mut self.netfilter) {
            tracing::debug!(pod = id, %error, "nftables rules are not as they were left: writing them anew");
            self.replace_rules(Some(id))?;
        }
        nft::forget_pod(&mut self.netfilter, &pod.ips, &pod.ports)
    }

    /// Writes the tables anew from the ledger, without one pod.
    fn replace_rules(&mut self, without: Option<&str>) -> Result<()> {
        let pods: Vec<_> = {
            let ledger = lock(&self.ledger);
            let kept = ledger.pods().filter(|(id, _)| Some(*id) != without);
            kept.map(|(_, entry)| self.pod_ports(entry)).collect()
        };
        self.ruleset.replace(pods.iter()).commit(&mut self.netfilter)
    }

    fn delete_link(&mut self, name: &str) -> Result<()> {
        match self.route.send_all(&[link::delete_link(name)]) {
            Err(error) if error.errno() != Some(libc::ENODEV) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes every pod that is not to be kept, and what hangs on our bridge or lies among our pins and belongs to
    /// no pod. Gives the ids that were removed.
    pub(crate) fn sweep(&mut self, keep: &HashSet<String>) -> Result<Vec<String>> {
        let known: Vec<_> = lock(&self.ledger).pods().map(|(id, _)| id.to_owned()).collect();
        let strangers = self.pins()?.into_iter().filter(|id| !known.contains(id));
        let gone: Vec<_> = known.iter().cloned().chain(strangers).filter(|id| !keep.contains(id)).collect();
        let going: Vec<_> = gone.iter().map(|id| self.detach(id)).collect();
        let results = going.into_iter().map(|done| done.blocking_recv().unwrap_or(Err(Error::Closed)));
        let mut errors: Vec<_> = results.filter_map(Result::err).collect();
        errors.extend(self.sweep_bridge().err());
        if errors.is_empty() { Ok(gone) } else { Err(Error::Sweep(errors)) }
    }

    fn sweep_bridge(&mut self) -> Result<()> {
        let Some(bridge) = self.bridge.current(&mut self.route)? else {
            return Ok(());
        };
        let known: HashSet<_> = {
            let ledger = lock(&self.ledger);
            ledger.pods().map(|(_, entry)| link::host_interface(self.plan.ip4(entry.slot))).collect()
        };
        let ports = link::links(&mut self.route)?;
        let strays = ports.iter().filter(|link| link.master == Some(bridge) && !known.contains(&link.name));
        for stray in strays {
            tracing::info!(interface = stray.name, "removing an interface that belongs to no pod");
            self.delete_link(&stray.name)?;
        }
        self.replace_rules(None)
    }

    /// The names in the directory of pins.
    fn pins(&self) -> Result<Vec<String>> {
        let wrap = |source| Error::file("list", &self.config.netns_dir, source);
        let entries = fs::read_dir(&self.config.netns_dir).map_err(wrap)?;
        entries.map(|entry| Ok(entry.map_err(wrap)?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Removes the bridge and the tables when no pod needs them; tells whether it did.
    pub(crate) fn tear_down(&mut self) -> Result<bool> {
        self.remover.settle();
        if self.has_pods() {
            return Ok(false);
        }
        self.ruleset.delete().commit(&mut self.netfilter)?;
        if self.bridge.current(&mut self.route)?.is_some() || self.bridge.exists(&mut self.route)? {
            let name = self.config.bridge.clone();
            self.delete_link(&name)?;
        }
        self.bridge = Bridge::new(&self.config.bridge);
        Ok(true)
    }

    fn pin(&self, id: &str) -> PathBuf {
        self.config.netns_dir.join(id)
    }

    fn pod_ports(&self, entry: &Entry) -> PodPorts {
        PodPorts { ips: self.plan.ips(entry.slot), ports: entry.ports.clone() }
    }
}

/// What the ledger's line means.
pub(crate) fn attachment(config: &Config, plan: &Plan, id: &str, entry: &Entry) -> Attachment {
    let ips: Vec<IpAddr> = plan.ips(entry.slot);
    let ip = plan.ip4(entry.slot);
    Attachment {
        netns: config.netns_dir.join(id),
        ips,
        ports: entry.ports.clone(),
        mac: link::mac_of(ip),
        host_interface: link::host_interface(ip),
    }
}

/// The group for interfaces on their way out (see [`Remover`]): "rv" and something of the bridge's name, so that two
/// networks in one namespace do not share it.
fn doomed_group(bridge: &str) -> u32 {
    let hash = bridge.bytes().fold(0u16, |hash, byte| hash.wrapping_mul(31).wrapping_add(u16::from(byte)));
    u32::from_be_bytes(*b"rv\0\0") | u32::from(hash)
}
