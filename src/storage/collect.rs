//! Removes what nothing uses: blobs and layers that no ref and no container leads to.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Store;
use super::staging::Staging;
use crate::error::{Context, Kind, Result};
use crate::image::digest::{DiffId, Digest};
use crate::state::lock::{Lock, Mode};
use crate::userns::{IdMaps, enter};

/// What containers still need besides what the refs lead to.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    pub layers: HashSet<DiffId>,
    /// Manifests or configs; what they lead to is kept with them.
    pub blobs: HashSet<Digest>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Freed {
    pub blobs: u64,
    pub layers: u64,
    /// As sizes of images are counted: of blobs, and of the layers' tars.
    pub bytes: u64,
}

/// Where a manifest, an index or a config leads. Unknown documents lead nowhere.
///
/// Each member is read by itself, whatever the others are: what one that nobody needs has in it must not hide the layers.
#[derive(Debug, Default)]
struct Links {
    documents: Vec<Digest>,
    layers: Vec<DiffId>,
}

impl Links {
    fn of(content: &[u8]) -> Self {
        let Ok(members) = serde_json::from_slice::<HashMap<String, &RawValue>>(content) else { return Self::default() };
        let member = |name: &str| {
            let text = members.get(name).map_or("null", |value| value.get());
            serde_json::from_str::<Value>(text).unwrap_or_default()
        };
        let digest = |descriptor: &Value| descriptor.get("digest")?.as_str()?.parse::<Digest>().ok();
        let all = |list: Value| match list {
            Value::Array(list) => list,
            _ => Vec::new(),
        };
        // The layers of an artifact are blobs here; those of an image are not.
        let lists = [member("manifests"), member("layers")].into_iter().flat_map(all);
        let documents = lists.chain([member("config"), member("subject")]);
        let diff_ids = member("rootfs").get_mut("diff_ids").map(Value::take).unwrap_or_default();
        Self {
            documents: documents.filter_map(|descriptor| digest(&descriptor)).collect(),
            layers: all(diff_ids).iter().filter_map(|id| id.as_str()?.parse().ok()).collect(),
        }
    }
}

impl Store {
    /// Removes every blob and layer that no ref and nothing in `keep` leads to; `keep` is made while nobody can start a
    /// container. `None` while somebody is fetching an image: whoever collects next finds the same garbage. Needs a
    /// single-threaded process when there are layers to remove.
    pub(crate) fn try_collect(&self, keep: impl FnOnce() -> Result<Keep>) -> Result<Option<Freed>> {
        match Lock::try_acquire(&self.gc_lock_path(), Mode::Exclusive)? {
            Some(_lock) => self.collect_locked(keep).map(Some),
            None => Ok(None),
        }
    }

    fn collect_locked(&self, keep: impl FnOnce() -> Result<Keep>) -> Result<Freed> {
        let Reached { blobs, layers, .. } = self.reach(keep()?)?;
        let mut freed = Freed::default();
        self.remove_mapped(&layers)?;
        self.remove_layers(&layers, &mut freed)?;
        self.forget_compressed(&blobs, &mut freed)?;
        self.forget_known(&layers);
        self.remove_blobs(&blobs, &mut freed)?;
        self.forget_partials()?;
        Ok(freed)
    }

    /// Layers that no ref and nothing in `keep` leads to: those of an image that is being fetched among them.
    pub(crate) fn unreferenced(&self, keep: Keep) -> Result<Vec<DiffId>> {
        let reached = self.reach(keep)?;
        Ok(self.list_layers()?.into_iter().filter(|id| !reached.layers.contains(id)).collect())
    }

    fn reach(&self, keep: Keep) -> Result<Reached<'_>> {
        let Keep { layers, blobs } = keep;
        let mut reached = Reached { store: self, blobs: HashSet::new(), layers };
        reached.layers.extend(self.build_steps()?.into_iter().filter_map(|(_, step)| step.layer));
        for (_, digest) in self.list_own_refs().undamaged()? {
            reached.follow(&digest)?;
        }
        for digest in &blobs {
            reached.follow(digest)?;
        }
        Ok(reached)
    }

    fn remove_layers(&self, kept: &HashSet<DiffId>, freed: &mut Freed) -> Result<()> {
        let garbage: Vec<DiffId> = self.list_layers()?.into_iter().filter(|id| !kept.contains(id)).collect();
        if garbage.is_empty() {
            return Ok(());
        }
        let staging = Staging::create(&self.staging_dir(), &self.host)?;
        for id in &garbage {
            let dir = self.layer_dir(id);
            freed.bytes += self.layer(id).and_then(|layer| layer.meta().ok()).map_or(0, |meta| meta.size);
            freed.bytes += self.size_of_compressed(id);
            freed.layers += 1;
            // Out of its place at once: what a crash leaves is in staging.
            std::fs::rename(&dir, staging.path().join(id.hex()))
                .context(|| format!("cannot remove {}", dir.display()))?;
        }
        enter::run(&IdMaps::for_user()?, || {
            garbage.iter().try_for_each(|id| super::remove::path(&staging.path().join(id.hex())))
        })
    }

    fn remove_blobs(&self, kept: &HashSet<Digest>, freed: &mut Freed) -> Result<()> {
        let dir = self.blobs_dir();
        let failed = || format!("cannot read {}", dir.display());
        for entry in std::fs::read_dir(&dir).context(failed)? {
            let entry = entry.context(failed)?;
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| format!("sha256:{name}").parse::<Digest>().ok());
            // What has no digest as its name was being written by a process that holds no lock on the store: a dead one.
            if digest.is_none_or(|digest| !kept.contains(&digest)) {
                freed.bytes += entry.metadata().map_or(0, |meta| meta.size());
                freed.blobs += 1;
                std::fs::remove_file(entry.path()).context(|| format!("cannot remove {}", entry.path().display()))?;
            }
        }
        Ok(())
    }
}

struct Reached<'a> {
    store: &'a Store,
    blobs: HashSet<Digest>,
    layers: HashSet<DiffId>,
}

impl Reached<'_> {
    /// Each document once, so that a recursive index ends. A damaged one is an error: it may lead to layers that are whole.
    fn follow(&mut self, digest: &Digest) -> Result<()> {
        let mut todo = vec![*digest];
        while let Some(digest) = todo.pop() {
            if !self.blobs.insert(digest) {
                continue;
            }
            let content = match self.store.read_blob(&digest) {
                Ok(content) => content,
                // Of an index, only some platforms' manifests are here.
                Err(e) if e.kind() == Kind::NoSuchObject => continue,
                Err(e) => return Err(e),
            };
            let links = Links::of(&content);
            todo.extend(links.documents);
            self.layers.extend(links.layers);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_members_hide_nothing() {
        let (layer, config) = ("a".repeat(64), "b".repeat(64));
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        for odd in [
            r#""manifests":{}"#,
            r#""manifests":null"#,
            r#""layers":"x""#,
            r#""layers":[{"digest":5}]"#,
            r#""subject":1"#,
            r#""subject":{}"#,
            &format!(r#""history":{deep}"#),
        ] {
            let text = format!(
                r#"{{"config":{{"digest":"sha256:{config}"}},"rootfs":{{"diff_ids":["sha256:{layer}",1,"x"]}},{odd}}}"#
            );
            let links = Links::of(text.as_bytes());
            assert_eq!(
                links.layers.iter().map(DiffId::to_string).collect::<Vec<_>>(),
                [format!("sha256:{layer}")],
                "{odd}"
            );
            assert_eq!(links.documents.iter().map(Digest::to_string).collect::<Vec<_>>(), [format!("sha256:{config}")]);
        }
        for nothing in
            ["", "[]", "\u{0}\u{1}", r#"{"rootfs":5}"#, r#"{"rootfs":{"diff_ids":null}}"#, r#"{"config":"x"}"#]
        {
            let links = Links::of(nothing.as_bytes());
            assert!(links.layers.is_empty() && links.documents.is_empty(), "{nothing}");
        }
    }
}
