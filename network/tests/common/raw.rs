//! Protocols for which std has no sockets: ICMP echo, and SCTP's first packet.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{MsgFlags, SockaddrIn, recv, sendto, setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::{PATIENCE, Place};

/// An open raw socket for one protocol, in the namespace where it was opened.
pub struct Raw(OwnedFd);

impl Place {
    pub fn raw(&self, protocol: i32) -> Raw {
        self.run(move || {
            // SAFETY: plain socket(2); the descriptor is checked and owned at once.
            let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
            assert!(fd >= 0, "a raw socket");
            // SAFETY: `fd` is open and nobody else's.
            Raw(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) })
        })
    }
}

impl Raw {
    pub fn send(&self, to: &str, packet: &[u8]) {
        let to = SockaddrIn::from(std::net::SocketAddrV4::new(to.parse().expect("an address"), 0));
        sendto(self.0.as_raw_fd(), packet, &to, MsgFlags::empty()).expect("send");
    }

    /// The next packet: who sent it, and what follows the IP header.
    pub fn receive(&self) -> Option<(Ipv4Addr, Vec<u8>)> {
        setsockopt(&self.0, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE.as_secs() as i64, 0))
            .expect("a limit");
        let mut buffer = [0; 1500];
        let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()).ok()?;
        let header = usize::from(buffer[0] & 15) * 4;
        let source = Ipv4Addr::new(buffer[12], buffer[13], buffer[14], buffer[15]);
        Some((source, buffer[header..length].to_vec()))
    }
}

/// An echo request (RFC 792).
pub fn echo() -> Vec<u8> {
    let mut packet = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// An association's first packet (RFC 9260: common header, INIT chunk, CRC32c).
pub fn sctp_init(source: u16, destination: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend_from_slice(&source.to_be_bytes());
    packet.extend_from_slice(&destination.to_be_bytes());
    packet.extend_from_slice(&[0; 8]); // no verification tag yet; checksum
    packet.extend_from_slice(&[1, 0, 0, 20]); // INIT of 20 bytes
    packet.extend_from_slice(&7u32.to_be_bytes()); // initiate tag
    packet.extend_from_slice(&65536u32.to_be_bytes()); // window
    packet.extend_from_slice(&[0, 1, 0, 1]); // streams out, in
    packet.extend_from_slice(&1u32.to_be_bytes()); // first sequence number
    let bit = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let crc = packet.iter().fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)));
    packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
    packet
}
