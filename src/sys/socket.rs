//! Sockets of the port forwarder: options that rustix lacks, and datagrams with the address they came to (ip(7), ipv6(7)).

use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// IP_TRANSPARENT, IPV6_TRANSPARENT: the socket may be bound to addresses of others. Needs CAP_NET_ADMIN or CAP_NET_RAW
/// over its network namespace.
pub(crate) fn set_transparent(socket: &impl AsFd, ipv6: bool) -> Result<(), Errno> {
    if ipv6 {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT, 1)
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_TRANSPARENT, 1)
    }
}

/// SO_MARK: what this socket sends carries the mark. Needs CAP_NET_ADMIN over its network namespace.
pub(crate) fn set_mark(socket: &impl AsFd, mark: u32) -> Result<(), Errno> {
    set(socket, libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed())
}

/// IP_BIND_ADDRESS_NO_PORT: bind(2) with port 0 leaves the choice of the port to connect(2).
pub(crate) fn bind_address_only(socket: &impl AsFd) -> Result<(), Errno> {
    set(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// IP_PKTINFO, IPV6_RECVPKTINFO: [`receive`] tells which address a datagram came to.
pub(crate) fn tell_destination(socket: &impl AsFd, ipv6: bool) -> Result<(), Errno> {
    if ipv6 {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

/// SO_BINDTODEVICE: the socket is for packets that come through this interface (any user since Linux 5.7).
pub(crate) fn bind_to_interface(socket: &impl AsFd, name: &str) -> Result<(), Errno> {
    // SAFETY: the option reads as many bytes as are said.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name.as_ptr().cast(),
            name.len() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(super::last_errno()) }
}

/// SIGPIPE is ignored: splice(2) to a closed connection has no flag for that.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN is no handler that could run.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

fn set(socket: &impl AsFd, level: i32, option: i32, value: i32) -> Result<(), Errno> {
    // SAFETY: these options read one int.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(super::last_errno()) }
}

/// A received datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagram {
    pub length: usize,
    pub from: SocketAddr,
    /// The local address it was sent to, and the interface it came through.
    pub to: Option<(IpAddr, u32)>,
}

/// Room for one control message, aligned as the kernel wants it.
#[repr(C, align(8))]
pub(super) struct Control([u8; 64]);

impl Control {
    pub(super) const fn new() -> Self {
        Self([0; 64])
    }
}

/// recvmsg(2) without waiting.
pub(crate) fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> Result<Datagram, Errno> {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = address.as_mut_ptr().cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    // SAFETY: every pointer in the message refers to a local that outlives the call, with its length.
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let length = usize::try_from(length).map_err(|_| super::last_errno())?;
    // SAFETY: the storage was zeroed and the kernel wrote an address of the socket's family into it.
    let from = unsafe { socket_address(address.assume_init_ref()) }.ok_or(Errno::AFNOSUPPORT)?;
    // SAFETY: the message was filled in by the kernel.
    let to = unsafe { destination(&message) };
    Ok(Datagram { length, from, to })
}

/// sendmsg(2) without waiting, from a local address that the socket need not be bound to.
pub(crate) fn send_from(
    socket: &impl AsFd,
    data: &[u8],
    to: SocketAddr,
    from: Option<(IpAddr, u32)>,
) -> Result<(), Errno> {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some((ip, interface)) = from {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len() as _;
        // SAFETY: the control buffer has room for either message and its header.
        message.msg_controllen = unsafe { write_source(&message, ip, interface, to.ip()) } as _;
    }
    let fd = socket.as_fd().as_raw_fd();
    let sent = with_raw_address(to, |address, length| {
        message.msg_name = address.cast_mut().cast();
        message.msg_namelen = length;
        // SAFETY: every pointer in the message refers to a local or argument that outlives the call.
        unsafe { libc::sendmsg(fd, &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) }
    });
    if sent < 0 { Err(super::last_errno()) } else { Ok(()) }
}

fn with_raw_address<T>(to: SocketAddr, f: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> T) -> T {
    match to {
        SocketAddr::V4(to) => {
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: to.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
                sin_zero: [0; 8],
            };
            f((&raw const address).cast(), size_of::<libc::sockaddr_in>() as libc::socklen_t)
        }
        SocketAddr::V6(to) => {
            let address = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: to.port().to_be(),
                sin6_flowinfo: to.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: to.ip().octets() },
                sin6_scope_id: to.scope_id(),
            };
            f((&raw const address).cast(), size_of::<libc::sockaddr_in6>() as libc::socklen_t)
        }
    }
}

/// # Safety
/// The storage holds a valid address of the family it names.
pub(super) unsafe fn socket_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what it is, and the storage is large and aligned enough for every address.
            let address = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(address.sin6_port), 0, address.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// # Safety
/// The message was received by recvmsg(2).
pub(super) unsafe fn destination(message: &libc::msghdr) -> Option<(IpAddr, u32)> {
    // SAFETY: by the caller's promise; the CMSG macros stay within msg_controllen.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            let data = libc::CMSG_DATA(header);
            match ((*header).cmsg_level, (*header).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    let ip = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
                    return Some((ip.into(), info.ipi_ifindex.cast_unsigned()));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    return Some((Ipv6Addr::from(info.ipi6_addr.s6_addr).into(), info.ipi6_ifindex));
                }
                _ => header = libc::CMSG_NXTHDR(message, header),
            }
        }
        None
    }
}

/// Writes the source address as a control message; the length of the control data.
///
/// # Safety
/// The message's control buffer is aligned for a header and has room for an in6_pktinfo.
unsafe fn write_source(message: &libc::msghdr, ip: IpAddr, interface: u32, to: IpAddr) -> usize {
    // SAFETY: by the caller's promise.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        let data = libc::CMSG_DATA(header);
        let size = match ip {
            IpAddr::V4(ip) => {
                (*header).cmsg_level = libc::IPPROTO_IP;
                (*header).cmsg_type = libc::IP_PKTINFO;
                let address = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
                // The interface is left to routing: the way back may be another one.
                let info =
                    libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: libc::in_addr { s_addr: 0 } };
                data.cast::<libc::in_pktinfo>().write_unaligned(info);
                size_of::<libc::in_pktinfo>()
            }
            IpAddr::V6(ip) => {
                (*header).cmsg_level = libc::IPPROTO_IPV6;
                (*header).cmsg_type = libc::IPV6_PKTINFO;
                // Link-local addresses mean something on their own link only.
                let bound = matches!(to, IpAddr::V6(to) if to.is_unicast_link_local());
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
                    ipi6_ifindex: if bound { interface } else { 0 },
                };
                data.cast::<libc::in6_pktinfo>().write_unaligned(info);
                size_of::<libc::in6_pktinfo>()
            }
        };
        (*header).cmsg_len = libc::CMSG_LEN(size as u32) as _;
        libc::CMSG_SPACE(size as u32) as usize
    }
}
