//! Writing archives, streamed: every size is known beforehand, so nothing is written twice and a pipe will do.

use std::collections::HashSet;
use std::io::{Read, Write};

use serde::Serialize;
use tar::{EntryType, Header};

use crate::error::{Context, Error, Result};
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::{Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Docker,
    Oci,
}

/// An image to be written.
#[derive(Debug)]
pub(crate) struct Saved {
    /// Normalised, with tags.
    pub names: Vec<String>,
    pub config: Vec<u8>,
    /// Bottom first, with the sizes of the tars.
    pub layers: Vec<(DiffId, u64)>,
}

/// The tar of a layer.
pub(crate) trait Content: Read {
    /// Called at the end: whether all of it came.
    fn finish(self) -> Result<()>;
}

impl Content for &[u8] {
    fn finish(self) -> Result<()> {
        Ok(())
    }
}

pub(crate) struct Writer<W: Write> {
    tar: tar::Builder<W>,
    format: Format,
    written: HashSet<Digest>,
    items: Vec<Item>,
    manifests: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W, format: Format) -> Self {
        let (written, items, manifests) = (HashSet::new(), Vec::new(), Vec::new());
        Self { tar: tar::Builder::new(out), format, written, items, manifests }
    }

    /// Writes an image; `open` gives the tar of a layer. Layers that images share are written once.
    pub(crate) fn image<R: Content>(
        &mut self,
        image: &Saved,
        mut open: impl FnMut(&DiffId) -> Result<R>,
    ) -> Result<()> {
        if self.format == Format::Oci && self.written.is_empty() {
            // Go's unpacker gives directories that it has to make itself to root, which it may not when unprivileged.
            self.directory("blobs/")?;
            self.directory("blobs/sha256/")?;
        }
        for (diff_id, size) in &image.layers {
            if self.written.insert(*diff_id) {
                let content = open(diff_id)?;
                self.file(&self.layer_name(diff_id), *size, content)?;
            }
        }
        let config = Descriptor::of(OCI_CONFIG, &image.config);
        if self.written.insert(config.digest) {
            self.file(&self.config_name(&config.digest), config.size, image.config.as_slice())?;
        }
        match self.format {
            Format::Docker => {
                self.items.push(Item {
                    config: self.config_name(&config.digest),
                    repo_tags: image.names.clone(),
                    layers: image.layers.iter().map(|(diff_id, _)| self.layer_name(diff_id)).collect(),
                });
                Ok(())
            }
            Format::Oci => self.manifest(image, config),
        }
    }

    /// Layers go uncompressed: their digests are the DiffIDs.
    fn manifest(&mut self, image: &Saved, config: Descriptor) -> Result<()> {
        let layers = image.layers.iter().map(|(diff_id, size)| Descriptor::new(OCI_LAYER, *size, *diff_id)).collect();
        let content = Manifest::new(OCI_MANIFEST, config, layers).to_bytes()?;
        let descriptor = Descriptor::of(OCI_MANIFEST, &content);
        if self.written.insert(descriptor.digest) {
            self.file(&blob_name(&descriptor.digest), descriptor.size, content.as_slice())?;
        }
        if image.names.is_empty() {
            self.manifests.push(descriptor);
            return Ok(());
        }
        for name in &image.names {
            let mut named = descriptor.clone();
            let annotation = ("org.opencontainers.image.ref.name".to_owned(), name.clone().into());
            named.annotations = Some(std::iter::once(annotation).collect());
            self.manifests.push(named);
        }
        Ok(())
    }

    /// Writes the lists and the end of the archive.
    pub(crate) fn finish(mut self) -> Result<W> {
        match self.format {
            Format::Docker => {
                let list = serde_json::to_vec(&self.items).context(|| "cannot encode manifest.json")?;
                self.file("manifest.json", list.len() as u64, list.as_slice())?;
            }
            Format::Oci => {
                let manifests = std::mem::take(&mut self.manifests);
                let index = Index { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests };
                let index = serde_json::to_vec(&index).context(|| "cannot encode index.json")?;
                self.file("index.json", index.len() as u64, index.as_slice())?;
                let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
                self.file("oci-layout", layout.len() as u64, layout.as_slice())?;
            }
        }
        self.tar.into_inner().context(|| "cannot write the archive")
    }

    fn layer_name(&self, diff_id: &DiffId) -> String {
        match self.format {
            Format::Docker => format!("{}.tar", diff_id.hex()),
            Format::Oci => blob_name(diff_id),
        }
    }

    fn config_name(&self, digest: &Digest) -> String {
        match self.format {
            Format::Docker => format!("{}.json", digest.hex()),
            Format::Oci => blob_name(digest),
        }
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        let mut header = header(EntryType::Directory, 0o755, 0);
        self.tar.append_data(&mut header, name, std::io::empty()).context(|| "cannot write the archive")
    }

    fn file(&mut self, name: &str, size: u64, content: impl Content) -> Result<()> {
        let mut header = header(EntryType::Regular, 0o444, size);
        let mut content = Counted { inner: content.take(size), read: 0 };
        self.tar.append_data(&mut header, name, &mut content).context(|| "cannot write the archive")?;
        let read = content.read;
        content.inner.into_inner().finish()?;
        if read != size {
            return Err(Error::new(format!("{name} has {read} bytes instead of {size}")));
        }
        Ok(())
    }
}

/// The same image gives the same archive: no times, no owners.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}
