//! Puts images that are part of the executable into the store when they are asked for.

use std::io::Write;

use super::worker::{UnpackJob, UnpackWorker};
use super::{Limits, Source, Store};
use crate::error::{Context, Result};
use crate::image::builtin;
use crate::image::digest::Digest;
use crate::state::lock::Mode;
use crate::userns::IdMaps;

impl Store {
    /// Makes sure that `builtin:hello` is in the store, as this executable has it. Needs a single-threaded process when
    /// it is not there yet.
    pub(crate) fn ensure_builtin(&self, maps: &IdMaps) -> Result<()> {
        let image = builtin::hello()?;
        let (diff_id, manifest) = (Digest::of(&image.layer), Digest::of(&image.manifest));
        if self.get_ref(builtin::NAME)? == Some(manifest) && self.layer(&diff_id).is_some() {
            return Ok(());
        }
        let _lock = self.gc_lock(Mode::Shared)?;
        let worker = UnpackWorker::start(self, maps)?;
        let source = Source {
            digest: diff_id,
            size: image.layer.len() as u64,
            media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
        };
        let job = UnpackJob { expected: Some(diff_id), limits: Limits::default(), source: Some(source) };
        let (mut pipe, pending) = worker.unpack(job)?;
        pipe.write_all(&image.layer).context(|| format!("cannot unpack {}", builtin::NAME))?;
        drop(pipe);
        pending.finish(true)?;
        self.put_blob(&image.config)?;
        self.put_blob(&image.manifest)?;
        self.set_ref(builtin::NAME, &manifest)
    }
}
