//! Many datagrams with one system call: recvmmsg(2), sendmmsg(2). An answer goes back the way its question came: to the
//! sender, from the address and through the interface that the question was for (ip(7) IP_PKTINFO, ipv6(7)).

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use super::socket::{Control, destination, socket_address};

/// Datagrams of one call.
const COUNT: usize = 32;

/// The largest question that is taken, and the largest answer that is sent here.
pub(crate) const LARGEST: usize = 1500;

/// Room for one call's datagrams and their answers.
pub(crate) struct Datagrams {
    questions: Box<[[u8; LARGEST]; COUNT]>,
    answers: Box<[[u8; LARGEST]; COUNT]>,
    addresses: Box<[libc::sockaddr_storage; COUNT]>,
    controls: Box<[Control; COUNT]>,
    /// Length of each question; of each answer, 0: none.
    lengths: [usize; COUNT],
    answered: [usize; COUNT],
    control_lengths: [usize; COUNT],
    name_lengths: [libc::socklen_t; COUNT],
    count: usize,
}

/// One received datagram.
pub(crate) struct Question<'d> {
    pub bytes: &'d [u8],
    pub from: SocketAddr,
    pub to: Option<(IpAddr, u32)>,
    /// Where an answer is written.
    pub answer: &'d mut [u8; LARGEST],
}

impl Datagrams {
    pub(crate) fn new() -> Self {
        // SAFETY: all zeroes is a valid address storage, of no family.
        let addresses = unsafe { Box::new(std::mem::zeroed()) };
        Self {
            questions: Box::new([[0; LARGEST]; COUNT]),
            answers: Box::new([[0; LARGEST]; COUNT]),
            addresses,
            controls: Box::new([const { Control::new() }; COUNT]),
            lengths: [0; COUNT],
            answered: [0; COUNT],
            control_lengths: [0; COUNT],
            name_lengths: [0; COUNT],
            count: 0,
        }
    }

    /// Receives what has come, without waiting; how many.
    pub(crate) fn receive(&mut self, socket: &impl AsFd) -> Result<usize, Errno> {
        self.count = 0;
        self.answered = [0; COUNT];
        // SAFETY: all zeroes is a valid iovec and a valid mmsghdr.
        let (mut parts, mut headers): ([libc::iovec; COUNT], [libc::mmsghdr; COUNT]) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        for index in 0..COUNT {
            parts[index].iov_base = self.questions[index].as_mut_ptr().cast();
            parts[index].iov_len = LARGEST;
            let header = &mut headers[index].msg_hdr;
            header.msg_name = (&raw mut self.addresses[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut parts[index];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[index]).cast();
            header.msg_controllen = size_of::<Control>() as _;
        }
        // SAFETY: every header's pointers refer to its own part of this object or of this frame, with their lengths.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                COUNT as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        self.count = usize::try_from(count).map_err(|_| super::last_errno())?;
        for (index, header) in headers.iter().take(self.count).enumerate() {
            // Cut off, it is no question that could be understood.
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            self.lengths[index] = if whole { header.msg_len as usize } else { 0 };
            self.control_lengths[index] = header.msg_hdr.msg_controllen as _;
            self.name_lengths[index] = header.msg_hdr.msg_namelen;
        }
        Ok(self.count)
    }

    /// One of those that were received; `None` for one that came from nowhere.
    pub(crate) fn question(&mut self, index: usize) -> Option<Question<'_>> {
        if index >= self.count {
            return None;
        }
        // SAFETY: the storage was zeroed or filled in by the kernel with an address of the family it names.
        let from = unsafe { socket_address(&self.addresses[index]) }?;
        // SAFETY: all zeroes is a valid msghdr.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_control = (&raw mut self.controls[index]).cast();
        header.msg_controllen = self.control_lengths[index] as _;
        // SAFETY: control data and its length are what the kernel wrote.
        let to = unsafe { destination(&header) };
        let bytes = &self.questions[index][..self.lengths[index].min(LARGEST)];
        Some(Question { bytes, from, to, answer: &mut self.answers[index] })
    }

    /// The answer to that question has this length.
    pub(crate) fn answer(&mut self, index: usize, length: usize) {
        if index < self.count && length <= LARGEST {
            self.answered[index] = length;
        }
    }

    /// Sends the answers, without waiting. What cannot be sent is lost, as datagrams may be.
    pub(crate) fn send(&mut self, socket: &impl AsFd) {
        // SAFETY: all zeroes is a valid iovec and a valid mmsghdr.
        let (mut parts, mut headers): ([libc::iovec; COUNT], [libc::mmsghdr; COUNT]) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let mut count = 0;
        for index in 0..self.count {
            if self.answered[index] == 0 {
                continue;
            }
            parts[count].iov_base = self.answers[index].as_mut_ptr().cast();
            parts[count].iov_len = self.answered[index];
            let header = &mut headers[count].msg_hdr;
            header.msg_name = (&raw mut self.addresses[index]).cast();
            header.msg_namelen = self.name_lengths[index];
            header.msg_iov = &raw mut parts[count];
            header.msg_iovlen = 1;
            // The kernel's own words about the question: the answer's source address and interface.
            header.msg_control = (&raw mut self.controls[index]).cast();
            header.msg_controllen = self.control_lengths[index] as _;
            count += 1;
        }
        let mut sent = 0;
        while sent < count {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            let left = (count - sent) as libc::c_uint;
            // SAFETY: as in `receive`; the kernel reads `left` headers, all of which were filled in.
            let done =
                unsafe { libc::sendmmsg(socket.as_fd().as_raw_fd(), headers.as_mut_ptr().add(sent), left, flags as _) };
            // The first one failed: the client is gone, or there is no room.
            sent += usize::try_from(done).unwrap_or(0).max(1);
        }
        self.count = 0;
    }
}
