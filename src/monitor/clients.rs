//! The monitor's side of attached clients: who is connected, and what still has to be sent to them.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::protocol::{self, Event};

/// More than anybody attaches on purpose; each costs a descriptor.
const MOST: usize = 64;

/// One attached process.
#[derive(Debug)]
pub(super) struct Client {
    socket: OwnedFd,
    /// Packets that the socket had no room for. Empty before more output is read from the container, so this holds at
    /// most one read's worth, or at the end what was left in the pipes.
    queue: VecDeque<Box<[u8]>>,
    /// It has sent input: when it is lost, the input ends.
    pub feeds: bool,
    /// It does not read this output any more (`Stream` as index).
    pub deaf: [bool; 2],
    /// To be dropped at the end of the round.
    pub gone: bool,
    /// The packet that it hears at the end instead of the exit code.
    pub last: Option<Vec<u8>>,
}

impl Client {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, queue: VecDeque::new(), feeds: false, deaf: [false; 2], gone: false, last: None }
    }

    /// Sends `packet` or keeps it for later; an error means that the client is gone.
    pub(super) fn send(&mut self, packet: &[u8]) -> Result<(), Errno> {
        if self.queue.is_empty() {
            match try_send(&self.socket, packet) {
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
        self.queue.push_back(packet.into());
        Ok(())
    }

    pub(super) fn send_event(&mut self, event: &Event<'_>) -> Result<(), Errno> {
        let mut packet = Vec::with_capacity(64);
        event.encode(&mut packet);
        self.send(&packet)
    }

    /// Sends what was kept, as far as there is room.
    pub(super) fn flush(&mut self) -> Result<(), Errno> {
        while let Some(packet) = self.queue.front() {
            match try_send(&self.socket, packet) {
                Err(Errno::AGAIN) => return Ok(()),
                result => result?,
            }
            self.queue.pop_front();
        }
        Ok(())
    }

    pub(super) fn behind(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next packet from the client, without waiting. `Ok(0)`: it is gone.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        protocol::receive(self.socket.as_fd(), buffer)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn try_send(socket: &OwnedFd, packet: &[u8]) -> Result<(), Errno> {
    protocol::send(socket.as_fd(), packet)
}

/// Accepts a waiting client, if there is one.
pub(super) fn accept(listener: &OwnedFd, clients: &mut Vec<Client>) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    if let Ok(socket) = accept_with(listener, flags)
        && clients.len() < MOST
    {
        clients.push(Client::new(socket));
    }
}

/// Tells everybody that the container has ended; answers those who have not read all that came before.
pub(super) fn tell_end(mut clients: Vec<Client>, code: u8) -> Vec<Client> {
    clients.retain_mut(|client| {
        let sent = match client.last.take() {
            Some(packet) => client.send(&packet),
            None => client.send_event(&Event::Exit(code)),
        };
        sent.is_ok() && client.behind()
    });
    clients
}

/// Stays until they have read it, or are gone.
pub(super) fn stay(mut clients: Vec<Client>) {
    while !clients.is_empty() {
        let mut fds: Vec<_> = clients.iter().map(|client| PollFd::new(client, PollFlags::OUT)).collect();
        if poll(&mut fds, None).is_err() {
            continue;
        }
        clients.retain_mut(|client| client.flush().is_ok() && client.behind());
    }
}
