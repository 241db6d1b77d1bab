//! Files that share their blocks. The kernel compares what it is asked to share, so nothing here has to be right for the layers to
//! stay what they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::{Found, Shared, read};
use crate::sys::share;

/// File systems do so much at a time (btrfs).
const MOST_AT_ONCE: u64 = 16 << 20;

/// Files of one size: those with the same content share the blocks of the first.
pub(super) fn same_size(size: u64, files: &[Found], shared: &mut Shared) -> Result<(), Errno> {
    let mut first_of = BTreeMap::new();
    for found in files {
        let Some((file, _, digest)) = read(&found.path) else { continue };
        match first_of.get(&digest) {
            None => drop(first_of.insert(digest, file)),
            Some(first) if is_same(first, &file)? => shared.before += size,
            Some(first) => {
                if one(first, &file, size)? {
                    shared.files += 1;
                    shared.bytes += size;
                }
            }
        }
    }
    Ok(())
}

/// Whether they share their blocks already.
fn is_same(first: &File, file: &File) -> Result<bool, Errno> {
    let blocks = (share::first_block(first)?, share::first_block(file)?);
    Ok(matches!(blocks, (Some(a), Some(b)) if a == b))
}

/// Whether all of `target` shares the blocks of `source` now.
fn one(source: &File, target: &File, size: u64) -> Result<bool, Errno> {
    let mut at = 0;
    while at < size {
        match share::share(source.as_fd(), target.as_fd(), at, (size - at).min(MOST_AT_ONCE)) {
            Ok(Some(done)) if done > 0 => at += done,
            // Changed meanwhile, or a file that this file system cannot do it with.
            Ok(_) | Err(Errno::INVAL | Errno::PERM | Errno::ACCESS | Errno::TXTBSY) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}
