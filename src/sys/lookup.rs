//! openat2(2): a path below a directory, by the kernel's rules.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::path::Arg;

/// More than any chain of renames elsewhere will meet one lookup.
const ATTEMPTS: u32 = 1024;

/// openat2 of something that exists. The kernel asks to try again (EAGAIN) when `..` met a rename or a mount anywhere on the
/// machine; it never does forever. Allocates nothing but what `path` needs as a C string.
pub(crate) fn openat2<P: Arg + Copy>(
    dir: impl AsFd,
    path: P,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let mut attempts = 0;
    loop {
        match rustix::fs::openat2(dir.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if attempts < ATTEMPTS => attempts += 1,
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renames_elsewhere_do_not_disturb() {
        let dir = std::env::temp_dir().join(format!("rpod-lookup-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("a/b")).expect("is made");
        std::fs::create_dir(dir.join("old")).expect("is made");
        let root = std::fs::File::open(&dir).expect("opens");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = std::fs::rename(dir.join("old"), dir.join("new"));
                    let _ = std::fs::rename(dir.join("new"), dir.join("old"));
                }
            });
            let path = "a/b/../../a/b/../b";
            let failed = (0..20_000)
                .filter_map(|_| openat2(&root, path, OFlags::PATH, ResolveFlags::IN_ROOT).err())
                .collect::<Vec<_>>();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(failed, []);
        });
        std::fs::remove_dir_all(&dir).expect("is removed");
    }
}
