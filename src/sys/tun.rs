//! Tap devices: /dev/net/tun and netdevice(7). Nothing here allocates.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// `struct ifreq` with room for every member of its union.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    value: [u8; 24],
}

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETPERSIST: libc::c_ulong = 0x4004_54cb;
const SIOCGIFINDEX: libc::c_ulong = 0x8933;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;

/// Makes a tap device in the caller's network namespace that stays there, waiting for a process that attaches to it.
pub(crate) fn create_tap(name: &CStr) -> Result<(), Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let device = rustix::fs::open(c"/dev/net/tun", flags, Mode::empty())?;
    let mut request = Request::new(name)?;
    request.value[..2].copy_from_slice(&(IFF_TAP | IFF_NO_PI).to_ne_bytes());
    request.ioctl(&device, TUNSETIFF)?;
    // SAFETY: TUNSETPERSIST takes a number.
    if unsafe { libc::ioctl(device.as_raw_fd(), TUNSETPERSIST as _, 1) } == 0 {
        Ok(())
    } else {
        Err(super::last_errno())
    }
}

/// The index of an interface in the namespace that `socket` was made in.
pub(crate) fn interface_index(socket: &OwnedFd, name: &CStr) -> Result<u32, Errno> {
    let mut request = Request::new(name)?;
    request.ioctl(socket, SIOCGIFINDEX)?;
    let [a, b, c, d, ..] = request.value;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

impl Request {
    fn new(name: &CStr) -> Result<Self, Errno> {
        let mut request = Self { name: [0; libc::IFNAMSIZ], value: [0; 24] };
        let bytes = name.to_bytes();
        // The last byte stays zero.
        let place = request.name[..libc::IFNAMSIZ - 1].get_mut(..bytes.len()).ok_or(Errno::NAMETOOLONG)?;
        place.copy_from_slice(bytes);
        Ok(request)
    }

    fn ioctl(&mut self, fd: &impl AsFd, operation: libc::c_ulong) -> Result<(), Errno> {
        // SAFETY: the operations used here read and write one struct ifreq.
        let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), operation as _, std::ptr::from_mut(self)) };
        if result == -1 { Err(super::last_errno()) } else { Ok(()) }
    }
}
