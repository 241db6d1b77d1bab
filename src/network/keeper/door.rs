//! The netkeeper's socket: made, watched, taken away.
//!
//! Whoever finds no socket starts another netkeeper. One whose socket somebody has removed (a cleaner of /run or /tmp) can
//! be found by nobody: it ends, and its containers come back to the next one, before there are two for long.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::client;

/// Where requests come in, and how to know that they still can.
#[derive(Debug)]
pub(super) struct Door {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
    /// Readable when something has been removed beside the socket; `None` where the user watches too much already.
    watch: Option<OwnedFd>,
}

impl Door {
    /// The socket of requests, made anew: one that is there was left by a netkeeper that was killed.
    pub(super) fn open(dir: &Path) -> Result<(Self, OwnedFd), Errno> {
        let path = dir.join(super::SOCKET);
        let _ = std::fs::remove_file(&path);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let (_dir, address) = client::address(dir)?;
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, 1024)?;
        let file = identity(&path)?;
        Ok((Self { path, file, watch: watch(dir).ok() }, socket))
    }

    /// Readable when [`Door::is_there`] may have another answer.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// Where the socket is.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Whether requests still come here.
    pub(super) fn is_there(&self) -> bool {
        if let Some(watch) = &self.watch {
            let mut events = [0; 4096];
            while rustix::io::read(watch, &mut events).is_ok_and(|length| length > 0) {}
        }
        identity(&self.path) == Ok(self.file)
    }

    /// Nobody is to find the way here any more; who just did hears of the end and begins anew.
    pub(super) fn close(&self) {
        if self.is_there() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Result<(u64, u64), Errno> {
    rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino))
}

fn watch(dir: &Path) -> Result<OwnedFd, Errno> {
    use inotify::WatchFlags as W;
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, dir, W::DELETE | W::DELETE_SELF | W::MOVED_FROM | W::MOVE_SELF)?;
    Ok(watch)
}
