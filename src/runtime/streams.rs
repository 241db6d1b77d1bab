//! Standard streams: the caller's pipes, or a pseudo-terminal of the container's own devpts. Afterwards nothing of the
//! caller's is open any more but what it gives away by number (CVE-2024-21626).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, statat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::child::State;
use super::ops::slot_fd;
use super::place;
use super::plan::Terminal;
use super::protocol::{self, Kind};
use crate::sys::exec;
use crate::sys::mount::{attach, copy_tree};
use crate::userns::owner;

/// At least the number from which copies are made that are in nobody's way.
const ASIDE: i32 = 16;

/// Session, streams 0 to 2, what is given by number, the channel and the trampoline behind them, everything else closed.
/// `owner` gets the streams.
pub(super) fn set_up(
    state: &mut State<'_>,
    terminal: Option<Terminal>,
    owner: Option<(u32, u32)>,
) -> Result<(), Errno> {
    rustix::process::setsid().map(drop).or_else(|e| if e == Errno::PERM { Ok(()) } else { Err(e) })?;
    let report = state.plan.process.report;
    let aside = |fd: BorrowedFd<'_>| fcntl_dupfd_cloexec(fd, ASIDE.max(report + 2));
    let streams: [OwnedFd; 3] = match (terminal, &state.streams) {
        (Some(terminal), _) => {
            let slave = make_terminal(state, terminal, owner)?;
            exec::set_controlling_terminal(slave.as_fd())?;
            [aside(slave.as_fd())?, aside(slave.as_fd())?, aside(slave.as_fd())?]
        }
        (None, Some([stdin, stdout, stderr])) => [aside(*stdin)?, aside(*stdout)?, aside(*stderr)?],
        (None, None) => return Err(Errno::BADF),
    };
    let (channel, trampoline) = (aside(state.channel)?, aside(state.trampoline)?);
    for (number, stream) in (0..).zip(&streams) {
        if let (None, Some((uid, gid))) = (terminal, owner) {
            give_pipe(stream, uid, gid)?;
        }
        exec::place(stream.as_fd(), number)?;
    }
    for given in state.given {
        exec::place(given.fd.as_fd(), given.number)?;
    }
    // Not close-on-exec: the trampoline still reports on it, and makes it so before the program.
    state.channel = exec::place(channel.as_fd(), report)?;
    state.trampoline = exec::place(trampoline.as_fd(), report + 1)?;
    rustix::io::fcntl_setfd(state.trampoline, rustix::io::FdFlags::CLOEXEC)?;
    // Their numbers are gone with the next call; a close by the owner would hit somebody else's.
    std::mem::forget((streams, channel, trampoline));
    let mut from = 3;
    for number in state.given.iter().map(|given| given.number).chain([report]) {
        exec::close_between(from, number)?;
        from = number + 1;
    }
    exec::close_from(report + 2)
}

/// The program's user must be able to open /dev/stdout again. Files and devices of the caller keep their owner.
fn give_pipe(stream: &OwnedFd, uid: u32, gid: u32) -> Result<(), Errno> {
    let stat = statat(stream, c"", AtFlags::EMPTY_PATH)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return Ok(());
    }
    let (uid, gid) = owner::ids(uid, gid)?;
    match rustix::fs::fchown(stream, Some(uid), Some(gid)) {
        // Somebody else's pipe, handed down through the caller.
        Err(Errno::PERM | Errno::INVAL) => Ok(()),
        result => result,
    }
}

/// Makes a terminal, sends its master side to the caller and answers the other. The master is opened in the devpts that
/// was mounted for this container, by descriptor, and its peer by ioctl: no path that a container could have
/// replaced is opened or mounted (CVE-2025-52565).
fn make_terminal(state: &State<'_>, terminal: Terminal, owner: Option<(u32, u32)>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = match slot_fd(state, terminal.devpts) {
        Ok(devpts) => openat(devpts, c"ptmx", flags | OFlags::NOFOLLOW, Mode::empty())?,
        Err(_) => existing_devpts(flags)?,
    };
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    let size = Winsize { ws_row: terminal.rows, ws_col: terminal.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size)?;
    if let Some((uid, _)) = owner {
        rustix::fs::fchown(&slave, Some(owner::uid(uid)?), None)?;
    }
    if let Some(dev) = terminal.dev {
        let dev = slot_fd(state, dev)?;
        place::create(dev, c"console", FileType::RegularFile)?;
        let console = place::find_without_links(dev, c"console")?;
        attach(copy_tree(&slave, c"", false)?, console)?;
    }
    protocol::send(state.channel, Kind::Console, 0, 0, Some(master.as_fd()))?;
    Ok(slave)
}

/// For a process that joins: the container may have mounted anything on its /dev/pts meanwhile.
fn existing_devpts(flags: OFlags) -> Result<OwnedFd, Errno> {
    let root = openat(rustix::fs::CWD, c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let master = place::open(&root, c"/dev/pts/ptmx", flags, ResolveFlags::NO_SYMLINKS)?;
    if rustix::fs::fstatfs(&master)?.f_type != DEVPTS_SUPER_MAGIC {
        return Err(Errno::NODEV);
    }
    Ok(master)
}

/// linux/magic.h
const DEVPTS_SUPER_MAGIC: rustix::fs::FsWord = 0x1cd1;
