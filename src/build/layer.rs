//! A place to make one layer in: the layers so far below, an empty directory above.

use std::path::PathBuf;

use super::stage::Stage;
use crate::error::{Context, Result};
use crate::image::digest::DiffId;
use crate::state::id;
use crate::storage::diff::{DiffJob, Ids};
use crate::storage::{IdShift, RootfsPlan, remove_path};
use crate::userns::{IdMaps, enter};

/// A root file system to be changed. Dropped, everything of it goes.
pub(crate) struct Workplace<'a> {
    pub id: String,
    pub dir: PathBuf,
    pub rootfs: RootfsPlan,
    /// What is below.
    layers: Vec<DiffId>,
    maps: &'a IdMaps,
}

impl Drop for Workplace<'_> {
    fn drop(&mut self) {
        // Files of other ids can be removed from inside the user namespace only.
        if remove_path(&self.dir).is_err() {
            let dir = self.dir.clone();
            let _ = enter::run(self.maps, || remove_path(&dir));
        }
    }
}

impl<'a> Stage<'a> {
    /// A place above the given layers.
    pub(crate) fn workplace(&self, layers: &[DiffId]) -> Result<Workplace<'a>> {
        let build = self.build;
        let id = id::random()?;
        let dir = build.room.directory(id::short(&id))?;
        let rootfs = build.store.prepare_rootfs(layers, &dir, &IdShift::None)?;
        Ok(Workplace { id, dir, rootfs, layers: layers.to_vec(), maps: build.maps })
    }

    /// What was changed becomes a layer of the store. `skip`: places where the runtime mounted something.
    pub(crate) fn make_layer(&mut self, place: &Workplace<'_>, skip: Vec<String>) -> Result<DiffId> {
        let request = self.build.request;
        let below: Vec<PathBuf> =
            self.build.store.layers(&place.layers)?.iter().rev().map(crate::storage::Layer::diff).collect();
        let job = DiffJob {
            rootfs: place.rootfs.clone(),
            below,
            skip,
            take: true,
            whole: false,
            ids: Ids::default(),
            timestamp: request.timestamp.filter(|_| request.rewrite_timestamp),
        };
        let meta = self.worker()?.diff(job)?.finish(true).context(|| "cannot make a layer of what was changed")?;
        Ok(meta.diff_id)
    }
}
