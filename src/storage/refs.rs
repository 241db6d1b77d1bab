//! `refs/`: names of images. A name is a whole reference (`docker.io/library/alpine:3.20`), and the file of that path
//! holds the digest of its manifest or index. An image without a tag is kept by `NAME@sha256:…` or `<none>@sha256:…`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Store;
use crate::error::{Context, Error, Kind, Result};
use crate::image::digest::Digest;
use crate::state::paths::create_private;

impl Store {
    /// Lets `name` mean `manifest` from now on.
    pub(crate) fn set_ref(&self, name: &str, manifest: &Digest) -> Result<()> {
        let path = self.ref_path(name)?;
        let parent = path.parent().unwrap_or(&path);
        let content = format!("{manifest}\n");
        create_private(parent)?;
        match self.write(&path, content.as_bytes()) {
            // The last other image of that repository may have been removed just now, and its directory with it.
            Err(_) if !parent.exists() => {
                create_private(parent)?;
                self.write(&path, content.as_bytes())
            }
            written => written,
        }
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

    /// Every name, in order; those of additional stores too, where the own one has not got them.
    pub(crate) fn list_refs(&self) -> Result<Vec<(String, Digest)>> {
        self.list_refs_from("")
    }

    /// [`Store::list_refs`] of the names that begin so; the others are not read.
    pub(crate) fn list_refs_from(&self, beginning: &str) -> Result<Vec<(String, Digest)>> {
        let mut refs = Vec::new();
        list(&self.refs_dir(), "", beginning, &mut refs)?;
        refs.sort();
        for store in self.additional.stores() {
            let mut more = Vec::new();
            list(&store.join("refs"), "", beginning, &mut more)?;
            more.retain(|(name, _)| refs.binary_search_by(|(known, _)| known.cmp(name)).is_err());
            refs.append(&mut more);
            refs.sort();
        }
        Ok(refs)
    }

    /// Every name in the user's own store, in order.
    pub(crate) fn list_own_refs(&self) -> Result<Vec<(String, Digest)>> {
        let mut refs = Vec::new();
        list(&self.refs_dir(), "", "", &mut refs)?;
        refs.sort();
        Ok(refs)
    }

    fn ref_path(&self, name: &str) -> Result<PathBuf> {
        check(name)?;
        Ok(self.refs_dir().join(name))
    }

    pub(super) fn refs_dir(&self) -> PathBuf {
        self.data.join("refs")
    }
}

fn read(path: &Path) -> Result<Option<Digest>> {
    let failed = || format!("cannot read {}", path.display());
    // A digest and a line's end: one read where there are hundreds of names.
    let mut text = [0; 72];
    let read = File::open(path).and_then(|mut file| match file.read(&mut text)? {
        read if read == text.len() => Ok(read),
        read => file.read(&mut text[read..]).map(|more| read + more),
    });
    match read {
        Ok(read) => {
            let text = std::str::from_utf8(text.get(..read).unwrap_or_default()).context(failed)?;
            text.trim_end().parse().map(Some).context(failed)
        }
        Err(e) if absent(&e) => Ok(None),
        Err(e) => Err(Error::wrap(failed(), e)),
    }
}

fn list(dir: &Path, prefix: &str, beginning: &str, refs: &mut Vec<(String, Digest)>) -> Result<()> {
    let failed = || format!("cannot read {}", dir.display());
    let entries = match std::fs::read_dir(dir) {
        // Removed meanwhile.
        Err(e) if absent(&e) => return Ok(()),
        entries => entries.context(failed)?,
    };
    for entry in entries {
        let entry = entry.context(failed)?;
        let file_name = entry.file_name();
        let Some(file_name) = file_name.to_str() else { continue };
        let name = format!("{prefix}{file_name}");
        let shorter = name.len().min(beginning.len());
        if name.as_bytes().get(..shorter) != beginning.as_bytes().get(..shorter) {
            continue;
        }
        if entry.file_type().context(failed)?.is_dir() {
            list(&entry.path(), &format!("{name}/"), beginning, refs)?;
        } else if name.starts_with(beginning) {
            refs.extend(read(&entry.path())?.map(|digest| (name, digest)));
        }
    }
    Ok(())
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
