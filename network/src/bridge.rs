//! The bridge as a whole: the link, its addresses, the kernel settings that it needs.

use ipnet::IpNet;

use crate::addresses::Plan;
use crate::error::{Error, Result};
use crate::link::{self, Link};
use crate::netlink::Socket;
use crate::sysctl;

/// One network's bridge, as far as this process knows it.
#[derive(Debug)]
pub(crate) struct Bridge {
    name: String,
    /// Its index, once it was seen to be as it should.
    index: Option<u32>,
    routes_loopback: bool,
}

impl Bridge {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), index: None, routes_loopback: false }
    }

    fn look_up(&self, socket: &mut Socket) -> Result<Option<Link>> {
        match link::link_named(socket, &self.name)? {
            Some(link) if link.kind.as_deref() != Some("bridge") => Err(Error::NotABridge(self.name.clone())),
            link => Ok(link),
        }
    }

    /// Its index, if it is still the bridge that [`Self::make`] made.
    pub(crate) fn current(&mut self, socket: &mut Socket) -> Result<Option<u32>> {
        if self.index.is_none() {
            return Ok(None);
        }
        let found = self.look_up(socket)?.filter(|link| link.up).map(|link| link.index);
        if found != self.index {
            self.index = None;
            self.routes_loopback = false;
        }
        Ok(self.index)
    }

    /// Whether a bridge of the name exists.
    pub(crate) fn exists(&self, socket: &mut Socket) -> Result<bool> {
        Ok(self.look_up(socket)?.is_some())
    }

    /// Makes it, or puts right the one that is there.
    pub(crate) fn make(&mut self, socket: &mut Socket, plan: &Plan) -> Result<u32> {
        let found = self.look_up(socket)?;
        self.check_overlap(socket, plan, found.as_ref().map(|link| link.index))?;
        let index = match found {
            Some(link) => link.index,
            None => {
                socket.send_all(&[link::create_bridge(&self.name, link::mac_of(plan.ip4(1)))])?;
                let made = self.look_up(socket)?;
                made.ok_or_else(|| Error::Answer(format!("look up bridge {}", self.name)))?.index
            }
        };
        let mut messages = vec![link::set_up(index, &self.name)];
        let addresses = plan.gateways();
        messages.extend(addresses.iter().map(|net| link::add_address(index, &self.name, *net)));
        socket.send_all(&messages)?;
        allow_forwarding(addresses.len() > 1)?;
        self.index = Some(index);
        Ok(index)
    }

    /// Lets packets between 127.0.0.1 and the pods pass, for host ports on the loopback address. The rules keep the
    /// pods from using it the other way.
    pub(crate) fn route_loopback(&mut self) -> Result<()> {
        if !self.routes_loopback {
            sysctl::ensure(&format!("ipv4/conf/{}/route_localnet", self.name), "1")?;
            self.routes_loopback = true;
        }
        Ok(())
    }

    /// Refuses a subnet in which another interface has its address: one of the two would be cut off.
    fn check_overlap(&self, socket: &mut Socket, plan: &Plan, own: Option<u32>) -> Result<()> {
        let subnets = plan.subnets();
        for address in link::addresses(socket)? {
            let clash = subnets.iter().find(|subnet: &&IpNet| subnet.contains(&address.net.addr()));
            let Some(subnet) = clash.filter(|_| Some(address.link) != own) else {
                continue;
            };
            let links = link::links(socket)?;
            let interface = links.into_iter().find(|link| link.index == address.link);
            return Err(Error::Overlap {
                subnet: subnet.to_string(),
                address: address.net.to_string(),
                interface: interface.map_or_else(|| address.link.to_string(), |link| link.name),
            });
        }
        Ok(())
    }
}

/// Forwarding between the pods and the world, in the namespace of the calling thread.
fn allow_forwarding(ipv6: bool) -> Result<()> {
    sysctl::ensure("ipv4/ip_forward", "1")?;
    if !ipv6 || sysctl::is("ipv6/conf/all/forwarding", "1") {
        return Ok(());
    }
    // A host that forwards ignores router advertisements, and would lose its own default route: 2 means "still".
    for interface in sysctl::interfaces("ipv6")? {
        sysctl::change(&format!("ipv6/conf/{interface}/accept_ra"), "1", "2")?;
    }
    sysctl::ensure("ipv6/conf/all/forwarding", "1")
}
