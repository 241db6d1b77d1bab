//! Not a test: how fast a layer given as RPOD_BENCH_LAYER is unpacked and rebuilt.
//! `RPOD_TEST_SCENARIO=storage:bench RPOD_BENCH_LAYER=layer.tar.gz <test executable>`

use std::io::Read;
use std::time::Instant;

use super::{Fixture, Scenario};
use crate::storage::Limits;
use crate::storage::worker::UnpackJob;

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
    let text =
        format!("{} entries, {} bytes: unpack {unpacked:?}, pack {:?}\n", meta.entries, meta.size, start.elapsed());
    rustix::io::write(rustix::stdio::stderr(), text.as_bytes()).expect("writes");
}
