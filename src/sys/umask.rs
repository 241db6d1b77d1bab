//! The umask. What a container sees does not depend on whoever started rpod, and what rpod writes where its caller
//! said does not depend on rpod.

use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::Mode;
use rustix::process::umask;

/// What files are made with, unless their maker says otherwise.
const USUAL: u32 = 0o022;

static CALLERS: AtomicU32 = AtomicU32::new(USUAL);

/// Sets the usual umask for this process and those it starts; the caller's is remembered. For a process with one thread.
pub(crate) fn set_usual() {
    CALLERS.store(umask(Mode::from_raw_mode(USUAL)).bits(), Ordering::Relaxed);
}

/// The permissions that a file or directory of the caller's gets when a program asks for `mode`.
pub(crate) fn callers(mode: u32) -> u32 {
    mode & !CALLERS.load(Ordering::Relaxed)
}

/// Back to the caller's umask, for a program of the caller's.
pub(crate) fn restore() {
    umask(Mode::from_raw_mode(CALLERS.load(Ordering::Relaxed)));
}
