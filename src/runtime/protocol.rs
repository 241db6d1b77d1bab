//! What the caller and the container's first process tell each other over their socket (SOCK_SEQPACKET).
//! Three 32-bit numbers in the machine's byte order, [kind, step, value], then some text, and at most one descriptor.
//!
//! | kind | from | step, value | descriptor |
//! |---|---|---|---|
//! | Device | child | | a socket of the network namespace, which hears of its devices |
//! | Console | child | | the terminal's master side |
//! | Failed | child, trampoline | operation, errno | what a hook wrote |
//! | Warning | child | operation, errno | |
//! | Pid | go-between of a join | pid | |
//! | Mapped | caller | | a root file system mounted by a helper, if any |
//! | Ready | child | | |
//! | Hooked | child | | |
//! | Go | caller | | the state for hooks that run in the container, if any |
//!
//! The end of the stream tells the caller that the program runs, and the child that the caller has gone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::sys::message;

/// What a message is about. `freestanding/trampoline.rs` repeats the number of `Failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    Device = 1,
    Console = 2,
    Failed = 3,
    Warning = 4,
    Pid = 5,
    Mapped = 6,
    Go = 7,
    Ready = 8,
    Hooked = 9,
}

const KINDS: [Kind; 9] = [
    Kind::Device,
    Kind::Console,
    Kind::Failed,
    Kind::Warning,
    Kind::Pid,
    Kind::Mapped,
    Kind::Go,
    Kind::Ready,
    Kind::Hooked,
];

/// The step of a failure to execute the program, as the trampoline reports it.
pub(super) const STEP_EXECUTE: u32 = u32::MAX;

/// One received message.
#[derive(Debug)]
pub(super) struct Message {
    pub kind: Kind,
    pub step: u32,
    pub value: i32,
    /// What exactly was being done, where the operation knows.
    pub text: String,
    pub fd: Option<OwnedFd>,
}

const HEADER: usize = 12;
const LONGEST: usize = 128;

/// Sends a message without text.
pub(super) fn send(
    channel: impl AsFd,
    kind: Kind,
    step: u32,
    value: i32,
    fd: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    send_text(channel, kind, step, value, "", fd)
}

/// Sends a message; text that is too long is cut.
pub(super) fn send_text(
    channel: impl AsFd,
    kind: Kind,
    step: u32,
    value: i32,
    text: &str,
    fd: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let mut bytes = [0; LONGEST];
    let words = [kind as u32, step, value.cast_unsigned()];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    let length = HEADER + text.len().min(LONGEST - HEADER);
    for (place, byte) in bytes[HEADER..].iter_mut().zip(text.bytes()) {
        *place = byte;
    }
    message::send(channel, &bytes[..length], fd)
}

/// Waits for a message; `None` at the end of the stream.
pub(super) fn receive(channel: impl AsFd) -> Result<Option<Message>, Errno> {
    let mut bytes = [0; LONGEST];
    let (length, fd) = message::receive(channel, &mut bytes)?;
    let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if length == 0 {
        return Ok(None);
    }
    match (bytes.get(HEADER..length), KINDS.into_iter().find(|known| *known as u32 == word(0))) {
        (Some(text), Some(kind)) => {
            let text = String::from_utf8_lossy(text).into_owned();
            Ok(Some(Message { kind, step: word(4), value: word(8).cast_signed(), text, fd }))
        }
        _ => Err(Errno::PROTO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_with_their_descriptor() {
        let (a, b) = message::pair().expect("pair");
        send(&a, Kind::Failed, 7, 13, None).expect("sends");
        send(&a, Kind::Console, 0, 0, Some(b.as_fd())).expect("sends");
        drop(a);
        let first = receive(&b).expect("receives").expect("a message");
        assert_eq!((first.kind, first.step, first.value, first.fd.is_none()), (Kind::Failed, 7, 13, true));
        assert!(receive(&b).expect("receives").expect("a message").fd.is_some());
        assert!(receive(&b).expect("receives").is_none());
    }
}
