//! How layers become one root file system: overlayfs, fuse-overlayfs, or a copy. What works here depends on the kernel,
//! the file systems and what is installed, so it is tried once and remembered with the kernel's version.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, unmount,
};
use serde::{Deserialize, Serialize};

use super::staging::{self, Staging};
use super::{Store, whiteout};
use crate::error::{Context, Error, Result};
use crate::state::file::{self, Durability};
use crate::userns::{IdMaps, enter};

/// A way to make root file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DriverName {
    /// The kernel's overlayfs with `userxattr` (Linux 5.11).
    Overlay,
    /// The same in user space, where the kernel or a file system refuses it.
    FuseOverlayfs,
    /// Every container gets its own copy of the files, sharing blocks where the file system can.
    Copy,
}

/// `driver.json`: what was found out here.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    kernel: String,
    /// Where the layers were then.
    data: PathBuf,
    chosen: Option<DriverName>,
    works: Vec<DriverName>,
}

/// How the directories begin that drivers are tried in.
const PROBE: &str = "probe";
const PROGRAM: &str = "fuse-overlayfs";

impl Store {
    /// Uses `driver` instead of the one that was found to work best.
    pub(crate) fn with_driver(mut self, driver: Option<DriverName>) -> Self {
        self.wanted = driver;
        self
    }

    /// The driver for new containers: the one asked for, else the best that works. The first call on a host tries them
    /// and needs a single-threaded process.
    pub(crate) fn driver(&self) -> Result<DriverName> {
        let path = self.host_dir.join("driver.json");
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        // A file that cannot be read is written again.
        let known = file::read_json::<Known>(&path).ok().flatten();
        let mut known = known
            .filter(|known| known.kernel == kernel && known.data == self.data)
            .unwrap_or_else(|| Known { kernel, data: self.data.clone(), ..Known::default() });
        let driver = match self.wanted {
            Some(wanted) if known.works.contains(&wanted) => return Ok(wanted),
            Some(wanted) => {
                self.try_driver(wanted)?.context(|| format!("the storage driver {wanted} does not work here"))?;
                wanted
            }
            None => match known.chosen {
                Some(chosen) => return Ok(chosen),
                None => {
                    let mut best = None;
                    for driver in [DriverName::Overlay, DriverName::FuseOverlayfs] {
                        if best.is_none() && self.try_driver(driver)?.is_ok() {
                            best = Some(driver);
                        }
                    }
                    // A copy is so slow that looking for something better each time costs nothing.
                    let Some(best) = best else { return Ok(DriverName::Copy) };
                    *known.chosen.insert(best)
                }
            },
        };
        if !known.works.contains(&driver) {
            known.works.push(driver);
        }
        file::write_json(&path, &known, Durability::Volatile)?;
        Ok(driver)
    }

    /// Whether the driver works; an error when that cannot be found out.
    fn try_driver(&self, driver: DriverName) -> Result<Result<()>> {
        if driver == DriverName::Copy {
            return Ok(Ok(()));
        }
        let program = match (driver, fuse_overlayfs()) {
            (DriverName::FuseOverlayfs, Err(e)) => return Ok(Err(e)),
            (_, program) => program.unwrap_or_default(),
        };
        let maps = IdMaps::for_user()?;
        // One where the layers are, one where the containers' own files will be.
        let lower = Staging::create(&self.staging_dir(), &self.host)?;
        let dead = staging::dead(&self.host_dir, PROBE)?;
        let upper = Staging::create(&self.host_dir, PROBE)?;
        // A namespace that cannot be entered says nothing about the driver.
        let tried: std::result::Result<(), String> = enter::run(&maps, || {
            let tried = match driver {
                DriverName::Overlay => try_overlay(lower.path(), upper.path()),
                _ => try_fuse(&program, upper.path()),
            };
            Ok(tried.map_err(|e| e.to_string()))
        })?;
        // What the mapped root left there may not be the user's to remove.
        let removed = enter::run(&maps, || {
            staging::clean(dead)?;
            super::remove::path(&lower.path().join("lower"))?;
            super::remove::path(&upper.path().join("merged"))?;
            super::remove::path(&upper.path().join("work"))?;
            super::remove::path(&upper.path().join("upper"))
        });
        Ok(tried.map_err(Error::new).and(removed))
    }
}

/// Mounts an overlay, and removes a file of the lower layer through it.
fn try_overlay(lower: &Path, upper: &Path) -> Result<()> {
    let (lower, upper, work) = (directory(lower, "lower")?, directory(upper, "upper")?, directory(upper, "work")?);
    make_file(lower.as_fd())?;
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).context(|| "the kernel has no overlayfs")?;
    let mounted = (|| {
        // Through descriptors, whose paths hold no colon or comma.
        for (key, fd) in [("lowerdir", &lower), ("upperdir", &upper), ("workdir", &work)] {
            fsconfig_set_string(&context, key, format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        }
        fsconfig_set_flag(&context, "userxattr")?;
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    })();
    let merged = mounted.context(|| format!("cannot mount an overlay{}", messages(context.as_fd())))?;
    check(merged.as_fd(), upper.as_fd())
}

fn try_fuse(program: &Path, dir: &Path) -> Result<()> {
    let failed = || format!("{} cannot mount", program.display());
    make_file(directory(dir, "lower")?.as_fd())?;
    let (upper, _work, _merged) = (directory(dir, "upper")?, directory(dir, "work")?, directory(dir, "merged")?);
    let output = Command::new(program)
        .args(["-o", "lowerdir=lower,upperdir=upper,workdir=work", "merged"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .context(failed)?;
    if !output.status.success() {
        return Err(Error::wrap(failed(), Error::new(String::from_utf8_lossy(&output.stderr).trim().to_owned())));
    }
    let path = dir.join("merged");
    let merged = openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let result = merged.context(failed).and_then(|merged| check(merged.as_fd(), upper.as_fd()));
    // The program ends with its mount.
    unmount(&path, UnmountFlags::DETACH).context(failed)?;
    result
}

fn directory(parent: &Path, name: &str) -> Result<OwnedFd> {
    let path = parent.join(name);
    mkdirat(CWD, &path, Mode::from_raw_mode(0o755))
        .and_then(|()| openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()))
        .context(|| format!("cannot create {}", path.display()))
}

const VICTIM: &str = "gone";

fn make_file(dir: BorrowedFd<'_>) -> Result<()> {
    openat(dir, VICTIM, OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))
        .map(drop)
        .context(|| "cannot create a file")
}

fn check(merged: BorrowedFd<'_>, upper: BorrowedFd<'_>) -> Result<()> {
    unlinkat(merged, VICTIM, AtFlags::empty()).context(|| "cannot remove a file of a lower layer")?;
    if !matches!(statat(merged, VICTIM, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT)) {
        return Err(Error::new("a removed file of a lower layer is still there"));
    }
    let stat = statat(upper, VICTIM, AtFlags::SYMLINK_NOFOLLOW).context(|| "no whiteout was made")?;
    if !whiteout::is(upper, VICTIM.as_bytes(), &stat) {
        return Err(Error::new("whiteouts have another form than overlayfs's"));
    }
    whiteout::make_opaque(upper).context(|| "cannot make a directory opaque")
}

/// What the kernel has to say about a failed mount (fsopen(2), "Message retrieval interface").
fn messages(context: BorrowedFd<'_>) -> String {
    let mut text = String::new();
    let mut line = [0u8; 1024];
    while let Ok(length) = rustix::io::read(context, &mut line) {
        let line = String::from_utf8_lossy(&line[..length]);
        text = format!("{text} ({})", line.trim().trim_start_matches("e overlay: "));
    }
    text
}

/// Where the program fuse-overlayfs is.
pub(super) fn fuse_overlayfs() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The directories of administrators are not on everybody's path.
    let known = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .chain(known)
        .map(|dir| dir.join(PROGRAM))
        .find(|program| rustix::fs::access(program, rustix::fs::Access::EXEC_OK).is_ok())
        .ok_or_else(|| Error::new(format!("{PROGRAM} is not installed")).hint(format!("install the package {PROGRAM}")))
}

impl FromStr for DriverName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "overlay" | "overlay2" => Ok(Self::Overlay),
            "fuse-overlayfs" => Ok(Self::FuseOverlayfs),
            "copy" | "vfs" => Ok(Self::Copy),
            _ => Err(Error::new(format!("unknown storage driver {name:?}"))
                .hint("choose one of overlay, fuse-overlayfs, copy")),
        }
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overlay => "overlay",
            Self::FuseOverlayfs => PROGRAM,
            Self::Copy => "copy",
        })
    }
}
