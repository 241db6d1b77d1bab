//! Containers made from small Specs of the tests' own, each in a single-threaded process (see `sys::scenario`).

mod attacks;
mod basics;
mod bench;
mod container;
mod joining;
mod settings;
mod userns;

pub(crate) fn all() -> impl Iterator<Item = Scenario> {
    let all = [userns::ALL, basics::ALL, bench::ALL, attacks::ALL, joining::ALL, settings::ALL];
    all.into_iter().flatten().copied()
}

pub(crate) type Scenario = (&'static str, fn());
