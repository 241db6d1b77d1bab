//! An overlay mounted from opened directories (overlayfs; `userxattr` is Linux 5.11).
//! Paths could hold `:` and `,`, and mount(2) takes one page of options: as the names that descriptors have in
//! /proc/self/fd, five hundred layers (the kernel's most) fit, told from there.

use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::process::{chdir, fchdir};

use super::text::Text;

/// The options of an overlay, collected without allocation. The descriptors have to stay open until it is mounted.
pub(crate) struct Overlay {
    options: Text,
    layers: bool,
}

impl Overlay {
    /// Of `userxattr`, as everything that is mounted without being root on the host.
    pub(crate) fn new() -> Self {
        let mut options = Text::new();
        // Fits: it is the first.
        let _ = options.write_str("userxattr");
        Self { options, layers: false }
    }

    /// One more layer below those that were told before.
    ///
    /// # Errors
    /// E2BIG for more than a page.
    pub(crate) fn lower(&mut self, layer: impl AsFd) -> Result<(), Errno> {
        let before = if self.layers { ":" } else { ",lowerdir=" };
        self.layers = true;
        self.directory(before, layer.as_fd())
    }

    /// What is written; without it the overlay is read only.
    pub(crate) fn upper(&mut self, upper: impl AsFd, work: impl AsFd) -> Result<(), Errno> {
        self.directory(",upperdir=", upper.as_fd())?;
        self.directory(",workdir=", work.as_fd())
    }

    /// Nothing of it is synced to the disk (Linux 5.10).
    pub(crate) fn volatile(&mut self) -> Result<(), Errno> {
        self.options.write_str(",volatile").map_err(|_| Errno::TOOBIG)
    }

    /// Mounts it on the directory `place`. The working directory is another one meanwhile: for a process of one thread.
    pub(crate) fn mount(mut self, place: impl AsFd, flags: MountFlags) -> Result<(), Errno> {
        self.options.write_str("\0").map_err(|_| Errno::TOOBIG)?;
        let mut name = Text::new();
        write!(name, "{}\0", place.as_fd().as_raw_fd()).map_err(|_| Errno::TOOBIG)?;
        // One that cannot be opened leads nowhere for this process: nothing is lost with it.
        let before = openat(CWD, c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        chdir(c"/proc/self/fd")?;
        let mounted = mount(c"overlay", name.as_c_str()?, c"overlay", flags, Some(self.options.as_c_str()?));
        before.map_or_else(|_| chdir(c"/"), fchdir)?;
        mounted
    }

    fn directory(&mut self, before: &str, directory: BorrowedFd<'_>) -> Result<(), Errno> {
        write!(self.options, "{before}{}", directory.as_raw_fd()).map_err(|_| Errno::TOOBIG)
    }
}
