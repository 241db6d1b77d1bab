//! Writing images: as a tar, streamed, or as files in a directory. Every size is known beforehand, so that nothing is written
//! twice and a pipe will do.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};

use serde::Serialize;
use tar::{EntryType, Header};

use super::directory::Directory;
use crate::error::{Context, Error, Result};
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::{Descriptor, Index, OCI_CONFIG, OCI_INDEX};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Docker,
    Oci,
    /// `dir:`, one image with its manifest as it is.
    Dir,
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

/// The content of a layer.
pub(crate) trait Content: Read {
    /// Called at the end: whether all of it came.
    fn finish(self) -> Result<()>;
}

impl Content for &[u8] {
    fn finish(self) -> Result<()> {
        Ok(())
    }
}

/// Where the files go.
enum Out<W: Write> {
    Tar(tar::Builder<W>),
    Directory(Directory),
}

pub(crate) struct Writer<W: Write> {
    out: Out<W>,
    format: Format,
    written: HashSet<Digest>,
    /// How the layers were written.
    layers: HashMap<DiffId, Descriptor>,
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

/// Makes the manifest around the layers as they were written; its media type and bytes.
pub(crate) type MakeManifest<'a> = &'a dyn Fn(&[Descriptor]) -> Result<(String, Vec<u8>)>;

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W, format: Format) -> Self {
        Self::with(Out::Tar(tar::Builder::new(out)), format)
    }

    pub(crate) fn directory(directory: Directory, format: Format) -> Self {
        Self::with(Out::Directory(directory), format)
    }

    fn with(out: Out<W>, format: Format) -> Self {
        let (written, layers, items, manifests) = (HashSet::new(), HashMap::new(), Vec::new(), Vec::new());
        Self { out, format, written, layers, items, manifests }
    }

    /// Writes an image; `open` gives a layer in the form it is to have. Layers that images share are written once.
    pub(crate) fn image_as<R: Content>(
        &mut self,
        image: &Saved,
        open: impl FnMut(&DiffId, u64) -> Result<(Descriptor, R)>,
        manifest: MakeManifest<'_>,
    ) -> Result<()> {
        let (config, layers) = self.content(image, open)?;
        if self.format == Format::Docker {
            self.items.push(Item {
                config: self.config_name(&config),
                repo_tags: image.names.clone(),
                layers: image.layers.iter().map(|(diff_id, _)| self.layer_name(diff_id)).collect(),
            });
            return Ok(());
        }
        let (media_type, content) = manifest(&layers)?;
        self.top(&image.names, &media_type, &content)
    }

    /// Writes an image that is part of a list; what the list has to say of its manifest.
    pub(crate) fn part<R: Content>(
        &mut self,
        image: &Saved,
        open: impl FnMut(&DiffId, u64) -> Result<(Descriptor, R)>,
        manifest: MakeManifest<'_>,
    ) -> Result<Descriptor> {
        let (_, layers) = self.content(image, open)?;
        let (media_type, content) = manifest(&layers)?;
        self.part_manifest(&media_type, &content)
    }

    /// Writes the manifest of a part of a list.
    pub(crate) fn part_manifest(&mut self, media_type: &str, content: &[u8]) -> Result<Descriptor> {
        let descriptor = Descriptor::of(media_type, content);
        let name = match self.format {
            Format::Dir => format!("{}.manifest.json", descriptor.digest.hex()),
            Format::Docker | Format::Oci => blob_name(&descriptor.digest),
        };
        if self.written.insert(descriptor.digest) {
            self.file(&name, descriptor.size, content)?;
        }
        Ok(descriptor)
    }

    /// Writes a small blob.
    pub(crate) fn blob(&mut self, content: &[u8]) -> Result<()> {
        self.begin()?;
        let digest = Digest::of(content);
        if self.written.insert(digest) {
            self.file(&self.layer_name(&digest), content.len() as u64, content)?;
        }
        Ok(())
    }

    /// Writes what names lead to: a manifest, or a list of such.
    pub(crate) fn top(&mut self, names: &[String], media_type: &str, content: &[u8]) -> Result<()> {
        self.begin()?;
        let descriptor = Descriptor::of(media_type, content);
        if self.format == Format::Dir {
            return self.file("manifest.json", descriptor.size, content);
        }
        if self.written.insert(descriptor.digest) {
            self.file(&blob_name(&descriptor.digest), descriptor.size, content)?;
        }
        if names.is_empty() {
            self.manifests.push(descriptor);
            return Ok(());
        }
        for name in names {
            let mut named = descriptor.clone();
            let annotation = ("org.opencontainers.image.ref.name".to_owned(), name.clone().into());
            named.annotations = Some(std::iter::once(annotation).collect());
            self.manifests.push(named);
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        if self.format == Format::Oci && self.written.is_empty() {
            // Go's unpacker gives directories that it has to make itself to root, which it may not when unprivileged.
            self.make_directory("blobs/")?;
            self.make_directory("blobs/sha256/")?;
        }
        Ok(())
    }

    /// Layers and config: the config's digest, and the layers as they were written.
    fn content<R: Content>(
        &mut self,
        image: &Saved,
        mut open: impl FnMut(&DiffId, u64) -> Result<(Descriptor, R)>,
    ) -> Result<(Digest, Vec<Descriptor>)> {
        self.begin()?;
        let mut layers = Vec::new();
        for (diff_id, size) in &image.layers {
            if !self.layers.contains_key(diff_id) {
                let (descriptor, content) = open(diff_id, *size)?;
                if self.written.insert(descriptor.digest) {
                    self.file(&self.layer_name(&descriptor.digest), descriptor.size, content)?;
                }
                self.layers.insert(*diff_id, descriptor);
            }
            layers.extend(self.layers.get(diff_id).cloned());
        }
        let config = Descriptor::of(OCI_CONFIG, &image.config);
        if self.written.insert(config.digest) {
            self.file(&self.config_name(&config.digest), config.size, image.config.as_slice())?;
        }
        Ok((config.digest, layers))
    }

    /// Writes the lists and the end of the archive.
    pub(crate) fn finish(mut self) -> Result<Option<W>> {
        match self.format {
            Format::Docker => {
                let list = serde_json::to_vec(&self.items).context(|| "cannot encode manifest.json")?;
                self.file("manifest.json", list.len() as u64, list.as_slice())?;
            }
            Format::Oci => {
                let mut manifests = match &self.out {
                    Out::Tar(_) => Vec::new(),
                    Out::Directory(directory) => directory.others(&self.manifests)?,
                };
                manifests.append(&mut self.manifests);
                let index = Index { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests };
                let index = serde_json::to_vec(&index).context(|| "cannot encode index.json")?;
                self.file("index.json", index.len() as u64, index.as_slice())?;
                let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
                self.file("oci-layout", layout.len() as u64, layout.as_slice())?;
            }
            Format::Dir => {
                let version = b"Directory Transport Version: 1.1\n";
                self.file("version", version.len() as u64, version.as_slice())?;
            }
        }
        match self.out {
            Out::Tar(tar) => tar.into_inner().map(Some).context(|| "cannot write the archive"),
            Out::Directory(_) => Ok(None),
        }
    }

    fn layer_name(&self, digest: &Digest) -> String {
        match self.format {
            Format::Docker => format!("{}.tar", digest.hex()),
            Format::Oci => blob_name(digest),
            Format::Dir => digest.hex(),
        }
    }

    fn config_name(&self, digest: &Digest) -> String {
        match self.format {
            Format::Docker => format!("{}.json", digest.hex()),
            Format::Oci => blob_name(digest),
            Format::Dir => digest.hex(),
        }
    }

    fn make_directory(&mut self, name: &str) -> Result<()> {
        match &mut self.out {
            Out::Tar(tar) => {
                let mut header = header(EntryType::Directory, 0o755, 0);
                tar.append_data(&mut header, name, std::io::empty()).context(|| "cannot write the archive")
            }
            Out::Directory(directory) => directory.make(name),
        }
    }

    fn file(&mut self, name: &str, size: u64, content: impl Content) -> Result<()> {
        let mut content = Counted { inner: content.take(size), read: 0 };
        match &mut self.out {
            Out::Tar(tar) => {
                let mut header = header(EntryType::Regular, 0o444, size);
                tar.append_data(&mut header, name, &mut content).context(|| "cannot write the archive")?;
            }
            Out::Directory(directory) => directory.write(name, &mut content)?,
        }
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
