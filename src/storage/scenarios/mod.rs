//! The store at work in single-threaded processes of every kind of user (see `sys::scenario`).

mod bench;
mod changes;
mod drivers;
mod hostile;
mod layers;
mod tarball;

use std::fs::Metadata;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::layer::LayerMeta;
use super::worker::{UnpackJob, UnpackWorker};
use super::{Limits, Store, remove_path};
use crate::error::Result;
use crate::image::digest::DiffId;
use crate::state::paths::Dirs;
use crate::userns::{IdMaps, IdRange, enter};

/// Runs one scenario; it panics when something is not as it should be.
pub(crate) fn run(name: &str) {
    let all = [layers::ALL, hostile::ALL, drivers::ALL, changes::ALL, bench::ALL];
    match all.into_iter().flatten().find(|(known, _)| *known == name) {
        Some((_, scenario)) => scenario(),
        None => panic!("no scenario {name}"),
    }
}

type Scenario = (&'static str, fn());

/// A fresh store with a worker, beside a directory that nothing may touch.
struct Fixture {
    base: PathBuf,
    dirs: Dirs,
    store: Store,
    maps: IdMaps,
    worker: Option<UnpackWorker>,
}

impl Fixture {
    fn new() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let base = std::env::temp_dir().join(format!("rpod-test-{uid}-{}", std::process::id()));
        std::fs::create_dir(&base).expect("makes a directory");
        let dirs = Dirs { data: base.join("data"), host: base.join("hosts/test"), runtime: base.join("run") };
        dirs.create().expect("makes directories");
        let store = Store::open(&dirs).expect("opens the store");
        let maps = IdMaps::for_user().expect("finds ids");
        let worker = UnpackWorker::start(&store, &maps).expect("starts a worker");
        Self { base, dirs, store, maps, worker: Some(worker) }
    }

    fn worker(&self) -> &UnpackWorker {
        self.worker.as_ref().expect("a worker")
    }

    fn unpack(&self, tar: &[u8]) -> Result<LayerMeta> {
        self.unpack_with(tar, UnpackJob { expected: None, limits: Limits::default(), source: None })
    }

    fn unpack_with(&self, tar: &[u8], job: UnpackJob) -> Result<LayerMeta> {
        let (mut pipe, pending) = self.worker().unpack(job)?;
        // A refused layer breaks the pipe; finish tells why.
        let _ = pipe.write_all(tar);
        drop(pipe);
        pending.finish(true)
    }

    /// Unpacks a layer that must be all right, and shows that its tar comes back.
    fn layer(&self, tar: &[u8]) -> (LayerMeta, PathBuf) {
        let meta = self.unpack(tar).expect("unpacks");
        assert_eq!(meta.diff_id, DiffId::of(tar));
        assert_eq!(meta.size, tar.len() as u64);
        let again = self.pack(&meta.diff_id);
        assert!(again == tar, "the rebuilt tar differs");
        let diff = self.store.layer(&meta.diff_id).expect("is in the store").diff();
        (meta, diff)
    }

    fn pack(&self, diff_id: &DiffId) -> Vec<u8> {
        let mut packing = self.worker().pack(diff_id).expect("packs");
        let mut tar = Vec::new();
        packing.reader.read_to_end(&mut tar).expect("reads");
        packing.finish().expect("packs to the end");
        tar
    }

    /// Owner and group as the container sees them.
    fn owner(&self, meta: &Metadata) -> (u32, u32) {
        let seen = |ranges: &[IdRange], id: u32| {
            let range = ranges.iter().find(|r| id >= r.host && id - r.host < r.size).expect("mapped");
            range.container + (id - range.host)
        };
        (seen(&self.maps.uids, meta.uid()), seen(&self.maps.gids, meta.gid()))
    }

    fn remove_layer(&self, diff_id: &DiffId) {
        let dir = self.store.layer_dir(diff_id);
        enter::run(&self.maps, || remove_path(&dir)).expect("removes");
    }

    fn staging_is_empty(&self) -> bool {
        std::fs::read_dir(self.dirs.data.join("staging")).expect("reads").next().is_none()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if self.worker.take().is_some() {
            enter::run(&self.maps, || remove_path(&self.base)).expect("cleans up");
        }
    }
}

fn stat(dir: &Path, name: &str) -> Metadata {
    std::fs::symlink_metadata(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}
