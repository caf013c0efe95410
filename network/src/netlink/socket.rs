//! A netlink socket: one datagram carries a batch, and every message of it is answered for.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::{Answer, Message, attributes};
use crate::error::{Error, Result};

/// `NLMSGERR_ATTR_MSG` of linux/netlink.h: the kernel's words for an error.
const ERROR_TEXT: u16 = 1;
/// Header of a message; the error number after it, then the header of the message that it is about.
const HEADER: usize = 16;
const ERROR_HEAD: usize = 4 + HEADER;
/// A dump's datagrams are at most this long (NLMSG_GOODSIZE is less).
const BUFFER: usize = 64 * 1024;

/// A socket in the network namespace of the thread that opened it, for good.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// A message of an answer, split.
struct Part<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl Socket {
    /// For links, addresses and routes (rtnetlink(7)).
    pub(crate) fn route() -> Result<Self> {
        Self::open(SockProtocol::NetlinkRoute, "open a route netlink socket")
    }

    /// For nftables and conntrack.
    pub(crate) fn netfilter() -> Result<Self> {
        Self::open(SockProtocol::NetlinkNetFilter, "open a netfilter netlink socket")
    }

    fn open(protocol: SockProtocol, what: &str) -> Result<Self> {
        let wrap = |errno| Error::system(what, io::Error::from(errno));
        let fd =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).map_err(wrap)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(wrap)?;
        // An answer always comes; the limit is there so that a bug is an error and not a hang.
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(10, 0)).map_err(wrap)?;
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            enable(&fd, option).map_err(|source| Error::system(what, source))?;
        }
        Ok(Self { fd, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Sends the messages in one datagram and waits for all answers; one result per message, in order.
    /// A message that asks for no acknowledgement counts as done when nothing is said against it.
    pub(crate) fn send(&mut self, messages: &[Message]) -> Result<Vec<Result<()>>> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::with_capacity(512);
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            message.write(self.sequence, &mut datagram);
        }
        self.transmit(&datagram, messages)?;

        let mut results: Vec<Option<Result<()>>> =
            messages.iter().map(|message| (!message.wants_ack()).then_some(Ok(()))).collect();
        while results.iter().any(Option::is_none) {
            let mut refused_batch = false;
            self.receive(messages, |part| {
                let index = part.sequence.wrapping_sub(first) as usize;
                let (Some(message), Some(result)) = (messages.get(index), results.get_mut(index)) else {
                    return;
                };
                if i32::from(part.kind) == libc::NLMSG_ERROR {
                    let answer = verdict(message, &part);
                    refused_batch |= answer.is_err() && !message.wants_ack();
                    *result = Some(answer);
                }
            })?;
            // A batch's own begin or end was refused: nothing of it was done, and nothing more will be said.
            if refused_batch {
                break;
            }
        }
        Ok(results.into_iter().map(|result| result.unwrap_or(Ok(()))).collect())
    }

    /// As [`Self::send`], where the first refusal is the failure of the whole.
    pub(crate) fn send_all(&mut self, messages: &[Message]) -> Result<()> {
        self.send(messages)?.into_iter().collect()
    }

    /// Sends one request that is answered by messages: a dump, or a single get.
    pub(crate) fn ask(&mut self, message: &Message) -> Result<Vec<Answer>> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let mut datagram = Vec::with_capacity(128);
        message.write(sequence, &mut datagram);
        let messages = std::slice::from_ref(message);
        self.transmit(&datagram, messages)?;

        let mut answers = Vec::new();
        let mut outcome = None;
        while outcome.is_none() {
            self.receive(messages, |part| {
                if part.sequence != sequence {
                    return;
                }
                match i32::from(part.kind) {
                    libc::NLMSG_ERROR => outcome = Some(verdict(message, &part)),
                    libc::NLMSG_DONE => outcome = Some(Ok(())),
                    _ => {
                        answers.push(Answer::new(part.body));
                        if i32::from(part.flags) & libc::NLM_F_MULTI == 0 {
                            outcome = Some(Ok(()));
                        }
                    }
                }
            })?;
        }
        outcome.unwrap_or(Ok(())).map(|()| answers)
    }

    fn transmit(&self, datagram: &[u8], messages: &[Message]) -> Result<()> {
        send(self.fd.as_raw_fd(), datagram, MsgFlags::empty())
            .map(drop)
            .map_err(|errno| Error::system(first_words(messages), io::Error::from(errno)))
    }

    /// Takes one datagram and shows each message of it.
    fn receive(&mut self, messages: &[Message], mut each: impl FnMut(Part<'_>)) -> Result<()> {
        let length = loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Err(nix::errno::Errno::EINTR) => {}
                Ok(length) => break length,
                Err(errno) => return Err(Error::system(first_words(messages), io::Error::from(errno))),
            }
        };
        let mut rest = &self.buffer[..length];
        while let Some((part, after)) = split(rest) {
            each(part);
            rest = after;
        }
        Ok(())
    }
}

/// The first message of a datagram, and what follows it.
fn split(bytes: &[u8]) -> Option<(Part<'_>, &[u8])> {
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let length = word(0)? as usize;
    let part = Part { kind: half(4)?, flags: half(6)?, sequence: word(8)?, body: bytes.get(HEADER..length)? };
    Some((part, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// An acknowledgement as a result: error number zero is consent.
fn verdict(message: &Message, part: &Part<'_>) -> Result<()> {
    let Some(number) = part.body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes)
    else {
        return Err(Error::Answer(message.what().to_owned()));
    };
    if number == 0 {
        return Ok(());
    }
    let tail = part.body.get(ERROR_HEAD..).unwrap_or_default();
    let has_text = i32::from(part.flags) & libc::NLM_F_ACK_TLVS != 0;
    let detail = attributes(tail).find(|attribute| has_text && attribute.kind == ERROR_TEXT);
    Err(Error::Kernel {
        what: message.what().to_owned(),
        detail: detail.map(|attribute| attribute.text().to_owned()),
        source: io::Error::from_raw_os_error(-number),
    })
}

fn first_words(messages: &[Message]) -> String {
    messages.iter().map(Message::what).find(|what| !what.is_empty()).unwrap_or("netlink").to_owned()
}

/// Switches on a flag of netlink(7)'s socket options.
fn enable(fd: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer and the length describe `on`, which lives through the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            std::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
