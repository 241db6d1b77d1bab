//! The freestanding program that becomes the container's program (`sys/freestanding/trampoline.rs`), in a sealed memfd.

use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/trampoline"));

/// Makes the memfd: complete, and sealed so that not even root can change it while it is /proc/self/exe.
pub(super) fn sealed() -> Result<OwnedFd> {
    let failed = || "cannot make the program that starts the container";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memfd = match memfd_create(c"rpod", flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 every memfd can be executed.
        Err(Errno::INVAL) => memfd_create(c"rpod", flags),
        Err(Errno::ACCESS) => {
            return Err(Error::wrap(failed(), std::io::Error::from(Errno::ACCESS))
                .hint("executable memory files are forbidden here: sysctl vm.memfd_noexec must be 0 or 1"));
        }
        result => result,
    }
    .context(failed)?;
    let mut rest = PROGRAM;
    while !rest.is_empty() {
        let written = rustix::io::write(&memfd, rest).context(failed)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&memfd, seals).context(failed)?;
    Ok(memfd)
}
