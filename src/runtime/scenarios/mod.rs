//! Containers made from small Specs of the tests' own, each in a single-threaded process (see `sys::scenario`).

mod attacks;
mod basics;
mod bench;
mod container;
mod joining;
mod settings;
mod userns;

/// Runs one scenario; it panics when something is not as it should be.
pub(crate) fn run(name: &str) {
    let all = [userns::ALL, basics::ALL, bench::ALL, attacks::ALL, joining::ALL, settings::ALL];
    match all.into_iter().flatten().find(|(known, _)| *known == name) {
        Some((_, scenario)) => scenario(),
        None => panic!("no scenario {name}"),
    }
}

type Scenario = (&'static str, fn());
