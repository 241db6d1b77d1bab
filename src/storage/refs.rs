//! `refs/`: names of images. A name is a whole reference (`docker.io/library/alpine:3.20`), and the file of that path
//! holds the digest of its manifest or index. An image without a tag is kept by `NAME@sha256:…` or `<none>@sha256:…`.

use std::fmt::Display;
use std::fs::{File, Permissions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::Store;
use crate::error::{Context, Error, Kind, Result};
use crate::image::digest::Digest;
use crate::image::manifest::Document;
use crate::state::paths::create_private;

/// What a hint says about a ref that is damaged.
const REPAIR: &str = "rpod system check --repair removes names that cannot be read";

/// So many times the directory of a new name may vanish while the name is written.
const MAX_LOST: usize = 1000;

/// What is in `refs/`.
#[derive(Debug, Default)]
pub(crate) struct Refs {
    /// In order.
    pub named: Vec<(String, Digest)>,
    pub damaged: Vec<DamagedRef>,
    /// What has no name that this program would have written.
    pub strays: Vec<PathBuf>,
}

/// A name, or a directory of names, that nobody can tell the meaning of: torn by a power cut, or changed by a curious hand.
#[derive(Debug)]
pub(crate) struct DamagedRef {
    pub name: String,
    pub why: String,
}

impl DamagedRef {
    /// What cannot be done because of it, and how to be rid of it.
    pub(super) fn error(&self, what: &str) -> Error {
        Error::new(format!("{what}: {}", self.why)).hint(REPAIR)
    }
}

impl Store {
    /// Lets `name` mean `manifest` from now on.
    pub(crate) fn set_ref(&self, name: &str, manifest: &Digest) -> Result<()> {
        let path = self.ref_path(name)?;
        let parent = path.parent().unwrap_or(&path);
        let content = format!("{manifest}\n");
        for _ in 0..MAX_LOST {
            match create_private(parent).and_then(|()| self.write(&path, content.as_bytes())) {
                // The last other image of that repository was removed just now, and its directory with it.
                Err(error) if has_vanished(&error) => {}
                written => return written,
            }
        }
        create_private(parent)?;
        self.write(&path, content.as_bytes())
    }

    /// What `name` means, if anything.
    pub(crate) fn get_ref(&self, name: &str) -> Result<Option<Digest>> {
        let path = self.ref_path(name)?;
        match read(&path)? {
            Some(digest) => Ok(Some(digest)),
            None => self.foreign_ref(name).map_or(Ok(None), |path| read(&path)),
        }
    }

    /// Whether the user's own store has the name; otherwise it is in a store that is only read.
    pub(crate) fn has_own_ref(&self, name: &str) -> Result<bool> {
        Ok(read(&self.ref_path(name)?)?.is_some())
    }

    /// Where the name is in an additional store.
    fn foreign_ref(&self, name: &str) -> Option<PathBuf> {
        self.additional.find(&Path::new("refs").join(name))
    }

    /// Forgets `name`.
    pub(crate) fn remove_ref(&self, name: &str) -> Result<()> {
        let path = self.ref_path(name)?;
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(e) if absent(&e) => {
                if let Some(path) = self.foreign_ref(name) {
                    return Err(Error::new(format!("{name} is in a store that is only read: {}", path.display()))
                        .hint("whoever fills that store may remove it"));
                }
                return Err(Error::new(format!("no image is named {name}")).with_kind(Kind::NoSuchObject));
            }
            Err(e) => return Err(Error::wrap(format!("cannot remove {}", path.display()), e)),
        }
        let refs = self.refs_dir();
        for dir in path.ancestors().skip(1).take_while(|dir| *dir != refs) {
            // Fails where other names are left, which is the end.
            if std::fs::remove_dir(dir).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Every name; those of additional stores too, where the own one has not got them.
    pub(crate) fn list_refs(&self) -> Refs {
        self.list_refs_from("")
    }

    /// [`Store::list_refs`] of the names that begin so; the others are not read.
    pub(crate) fn list_refs_from(&self, beginning: &str) -> Refs {
        let mut refs = Refs::default();
        refs.add(&self.refs_dir(), "", beginning);
        refs.named.sort();
        for store in self.additional.stores() {
            let mut more = Refs::default();
            more.add(&store.join("refs"), "", beginning);
            more.named.retain(|(name, _)| refs.named.binary_search_by(|(known, _)| known.cmp(name)).is_err());
            refs.named.append(&mut more.named);
            refs.damaged.append(&mut more.damaged);
            refs.named.sort();
        }
        refs
    }

    /// Every name in the user's own store.
    pub(crate) fn list_own_refs(&self) -> Refs {
        let mut refs = Refs::default();
        refs.add(&self.refs_dir(), "", "");
        refs.named.sort();
        refs
    }

    /// Fails when there is a name that cannot be read: for those who clear away what no name leads to.
    pub(crate) fn no_damaged_refs(&self) -> Result<()> {
        self.list_own_refs().undamaged().map(drop)
    }

    /// Lets a damaged name be read again, or removes it. One that says by itself what it means is written anew.
    pub(crate) fn repair_ref(&self, damaged: &DamagedRef) -> Result<()> {
        let path = self.refs_dir().join(&damaged.name);
        let Ok(meta) = path.symlink_metadata() else { return Ok(()) };
        let mode = meta.permissions().mode();
        let wanted = mode | if meta.is_dir() { 0o700 } else { 0o600 };
        if wanted != mode {
            let failed = || format!("cannot change the mode of {}", path.display());
            std::fs::set_permissions(&path, Permissions::from_mode(wanted)).context(failed)?;
        }
        // A directory of names that still cannot be read is not ours to throw away.
        if check(&damaged.name).is_err() || matches!(read(&path), Ok(Some(_))) {
            return Ok(());
        }
        super::remove::path(&path)?;
        let meant = damaged.name.split_once('@').and_then(|(_, digest)| digest.parse::<Digest>().ok());
        match meant.filter(|digest| self.is_manifest(digest)) {
            Some(digest) => self.set_ref(&damaged.name, &digest),
            None => Ok(()),
        }
    }

    /// Whether names may lead to the document: not to an index, which a name only came from.
    fn is_manifest(&self, digest: &Digest) -> bool {
        let content = self.read_blob(digest).ok();
        matches!(content.map(|content| Document::parse(&content, None)), Some(Ok(Document::Image(_))))
    }

    fn ref_path(&self, name: &str) -> Result<PathBuf> {
        check(name)?;
        Ok(self.refs_dir().join(name))
    }

    pub(super) fn refs_dir(&self) -> PathBuf {
        self.data.join("refs")
    }
}

impl Refs {
    /// All of them, if all can be read.
    pub(super) fn undamaged(self) -> Result<Vec<(String, Digest)>> {
        match self.damaged.first() {
            None => Ok(self.named),
            Some(damaged) => Err(damaged.error("cannot tell what is in use")),
        }
    }

    /// What is below `dir`, whose names begin with `prefix`, and with `beginning`.
    fn add(&mut self, dir: &Path, prefix: &str, beginning: &str) {
        let failed = || format!("cannot read {}", dir.display());
        let entries = match std::fs::read_dir(dir) {
            // Removed meanwhile.
            Err(e) if absent(&e) => return,
            entries => entries.context(failed),
        };
        let entries = match entries {
            Ok(entries) => entries,
            Err(e) => return self.add_damaged(prefix.trim_end_matches('/'), &e),
        };
        for entry in entries {
            let entry = match entry.context(failed) {
                Ok(entry) => entry,
                Err(e) => return self.add_damaged(prefix.trim_end_matches('/'), &e),
            };
            // No name begins so; a network file system keeps files so that were removed while they were open.
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else {
                self.strays.push(entry.path());
                continue;
            };
            if file_name.starts_with('.') {
                continue;
            }
            let name = format!("{prefix}{file_name}");
            let shorter = name.len().min(beginning.len());
            if name.as_bytes().get(..shorter) != beginning.as_bytes().get(..shorter) {
                continue;
            }
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            match check(&name) {
                Err(_) if is_dir => self.add(&entry.path(), &format!("{name}/"), beginning),
                // The first part of a name may look like a whole one: a host with a port.
                Ok(()) if is_dir && prefix.is_empty() => self.add(&entry.path(), &format!("{name}/"), beginning),
                Err(_) => self.strays.push(entry.path()),
                Ok(()) if !name.starts_with(beginning) => {}
                Ok(()) => match read(&entry.path()) {
                    Ok(Some(digest)) => self.named.push((name, digest)),
                    // A link that leads nowhere, or a name that was removed meanwhile.
                    Ok(None) if !entry.path().is_symlink() => {}
                    Ok(None) => self.add_damaged(&name, &format!("{} leads nowhere", entry.path().display())),
                    Err(e) => self.add_damaged(&name, &e),
                },
            }
        }
    }

    fn add_damaged(&mut self, name: &str, why: &dyn Display) {
        self.damaged.push(DamagedRef { name: name.to_owned(), why: why.to_string() });
    }
}

fn read(path: &Path) -> Result<Option<Digest>> {
    let failed = || format!("cannot read {}", path.display());
    // A digest and a line's end: one read where there are hundreds of names.
    let mut text = [0; 72];
    // Not to wait where a pipe was put in its place.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path);
    let read = file.and_then(|mut file| match file.read(&mut text)? {
        read if read == text.len() => Ok(read),
        read => file.read(&mut text[read..]).map(|more| read + more),
    });
    let digest = match read {
        Ok(read) => {
            let text = std::str::from_utf8(text.get(..read).unwrap_or_default()).context(failed);
            text.and_then(|text| text.trim_end().parse().context(failed)).map(Some)
        }
        Err(e) if absent(&e) => Ok(None),
        Err(e) => Err(Error::wrap(failed(), e)),
    };
    digest.map_err(|e| e.hint(REPAIR))
}

/// Whether a directory vanished while it was made or written to: then making it fails either way (mkdir(2)).
fn has_vanished(error: &Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|e| absent(e) || e.kind() == std::io::ErrorKind::AlreadyExists) {
            return true;
        }
        next = error.source();
    }
    false
}

fn absent(e: &std::io::Error) -> bool {
    matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// Only the last part of a name has a tag or digest, so no name is the directory of another.
fn check(name: &str) -> Result<()> {
    let bad = || Error::new(format!("{name:?} is not a full image name"));
    let (dirs, last) = name.rsplit_once('/').map_or((None, name), |(dirs, last)| (Some(dirs), last));
    let part_ok = |part: &str| !part.is_empty() && !part.starts_with('.') && part.len() <= 255;
    let byte_ok = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if !name.bytes().all(byte_ok) || !part_ok(last) || !dirs.into_iter().flat_map(|d| d.split('/')).all(part_ok) {
        return Err(bad());
    }
    if !last.contains([':', '@']) || last.starts_with([':', '@']) {
        return Err(bad());
    }
    // A host's port is the only colon further up.
    if dirs.is_some_and(|dirs| dirs.split('/').skip(1).any(|part| part.contains([':', '@']))) {
        return Err(bad());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_stay_inside_refs() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for good in [
            "docker.io/library/alpine:3.20",
            "localhost:5000/a/b:c",
            "builtin:hello",
            &format!("docker.io/library/alpine@{digest}"),
            &format!("<none>@{digest}"),
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "a",
            "a/b",
            "../a:b",
            "a/../b:c",
            "a//b:c",
            "/a:b",
            "a/./b:c",
            "a/b:c/d",
            "a/b:c/d:e",
            "a/b\n:c",
            "a/.tmp-1:x",
            "a/:x",
            "a b:c",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
