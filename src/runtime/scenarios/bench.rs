//! Where the time of a start goes: run by hand with `RPOD_TEST_SCENARIO=bench`.

use std::time::{Duration, Instant};

use super::Scenario;
use super::container::{Fixture, code, pipes};

pub(super) const ALL: &[Scenario] = &[("bench", bench), ("once", once)];

const RUNS: usize = 300;

fn once() {
    let mut fixture = Fixture::new();
    fixture.overlay = true;
    fixture.volatile = true;
    fixture.args(&["/bin/true"]).run().expect("runs");
}

#[expect(clippy::print_stderr, reason = "the result of a measurement by hand")]
fn bench() {
    let mut fixture = Fixture::new();
    fixture.overlay = true;
    let spec = fixture.args(&["/bin/true"]).typed();
    let mut times: [Vec<Duration>; 4] = std::array::from_fn(|_| Vec::with_capacity(RUNS));
    for _ in 0..RUNS {
        let (stdio, _out, _err) = pipes();
        let begin = Instant::now();
        let mut created = fixture.create(&spec, stdio).expect("creates");
        let after_create = begin.elapsed();
        created.start().expect("starts");
        let after_start = begin.elapsed();
        code(&created);
        let all = begin.elapsed();
        for (list, time) in times.iter_mut().zip([after_create, after_start - after_create, all - after_start, all]) {
            list.push(time);
        }
    }
    let mut joins = Vec::with_capacity(RUNS);
    let spec = fixture.args(&["/bin/sleep", "1000"]).typed();
    let mut created = fixture.create(&spec, pipes().0).expect("creates");
    created.start().expect("starts");
    for _ in 0..RUNS {
        let begin = Instant::now();
        let child = super::joining::join(&fixture, &created, &["/bin/true"], &pipes().0).expect("joins");
        super::joining::end(&child.pidfd);
        joins.push(begin.elapsed());
    }
    for (name, list) in ["create", "start", "exit", "all", "exec"].iter().zip(times.iter_mut().chain([&mut joins])) {
        list.sort();
        eprintln!("{name:8} median {:?}  min {:?}", list[RUNS / 2], list[0]);
    }
}
