//! The forms that layers have at registries, as far as that is known here: from earlier pushes (`known/`), and from the
//! manifests of images with names. So a base image's layers are not compressed again when what was built on it is pushed.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::images::{NAMELESS, resolve_all};
use crate::error::Result;
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::Document;
use crate::image::reference::LOCAL_HOST;
use crate::storage::{KnownForm, Source, Store};

/// What is known, for the layers of one image.
pub(super) struct Forms(BTreeMap<DiffId, Vec<KnownForm>>);

impl Forms {
    pub(super) fn of(store: &Store, diff_ids: &[DiffId]) -> Result<Self> {
        let mut forms: BTreeMap<DiffId, Vec<KnownForm>> =
            diff_ids.iter().map(|diff_id| (*diff_id, store.known_forms(diff_id))).collect();
        for (digest, names) in resolve_all(store) {
            let places: BTreeSet<String> = names.iter().filter_map(|name| place(name)).collect();
            if places.is_empty() {
                continue;
            }
            // What cannot be read here helps nobody, and hinders nobody.
            let Ok(Document::Image(manifest)) =
                store.read_blob(&digest).and_then(|content| Document::parse(&content, None))
            else {
                continue;
            };
            let Ok(image) = super::Image::read(store, digest) else { continue };
            for (layer, diff_id) in manifest.layers.iter().zip(&image.layers) {
                // Made or loaded here and not compressed: no registry's form.
                if layer.digest == *diff_id {
                    continue;
                }
                let Some(known) = forms.get_mut(diff_id) else { continue };
                let source = Source { digest: layer.digest, size: layer.size, media_type: layer.media_type.clone() };
                add(known, source, &places);
            }
        }
        Ok(Self(forms))
    }

    /// The forms of a layer, the best known last.
    pub(super) fn layer(&self, diff_id: &DiffId) -> &[KnownForm] {
        self.0.get(diff_id).map_or(&[], Vec::as_slice)
    }

    /// Repositories on `host` that have a blob, by its digest, the likeliest first; without the host.
    pub(super) fn lenders(&self, host: &str) -> BTreeMap<Digest, Vec<String>> {
        let path = |place: &String| place.strip_prefix(host)?.strip_prefix('/').map(str::to_owned);
        let mut lenders: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for form in self.0.values().flatten() {
            lenders.entry(form.source.digest).or_default().extend(form.places.iter().rev().filter_map(path));
        }
        lenders
    }

    /// Repositories on other hosts that have the blob, the likeliest first.
    pub(super) fn origins(&self, diff_id: &DiffId, digest: &Digest, host: &str) -> Vec<String> {
        let is_elsewhere = |place: &&String| place.strip_prefix(host).is_none_or(|rest| !rest.starts_with('/'));
        let form = self.layer(diff_id).iter().find(|form| form.source.digest == *digest);
        form.into_iter().flat_map(|form| form.places.iter().rev()).filter(is_elsewhere).cloned().collect()
    }
}

fn add(known: &mut Vec<KnownForm>, source: Source, places: &BTreeSet<String>) {
    let new = match known.iter_mut().find(|form| form.source.digest == source.digest) {
        Some(form) => form,
        None => {
            // Before those of earlier pushes, which are the better known ones.
            known.insert(0, KnownForm { source, made_as: None, places: Vec::new() });
            &mut known[0]
        }
    };
    let more: Vec<String> = places.iter().filter(|place| !new.places.contains(place)).cloned().collect();
    new.places.splice(0..0, more);
}

/// A ref without its tag or digest, if that is a repository of a registry.
fn place(name: &str) -> Option<String> {
    let (repository, _) = name.split_once('@').or_else(|| name.rsplit_once(':'))?;
    let (host, _) = repository.split_once('/')?;
    (repository != NAMELESS && host != LOCAL_HOST).then(|| repository.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_names() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (name, wanted) in [
            ("docker.io/library/alpine:3", Some("docker.io/library/alpine")),
            (&format!("h.example:5000/a/b@{digest}"), Some("h.example:5000/a/b")),
            ("localhost:5000/a:b", Some("localhost:5000/a")),
            ("localhost/a:b", None),
            (&format!("{NAMELESS}@{digest}"), None),
            ("builtin:hello", None),
        ] {
            assert_eq!(place(name).as_deref(), wanted, "{name}");
        }
    }

    #[test]
    fn what_names_say_comes_before_what_pushes_did() {
        let source = |text: &[u8]| Source { digest: Digest::of(text), size: 1, media_type: String::new() };
        let places = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let mut known = vec![KnownForm { source: source(b"a"), made_as: None, places: vec!["h/pushed".to_owned()] }];
        add(&mut known, source(b"a"), &places(&["h/pushed", "i/pulled"]));
        add(&mut known, source(b"b"), &places(&["i/pulled"]));
        assert_eq!(known[0].source.digest, Digest::of(b"b"));
        assert_eq!(known[1].places, ["i/pulled", "h/pushed"]);
        let diff_id = Digest::of(b"layer");
        let forms = Forms(BTreeMap::from([(diff_id, known)]));
        assert_eq!(forms.origins(&diff_id, &Digest::of(b"a"), "h"), ["i/pulled"]);
        assert_eq!(forms.lenders("h")[&Digest::of(b"a")], ["pushed"]);
        assert!(forms.lenders("h")[&Digest::of(b"b")].is_empty());
    }
}
