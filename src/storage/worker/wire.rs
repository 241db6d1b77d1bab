//! Messages between a process and its worker: JSON in packets, descriptors beside them (unix(7), SCM_RIGHTS).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::image::digest::DiffId;
use crate::storage::diff::DiffJob;
use crate::storage::layer::{LayerMeta, Source};
use crate::storage::limits::Limits;
use crate::userns::enter::Failure;

/// Larger than any message: the longest have a path for each of a hundred layers or two.
const MAX_MESSAGE: usize = 160 * 1024;
/// The job's own socket and one end of a pipe.
const MAX_DESCRIPTORS: usize = 2;

/// What the worker is asked for. The first descriptor with it is the job's socket.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Second descriptor: the pipe to read the layer from.
    Unpack { expected: Option<DiffId>, limits: Limits, source: Option<Source> },
    /// Second descriptor: the pipe to write the tar to.
    Pack { diff_id: DiffId },
    /// Makes a layer of changes.
    Diff(DiffJob),
}

/// What the worker answers on the job's socket. An unpacked layer is answered twice: before and after it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Layer(LayerMeta),
    Done,
}

/// What the process says about an unpacked layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    Keep,
    Drop,
}

pub(super) type Outcome = Result<Answer, Failure>;

pub(super) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context(|| "cannot make a socket for the unpacking process")
}

pub(super) fn send<T: Serialize>(socket: impl AsFd, message: &T, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    let failed = || "cannot reach the unpacking process";
    let bytes = serde_json::to_vec(message).context(failed)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Error::new(failed()));
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            sent => return sent.map(drop).context(failed),
        }
    }
}

/// `None` when the other side is gone.
pub(super) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> Result<Option<(T, Vec<OwnedFd>)>> {
    let failed = || "cannot understand the other process";
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(None),
            received => break received.context(failed)?,
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    serde_json::from_slice(&bytes[..received.bytes]).map(|message| Some((message, descriptors))).context(failed)
}
