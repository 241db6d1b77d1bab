//! Blocks that files have in common (ioctl_fideduperange(2), Linux 4.5; fiemap.rst).

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// `struct file_dedupe_range` with one `struct file_dedupe_range_info`.
#[repr(C)]
struct Dedupe {
    src_offset: u64,
    src_length: u64,
    dest_count: u16,
    reserved1: u16,
    reserved2: u32,
    dest_fd: i64,
    dest_offset: u64,
    bytes_deduped: u64,
    status: i32,
    reserved: u32,
}

const FIDEDUPERANGE: libc::Ioctl = 0xc018_9436_u32 as libc::Ioctl;
/// What `status` says when the contents are not the same.
const DIFFERS: i32 = 1;

/// Lets `target` have the blocks of `source` between `offset` and `offset + length`, which the kernel compares first. How many
/// bytes it did, from `offset` on; `None` when they differ.
pub(crate) fn share(source: impl AsFd, target: impl AsFd, offset: u64, length: u64) -> Result<Option<u64>, Errno> {
    let mut range = Dedupe {
        src_offset: offset,
        src_length: length,
        dest_count: 1,
        reserved1: 0,
        reserved2: 0,
        dest_fd: target.as_fd().as_raw_fd().into(),
        dest_offset: offset,
        bytes_deduped: 0,
        status: 0,
        reserved: 0,
    };
    // SAFETY: both descriptors are open, and the structure is as large as `dest_count` says.
    let done = unsafe { libc::ioctl(source.as_fd().as_raw_fd(), FIDEDUPERANGE, &raw mut range) };
    if done != 0 {
        return Err(super::last_errno());
    }
    match range.status {
        DIFFERS => Ok(None),
        error if error < 0 => Err(Errno::from_raw_os_error(-error)),
        _ => Ok(Some(range.bytes_deduped)),
    }
}

/// `struct fiemap` with one `struct fiemap_extent`.
#[repr(C)]
struct Map {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
    logical: u64,
    physical: u64,
    extent_length: u64,
    reserved64: [u64; 2],
    extent_flags: u32,
    reserved32: [u32; 3],
}

const FS_IOC_FIEMAP: libc::Ioctl = 0xc020_660b_u32 as libc::Ioctl;
/// Data that is not on the disk yet is written first.
const SYNC: u32 = 1;

/// Where on the disk a file begins; `None` for one without blocks of its own.
pub(crate) fn first_block(file: impl AsFd) -> Result<Option<u64>, Errno> {
    let mut map = Map {
        start: 0,
        length: u64::MAX,
        flags: SYNC,
        mapped_extents: 0,
        extent_count: 1,
        reserved: 0,
        logical: 0,
        physical: 0,
        extent_length: 0,
        reserved64: [0; 2],
        extent_flags: 0,
        reserved32: [0; 3],
    };
    // SAFETY: the descriptor is open, and the structure has room for `extent_count` extents.
    let done = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), FS_IOC_FIEMAP, &raw mut map) };
    if done != 0 {
        return Err(super::last_errno());
    }
    Ok((map.mapped_extents > 0 && map.physical > 0).then_some(map.physical))
}
