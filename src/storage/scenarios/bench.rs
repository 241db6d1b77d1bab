//! Not a test: how fast a layer given as RPOD_BENCH_LAYER is unpacked and rebuilt.
//! `RPOD_TEST_SCENARIO=storage:bench RPOD_BENCH_LAYER=layer.tar.gz <test executable>`

use std::io::Read;
use std::time::Instant;

use super::{Fixture, Scenario};
use crate::storage::worker::UnpackJob;
use crate::storage::{LayerView, Limits};

pub(super) const ALL: &[Scenario] = &[("bench", bench)];

fn bench() {
    let path = std::env::var_os("RPOD_BENCH_LAYER").expect("RPOD_BENCH_LAYER names a layer");
    let f = Fixture::new();
    let job = UnpackJob { expected: None, limits: Limits::default(), source: None };
    let start = Instant::now();
    let (mut pipe, pending) = f.worker().unpack(job).expect("starts");
    std::io::copy(&mut std::fs::File::open(path).expect("opens"), &mut pipe).expect("copies");
    drop(pipe);
    let meta = pending.finish(true).expect("unpacks");
    let unpacked = start.elapsed();
    let start = Instant::now();
    let mut packing = f.worker().pack(&meta.diff_id).expect("packs");
    let mut buffer = vec![0; 1 << 20];
    while packing.reader.read(&mut buffer).expect("reads") > 0 {}
    packing.finish().expect("packs");
    let packed = start.elapsed();
    f.store.driver().expect("finds a driver");
    let start = Instant::now();
    let plan =
        f.store.prepare_rootfs(&[meta.diff_id], &f.base.join("c"), &crate::storage::IdShift::None).expect("prepares");
    let prepared = start.elapsed();
    let start = Instant::now();
    let view = LayerView::new(&plan.directories()).expect("opens");
    view.read_file("etc/passwd", 1 << 20).expect("reads");
    let read = start.elapsed();
    let text = format!(
        "{} entries, {} bytes: unpack {unpacked:?}, pack {packed:?}; prepare {prepared:?}, read a file {read:?}\n",
        meta.entries, meta.size,
    );
    rustix::io::write(rustix::stdio::stderr(), text.as_bytes()).expect("writes");
}
