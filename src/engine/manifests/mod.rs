//! Manifest lists made here: an index that names images of several platforms, kept under a name of its own.
//!
//! ```text
//! refs/<index>localhost/app:1 → index
//! ```
//! The images that an index names are in the store (those of other platforms too), so that it can be pushed as a whole;
//! what is no image in it, such as attestations, is kept as blobs.

mod add;
mod names;
mod push;

use serde_json::{Map, Value, json};

pub(crate) use self::add::{Source, add};
pub(crate) use self::names::{Named, all, by_name, forget, tag, untag};
pub(crate) use self::push::{push, push_local};
use crate::error::{Context, Error, Kind, Result};
use crate::image::digest::Digest;
use crate::image::manifest::{Document, OCI_INDEX};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::storage::Store;

/// What the names of lists begin with in the store's refs; no image's does.
pub(crate) const PREFIX: &str = "<index>";

/// A list, as its JSON: what others have put into it stays.
#[derive(Debug, Clone)]
pub(crate) struct List {
    /// The full name, without [`PREFIX`].
    pub name: String,
    pub digest: Digest,
    content: Value,
}

/// What is said about one image of a list, or with `--index` about all of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub annotations: Vec<String>,
    pub arch: Option<String>,
    pub features: Vec<String>,
    pub os: Option<String>,
    pub os_features: Vec<String>,
    pub os_version: Option<String>,
    pub variant: Option<String>,
}

/// Makes an empty list called `name`; with `amend` the one that is there will do.
pub(crate) fn create(store: &Store, name: &str, annotations: &[String], amend: bool) -> Result<List> {
    let full = Reference::parse_local(name)?;
    if full.digest().is_some() {
        return Err(Error::new(format!("{name}: a list cannot be given a digest as its name")));
    }
    let full = full.store_name();
    let mut list = match by_name(store, name)? {
        Some(list) if amend => list,
        Some(list) => {
            return Err(
                Error::new(format!("there is a manifest list {} already", list.name)).hint("use --amend to add to it")
            );
        }
        None => List {
            name: full,
            digest: Digest::of(b""),
            content: json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }),
        },
    };
    annotate_value(&mut list.content, annotations)?;
    list.keep(store)?;
    Ok(list)
}

/// The list of that name.
pub(crate) fn get(store: &Store, name: &str) -> Result<List> {
    find(store, name)?
        .ok_or_else(|| Error::new(format!("{name}: manifest list not known")).with_kind(Kind::NoSuchObject))
}

/// The list with that name or id, if there is one.
pub(crate) fn find(store: &Store, name: &str) -> Result<Option<List>> {
    match by_name(store, name)? {
        Some(list) => Ok(Some(list)),
        None => names::by_id(store, name),
    }
}

impl List {
    /// The document, for people.
    pub(crate) fn pretty(&self) -> Result<String> {
        serde_json::to_string_pretty(&self.content).context(|| "cannot encode the list")
    }

    /// The manifest in it for this machine.
    pub(crate) fn own_manifest(&self) -> Result<Digest> {
        match Document::parse(&self.bytes()?, Some(OCI_INDEX))? {
            Document::Index(index) => Ok(index.select(&Platform::host())?.digest),
            Document::Image(_) => Err(Error::new(format!("{} is not a list", self.name))),
        }
    }

    /// Stores the list, and lets its name mean it.
    fn keep(&mut self, store: &Store) -> Result<()> {
        let bytes = self.bytes()?;
        self.digest = store.put_blob(&bytes)?;
        store.set_ref(&format!("{PREFIX}{}", self.name), &self.digest)
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.content).context(|| "cannot encode the list")
    }

    fn entries(&self) -> &[Value] {
        self.content["manifests"].as_array().map_or(&[], Vec::as_slice)
    }

    fn entries_mut(&mut self) -> Result<&mut Vec<Value>> {
        self.content["manifests"].as_array_mut().ok_or_else(|| Error::new("the list has no list of manifests"))
    }

    /// Adds an entry, replacing one of the same manifest.
    fn put(&mut self, entry: Value) -> Result<()> {
        let digest = entry["digest"].clone();
        let entries = self.entries_mut()?;
        entries.retain(|old| old["digest"] != digest);
        entries.push(entry);
        Ok(())
    }

    /// Changes what is said about the manifest with that digest, or about the whole list.
    pub(crate) fn annotate(&mut self, store: &Store, digest: Option<Digest>, notes: &Notes) -> Result<()> {
        match digest {
            None => annotate_value(&mut self.content, &notes.annotations)?,
            Some(digest) => {
                let text = digest.to_string();
                let name = self.name.clone();
                let entry = self.entries_mut()?.iter_mut().find(|entry| entry["digest"] == text.as_str());
                let entry = entry.ok_or_else(|| not_in(&name, &text))?;
                apply(entry, notes)?;
            }
        }
        self.keep(store)
    }

    /// Takes a manifest from the list.
    pub(crate) fn take(&mut self, store: &Store, digest: Digest) -> Result<()> {
        let text = digest.to_string();
        let entries = self.entries_mut()?;
        let before = entries.len();
        entries.retain(|entry| entry["digest"] != text.as_str());
        if entries.len() == before {
            return Err(not_in(&self.name, &text));
        }
        self.keep(store)
    }

    /// Checked as one that comes from a registry.
    fn check(&self) -> Result<()> {
        match Document::parse(&self.bytes()?, Some(OCI_INDEX))? {
            Document::Index(_) => Ok(()),
            Document::Image(_) => Err(Error::new(format!("{} is not a list", self.name))),
        }
    }
}

fn not_in(list: &str, digest: &str) -> Error {
    Error::new(format!("{digest} is not in the manifest list {list}")).with_kind(Kind::NoSuchObject)
}

/// Writes notes into an entry.
fn apply(entry: &mut Value, notes: &Notes) -> Result<()> {
    annotate_value(entry, &notes.annotations)?;
    let mut platform = entry["platform"].as_object().cloned().unwrap_or_default();
    for (key, value) in [
        ("architecture", &notes.arch),
        ("os", &notes.os),
        ("os.version", &notes.os_version),
        ("variant", &notes.variant),
    ] {
        if let Some(value) = value {
            platform.insert(key.to_owned(), value.as_str().into());
        }
    }
    for (key, values) in [("features", &notes.features), ("os.features", &notes.os_features)] {
        if !values.is_empty() {
            platform.insert(key.to_owned(), json!(values));
        }
    }
    if !platform.is_empty() {
        entry["platform"] = Value::Object(platform);
    }
    Ok(())
}

/// Adds `KEY=VALUE` annotations to a list or an entry.
fn annotate_value(target: &mut Value, annotations: &[String]) -> Result<()> {
    if annotations.is_empty() {
        return Ok(());
    }
    let mut all: Map<String, Value> = target["annotations"].as_object().cloned().unwrap_or_default();
    for text in annotations {
        let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            Error::new(format!("no value given for annotation {text:?}")).hint("an annotation is written as KEY=VALUE")
        })?;
        all.insert(key.to_owned(), value.into());
    }
    target["annotations"] = Value::Object(all);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_on_entries() {
        let mut entry = json!({"digest": "sha256:x", "platform": {"os": "linux", "architecture": "arm"}});
        let notes = Notes {
            annotations: vec!["a=b=c".to_owned()],
            variant: Some("v7".to_owned()),
            os_features: vec!["win32k".to_owned()],
            ..Notes::default()
        };
        apply(&mut entry, &notes).expect("notes");
        assert_eq!(
            entry,
            json!({"digest": "sha256:x", "annotations": {"a": "b=c"},
                "platform": {"os": "linux", "architecture": "arm", "variant": "v7", "os.features": ["win32k"]}})
        );
        for bad in ["", "a", "=b"] {
            assert!(annotate_value(&mut entry, &[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
