//! Layers out of the store, in the form that they are to have in a file.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::load::unnamed_file;
use crate::error::{Context, Error, Result};
use crate::image::archive::Content;
use crate::image::compress::{self, Form};
use crate::image::digest::{DiffId, Digest};
use crate::image::manifest::{Descriptor, Manifest};
use crate::storage::Store;
use crate::storage::worker::{Packing, UnpackWorker};

/// A layer's content.
pub(super) enum Exported {
    /// Its tar, straight from the worker.
    Plain(Packing),
    /// Compressed, in a file without a name.
    Spooled(File),
    /// As it was kept: with what its bytes come to so far, and what they should.
    Kept(File, Box<Sha256>, Digest),
}

impl Exported {
    /// A layer that was kept as it came.
    pub(super) fn kept(file: File, digest: Digest) -> Self {
        Self::Kept(file, Box::default(), digest)
    }
}

/// Whether the layers can be had as the manifest names them: kept as they came, beside such as were never compressed.
pub(super) fn has_originals(store: &Store, manifest: &Manifest, diff_ids: &[DiffId]) -> bool {
    let is_kept = |(layer, diff_id): (&Descriptor, &DiffId)| store.compressed(diff_id, &layer.digest).is_some();
    let is_plain = |(layer, diff_id): (&Descriptor, &DiffId)| {
        layer.digest == *diff_id && Form::of_media_type(&layer.media_type) == Some(Form::Plain)
    };
    let mut layers = manifest.layers.iter().zip(diff_ids);
    manifest.layers.len() == diff_ids.len()
        && layers.clone().any(is_kept)
        && layers.all(|layer| is_kept(layer) || is_plain(layer))
}

/// Opens a layer; compressed ones are spooled below `scratch` first, for their digest comes before them in every format.
pub(super) fn open(
    worker: &UnpackWorker,
    scratch: &Path,
    diff_id: &DiffId,
    size: u64,
    form: Form,
    is_docker: bool,
) -> Result<(Descriptor, Exported)> {
    let mut packing = worker.pack(diff_id)?;
    let media_type = form.media_type(is_docker)?;
    if form == Form::Plain {
        return Ok((Descriptor::new(&media_type, size, *diff_id), Exported::Plain(packing)));
    }
    let mut file = unnamed_file(scratch)?;
    let mut hash = Sha256::new();
    let mut length = 0u64;
    let mut keep = |piece: &[u8]| {
        hash.update(piece);
        length += piece.len() as u64;
        file.write_all(piece).context(|| "cannot keep a compressed layer")
    };
    compress::compress(form, compress::threads(), &mut packing.reader, &mut keep)?;
    packing.finish()?;
    file.rewind().context(|| "cannot read a compressed layer")?;
    let digest = Digest::from_bytes(hash.finalize().into());
    Ok((Descriptor::new(&media_type, length, digest), Exported::Spooled(file)))
}

impl Read for Exported {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(packing) => packing.reader.read(buffer),
            Self::Spooled(file) => file.read(buffer),
            Self::Kept(file, hash, _) => {
                let read = file.read(buffer)?;
                hash.update(&buffer[..read]);
                Ok(read)
            }
        }
    }
}

impl Content for Exported {
    fn finish(self) -> Result<()> {
        match self {
            Self::Plain(packing) => packing.finish(),
            Self::Spooled(_) => Ok(()),
            Self::Kept(_, hash, digest) => match Digest::from_bytes(hash.finalize().into()) == digest {
                true => Ok(()),
                false => Err(Error::new(format!("what is kept of {digest} is damaged"))
                    .hint("rpod system check --repair removes it")),
            },
        }
    }
}
