//! Entering user namespaces.

use super::Scenario;
use crate::error::{Context, Error, Kind};
use crate::sys::scenario::check;
use crate::userns::{IdMaps, enter};

pub(super) const ALL: &[Scenario] = &[("run", run), ("errors", errors), ("panics", panics)];

#[test]
fn closures_run_as_root_of_a_mapped_namespace() {
    check("run");
}

fn run() {
    let maps = IdMaps::for_user().expect("maps");
    let (uid, map) = enter::run(&maps, || {
        let map = std::fs::read_to_string("/proc/self/uid_map").context(|| "no map")?;
        Ok((rustix::process::geteuid().as_raw(), map))
    })
    .expect("runs");
    assert_eq!(uid, 0);
    assert_eq!(map.lines().count(), maps.uids.len(), "{map}");
    match rustix::process::geteuid().as_raw() {
        2101 => assert!(!maps.is_single() && maps.single.is_none(), "{maps:?}"),
        2102 => assert!(maps.is_single() && maps.single.is_some(), "{maps:?}"),
        _ => {}
    }
}

#[test]
fn errors_come_back_with_kind_and_hints() {
    check("errors");
}

fn errors() {
    let maps = IdMaps::for_user().expect("maps");
    let failed = || Err::<(), _>(Error::new("cannot x").with_kind(Kind::Conflict).hint("y"));
    let error = enter::run(&maps, failed).expect_err("fails");
    assert_eq!((error.to_string().as_str(), error.kind(), error.hints().len()), ("cannot x", Kind::Conflict, 1));
}

#[test]
fn a_panic_is_an_error() {
    check("panics");
}

fn panics() {
    let maps = IdMaps::for_user().expect("maps");
    assert!(enter::run::<()>(&maps, || panic!("boom")).is_err());
    assert_eq!(enter::spawn(&maps, || 7).expect("spawns").wait().expect("waits"), 7);
}
