//! Peers that find each other through a directory that their hosts share: one file for each host and network.
//!
//! Only files of the same user count. Clocks of hosts may differ, so that a file's age is told by the directory's own clock:
//! against this host's file, which was written a moment ago.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};

/// A host that has written nothing for this long is gone.
const STALE: Duration = Duration::from_secs(90);

/// How often this host writes.
const AGAIN: Duration = Duration::from_secs(20);

/// Files that are looked at, and what one may hold.
const MOST: usize = 1024;
const LARGEST: u64 = 4096;

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    address: SocketAddr,
}

#[derive(Debug)]
pub(super) struct Directory {
    dir: PathBuf,
    own: PathBuf,
    address: SocketAddr,
    written: Option<(Instant, SystemTime)>,
}

impl Directory {
    /// Tells of this host. `life` is a number of this netkeeper.
    pub(super) fn new(shared: &Path, network: &str, address: SocketAddr, life: u64) -> Result<Self> {
        let dir = shared.join(network);
        let what = || format!("cannot use {} to find peers", dir.display());
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e).context(what),
            _ => {}
        }
        let own = dir.join(format!("{life:016x}.json"));
        let mut directory = Self { dir: dir.clone(), own, address, written: None };
        directory.write().context(what)?;
        Ok(directory)
    }

    fn write(&mut self) -> std::io::Result<()> {
        let new = self.own.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(&Note { address: self.address })?)?;
        let modified = file.metadata()?.modified()?;
        drop(file);
        std::fs::rename(&new, &self.own)?;
        self.written = Some((Instant::now(), modified));
        Ok(())
    }

    /// The other hosts.
    pub(super) fn peers(&mut self) -> Vec<SocketAddr> {
        if self.written.is_none_or(|(when, _)| when.elapsed() >= AGAIN) {
            // Next time it may be possible; until then the others keep what they know.
            let _ = self.write();
        }
        let Some((when, stamp)) = self.written else { return Vec::new() };
        let oldest = (stamp + when.elapsed()).checked_sub(STALE);
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten().take(MOST);
        let mut peers: Vec<SocketAddr> = entries
            .map(|entry| entry.path())
            .filter(|path| *path != self.own && path.extension().is_some_and(|end| end == "json"))
            .filter_map(|path| read(&path, oldest))
            .filter(|address| *address != self.address)
            .collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What stays is stale soon.
        let _ = std::fs::remove_file(&self.own);
    }
}

fn read(path: &Path, oldest: Option<SystemTime>) -> Option<SocketAddr> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).ok()?;
    let meta = file.metadata().ok()?;
    let fresh = oldest.is_none_or(|oldest| meta.modified().is_ok_and(|time| time >= oldest));
    if !meta.is_file() || meta.uid() != rustix::process::getuid().as_raw() || !fresh {
        return None;
    }
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice::<Note>(&text).ok().map(|note| note.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_find_each_other() {
        let shared = std::env::temp_dir().join(format!("rpod-peers-{}", std::process::id()));
        std::fs::create_dir_all(&shared).expect("a directory");
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let mut one = Directory::new(&shared, "n", address("192.0.2.1:4789"), 1).expect("writes");
        let mut two = Directory::new(&shared, "n", address("192.0.2.2:4789"), 2).expect("writes");
        assert_eq!(one.peers(), [address("192.0.2.2:4789")]);
        assert_eq!(two.peers(), [address("192.0.2.1:4789")]);
        std::fs::write(shared.join("n/odd.json"), "{}").expect("writes");
        std::os::unix::fs::symlink("/etc/passwd", shared.join("n/link.json")).expect("links");
        let old = shared.join("n/old.json");
        std::fs::write(&old, r#"{"address":"192.0.2.9:4789"}"#).expect("writes");
        assert_eq!(one.peers().len(), 2);
        let file = OpenOptions::new().write(true).open(&old).expect("opens");
        file.set_modified(SystemTime::now() - STALE * 2).expect("is old");
        assert_eq!(one.peers(), [address("192.0.2.2:4789")]);
        drop(two);
        assert!(one.peers().is_empty());
        drop(one);
        std::fs::remove_dir_all(shared).expect("removes");
    }
}
