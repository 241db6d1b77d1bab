//! Files and directories where the caller said: they get the permissions that the caller's umask leaves.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Result, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::sys::umask;

/// [`File::create`].
pub(crate) fn create(path: &Path) -> Result<File> {
    match create_new(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => File::create(path),
        file => file,
    }
}

/// [`File::create_new`].
pub(crate) fn create_new(path: &Path) -> Result<File> {
    let wanted = umask::callers(0o666);
    let file = OpenOptions::new().write(true).create_new(true).mode(wanted).open(path)?;
    // What this process's own umask took away; else the modes stay as a directory's default ACL made them.
    if wanted & 0o022 != 0 {
        file.set_permissions(Permissions::from_mode(wanted))?;
    }
    Ok(file)
}

/// [`std::fs::write`].
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    create(path)?.write_all(content.as_ref())
}

/// [`std::fs::create_dir_all`].
pub(crate) fn create_directories(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(umask::callers(0o777)).create(path)
}
