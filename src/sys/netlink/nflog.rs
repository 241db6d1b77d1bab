//! Packets that a rule of nf_tables tells of (linux/netfilter/nfnetlink_log.h).

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags, recv};

use super::{Batch, Messages, half, nft};

const SUBSYSTEM: u16 = 4;
const PACKET: u16 = SUBSYSTEM << 8;
const CONFIGURE: u16 = SUBSYSTEM << 8 | 1;

/// A socket that hears of the packets of `group`, at most their first `length` bytes (non-blocking).
pub(crate) fn listen(group: u16, length: u32) -> Result<OwnedFd, Errno> {
    const BIND: u8 = 1;
    const COPY_PACKET: u8 = 2;
    /// Hundredths of a second that the kernel may gather packets.
    const TIMEOUT: u32 = 5;
    let socket = nft::socket(SocketFlags::CLOEXEC)?;
    let [high, low] = group.to_be_bytes();
    let mut batch = Batch::default();
    batch.begin("nflog", CONFIGURE, 0);
    batch.put(&[libc::AF_UNSPEC as u8, 0, high, low]);
    batch.attribute(1, &[BIND]);
    batch.end();
    batch.begin("nflog", CONFIGURE, 0);
    batch.put(&[libc::AF_UNSPEC as u8, 0, high, low]);
    let [a, b, c, d] = length.to_be_bytes();
    batch.attribute(2, &[a, b, c, d, COPY_PACKET, 0]);
    batch.attribute(4, &TIMEOUT.to_be_bytes());
    batch.end();
    batch.apply(&socket, 0).map_err(|(_, e)| e)?;
    rustix::fs::fcntl_setfl(&socket, rustix::fs::OFlags::NONBLOCK)?;
    Ok(socket)
}

/// Calls `each` with the packets that have come, from their IP headers on.
pub(crate) fn packets(socket: &OwnedFd, buffer: &mut [u8], mut each: impl FnMut(&[u8])) {
    /// Datagrams of the socket before others have their turn.
    const TURN: usize = 32;
    const PAYLOAD: u16 = 9;
    for _ in 0..TURN {
        let length = match recv(socket, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((_, length)) => length,
            // Some were too many to be told of.
            Err(Errno::NOBUFS | Errno::INTR) => continue,
            Err(_) => return,
        };
        for (kind, _, body) in Messages(buffer.get(..length).unwrap_or_default()) {
            if kind != PACKET {
                continue;
            }
            let mut rest = body.get(4..).unwrap_or_default();
            while let length @ 4.. = usize::from(half(rest, 0)) {
                if half(rest, 2) == PAYLOAD {
                    each(rest.get(4..length).unwrap_or_default());
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}
