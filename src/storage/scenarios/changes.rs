//! What a container has changed, through every driver: as a list, as a tar, as a layer copied and a layer taken.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, XattrFlags, lgetxattr, lsetxattr};

use super::drivers::{list, load, mounted};
use super::{Fixture, Scenario};
use crate::image::digest::DiffId;
use crate::storage::diff::{self, ChangeKind, DiffJob, Ids};
use crate::storage::{DriverName, IdShift, RootfsPlan};
use crate::userns::enter;

pub(super) const ALL: &[Scenario] = &[
    ("diff-overlay", || driver(DriverName::Overlay)),
    ("diff-fuse-overlayfs", || driver(DriverName::FuseOverlayfs)),
    ("diff-copy", || driver(DriverName::Copy)),
    ("diff-odd", odd),
];

/// As a program in a container would.
fn change(root: &Path) {
    let path = |name: &str| root.join(name);
    std::fs::remove_file(path("etc/group")).expect("removes");
    std::fs::remove_dir_all(path("opaque")).expect("removes");
    std::fs::create_dir(path("opaque")).expect("makes");
    std::fs::write(path("opaque/again"), "again").expect("writes");
    std::fs::write(path("etc/passwd"), "three").expect("writes");
    std::fs::rename(path("usr/lib/a"), path("usr/lib/b")).expect("renames");
    std::fs::set_permissions(path("tmp"), std::fs::Permissions::from_mode(0o700)).expect("chmod");
    std::fs::create_dir(path("new")).expect("makes");
    std::fs::write(path("new/one"), vec![7; 700]).expect("writes");
    std::fs::hard_link(path("new/one"), path("new/two")).expect("links");
    std::fs::write(path("new/empty"), "").expect("writes");
    symlink("/etc/passwd", path("new/link")).expect("links");
    rustix::fs::mknodat(CWD, path("new/fifo"), rustix::fs::FileType::Fifo, 0o640.into(), 0).expect("mkfifo");
    drop(std::os::unix::net::UnixListener::bind(path("new/socket")).expect("binds"));
    lsetxattr(path("new/one"), "user.note", b"a\0b", XattrFlags::empty()).expect("sets");
    // The runtime's.
    std::fs::create_dir(path("proc")).expect("makes");
    std::fs::write(path("usr/hosts"), "").expect("writes");
    let long = format!("new/{}", "n".repeat(200));
    std::fs::write(path(&long), "l").expect("writes");
    symlink("x".repeat(300), path("new/long-link")).expect("links");
    let old = rustix::fs::Timespec { tv_sec: -5, tv_nsec: 250_000_000 };
    let times = rustix::fs::Timestamps { last_access: old, last_modification: old };
    rustix::fs::utimensat(CWD, path("new/empty"), &times, rustix::fs::AtFlags::empty()).expect("sets");
}

const SKIP: [&str; 4] = ["proc", "usr/hosts", "dev", "new"];

fn expected() -> Vec<(ChangeKind, String)> {
    use ChangeKind::{Added, Changed, Deleted};
    let long = format!("/new/{}", "n".repeat(200));
    [
        (Changed, "/etc"),
        (Deleted, "/etc/group"),
        (Changed, "/etc/passwd"),
        (Added, "/new"),
        (Added, "/new/empty"),
        (Added, "/new/fifo"),
        (Added, "/new/link"),
        (Added, "/new/long-link"),
        (Added, &long),
        (Added, "/new/one"),
        (Added, "/new/two"),
        (Changed, "/opaque"),
        (Added, "/opaque/again"),
        (Changed, "/tmp"),
        (Changed, "/usr"),
        (Changed, "/usr/lib"),
        (Deleted, "/usr/lib/a"),
        (Added, "/usr/lib/b"),
    ]
    .map(|(kind, path)| (kind, path.to_owned()))
    .to_vec()
}

fn changed(f: &Fixture, layers: &[DiffId], name: &str) -> (RootfsPlan, DiffJob) {
    let dir = f.dirs.host.join("containers").join(name);
    let plan = f.store.prepare_rootfs(layers, &dir, &IdShift::None).expect("prepares");
    mounted(f, &plan, change);
    let below = below(f, layers);
    let skip = SKIP.map(str::to_owned).to_vec();
    (
        plan.clone(),
        DiffJob { rootfs: plan, below, skip, take: false, whole: false, ids: Ids::default(), timestamp: None },
    )
}

fn below(f: &Fixture, layers: &[DiffId]) -> Vec<PathBuf> {
    f.store.layers(layers).expect("are there").iter().rev().map(crate::storage::layer::Layer::diff).collect()
}

fn driver(driver: DriverName) {
    let mut f = Fixture::new();
    let layers = load(&f);
    f.store = f.store.clone().with_driver(Some(driver));
    let (plan, job) = changed(&f, &layers, "c1");
    let seen = enter::run(&f.maps, || diff::changes(&job.rootfs, &job.below, &job.skip, &job.ids)).expect("lists");
    let mut seen: Vec<_> = seen.into_iter().map(|change| (change.kind, change.path)).collect();
    // Of a directory that was made anew, the copy driver knows what has gone, the others only that it is another.
    if let Some(opaque) = seen.iter_mut().find(|(_, path)| path == "/opaque") {
        let kind = if driver == DriverName::Copy { ChangeKind::Changed } else { ChangeKind::Deleted };
        assert_eq!(std::mem::replace(&mut opaque.0, ChangeKind::Changed), kind);
    }
    seen.retain(|(kind, path)| !(*kind == ChangeKind::Deleted && path.starts_with("/opaque/")));
    assert_eq!(seen, expected());
    let copied = f.worker().diff(job.clone()).expect("asks").finish(true).expect("makes a layer");
    assert_eq!(DiffId::of(&f.pack(&copied.diff_id)), copied.diff_id);
    let again = f.worker().diff(job.clone()).expect("asks").finish(true).expect("makes it again");
    assert_eq!(again.diff_id, copied.diff_id);
    let RootfsPlan::Overlay { upper, .. } = &plan else { return check(&mut f, &layers, copied.diff_id) };
    // Out of the store again, and made by taking the directory: it must be the same in every byte.
    f.remove_layer(&copied.diff_id);
    let job = DiffJob { take: true, ..job };
    let taken = f.worker().diff(job).expect("asks").finish(true).expect("takes");
    assert_eq!(taken, copied);
    assert!(!upper.exists());
    assert_eq!(DiffId::of(&f.pack(&taken.diff_id)), taken.diff_id);
    check(&mut f, &layers, taken.diff_id);
}

/// The new layer on top of the old ones shows what the container saw.
fn check(f: &mut Fixture, layers: &[DiffId], top: DiffId) {
    f.store = f.store.clone().with_driver(None);
    let layers = [layers, &[top]].concat();
    let plan = f.store.prepare_rootfs(&layers, &f.dirs.host.join("containers/c2"), &IdShift::None).expect("prepares");
    mounted(f, &plan, |root| {
        let meta = |name: &str| std::fs::symlink_metadata(root.join(name)).expect("stats");
        for gone in ["etc/group", "opaque/new", "opaque/sub", "usr/lib/a", "proc", "usr/hosts", "new/socket"] {
            assert!(!root.join(gone).exists(), "{gone}");
        }
        let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("reads");
        assert_eq!(
            (read("etc/passwd"), read("usr/lib/b"), read("opaque/again")),
            ("three".into(), "a".into(), "again".into())
        );
        assert_eq!((meta("tmp").mode() & 0o7777, meta("").mode() & 0o7777), (0o700, 0o555));
        assert_eq!(meta("new/one").ino(), meta("new/two").ino());
        assert!(meta("new/fifo").file_type().is_fifo());
        assert_eq!(meta("new/fifo").mode() & 0o7777, 0o640);
        assert_eq!((meta("new/empty").mtime(), meta("new/empty").mtime_nsec()), (-5, 250_000_000));
        assert_eq!(std::fs::read_link(root.join("new/long-link")).expect("reads").as_os_str().len(), 300);
        let mut value = [0; 16];
        let length = lgetxattr(root.join("new/one"), "user.note", &mut value[..]).expect("gets");
        assert_eq!(&value[..length], b"a\0b");
    });
    // The whole root as a tar has all of it, and only it.
    let directories = plan.directories();
    let expected = std::cell::RefCell::new(Vec::new());
    let target = f.base.join("paths");
    mounted(f, &plan, |root| {
        let names: Vec<String> = list_names(root);
        std::fs::write(&target, names.join("\n")).expect("writes");
    });
    let text = std::fs::read_to_string(&target).expect("reads");
    expected.borrow_mut().extend(text.lines().map(str::to_owned));
    let tar = f.base.join("export.tar");
    enter::run(&f.maps, || diff::export_layers(&directories, std::fs::File::create(&tar).expect("makes")))
        .expect("exports");
    let mut archive = tar::Archive::new(std::fs::File::open(&tar).expect("opens"));
    let mut names: Vec<String> = archive
        .entries()
        .expect("reads")
        .map(|entry| entry.expect("reads").path().expect("a path").display().to_string())
        .map(|name| name.trim_end_matches('/').trim_start_matches("./").to_owned())
        .collect();
    names.sort();
    assert_eq!(names, expected.into_inner());
}

/// Sorted.
fn list_names(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut todo = vec![String::new()];
    while let Some(name) = todo.pop() {
        let path = root.join(&name);
        if path.is_dir() && !path.is_symlink() {
            for entry in std::fs::read_dir(&path).expect("reads") {
                let child = entry.expect("reads").file_name().into_string().expect("is text");
                todo.push(if name.is_empty() { child } else { format!("{name}/{child}") });
            }
        }
        names.push(if name.is_empty() { ".".to_owned() } else { name });
    }
    names.sort();
    names
}

/// What is no change, what cannot be one, and a layer that nobody keeps.
fn odd() {
    let f = Fixture::new();
    let layers = load(&f);
    let job = |name: &str, change: &dyn Fn(&Path)| {
        let plan = f
            .store
            .prepare_rootfs(&layers, &f.dirs.host.join("containers").join(name), &IdShift::None)
            .expect("prepares");
        mounted(&f, &plan, change);
        DiffJob {
            rootfs: plan,
            below: below(&f, &layers),
            skip: Vec::new(),
            take: false,
            whole: false,
            ids: Ids::default(),
            timestamp: Some(7),
        }
    };
    let nothing = job("nothing", &|_| {});
    let layer = f.worker().diff(nothing.clone()).expect("asks").finish(false).expect("makes a layer");
    assert_eq!((layer.entries, layer.size), (0, 1024));
    let taken = f.worker().diff(DiffJob { take: true, ..nothing }).expect("asks").finish(false).expect("makes a layer");
    assert_eq!(taken.diff_id, layer.diff_id);
    assert!(f.store.layer(&layer.diff_id).is_none() && f.staging_is_empty());
    // One time for all: only the names decide.
    let tmp = |root: &Path| std::fs::write(root.join("tmp/x"), "x").expect("writes");
    let ids: Vec<DiffId> = ["a", "b"]
        .map(|name| f.worker().diff(DiffJob { take: name == "b", ..job(name, &tmp) }).expect("asks"))
        .map(|pending| pending.finish(true).expect("makes a layer").diff_id)
        .to_vec();
    assert_eq!(ids[0], ids[1]);
    let whiteout = job("whiteout", &|root| std::fs::write(root.join("tmp/.wh.x"), "").expect("writes"));
    for take in [false, true] {
        let job = DiffJob { take, ..whiteout.clone() };
        let refused = f.worker().diff(job).expect("asks").finish(true).expect_err("is refused").to_string();
        assert!(refused.contains("tmp/.wh.x cannot be part of a layer"), "{refused}");
    }
    // The root itself.
    let root = job("root", &|root| {
        std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o750)).expect("chmod");
    });
    let layer = f.worker().diff(root).expect("asks").finish(true).expect("makes a layer");
    assert_eq!(layer.entries, 1);
    let plan = f
        .store
        .prepare_rootfs(&[&layers[..], &[layer.diff_id]].concat(), &f.base.join("c3"), &IdShift::None)
        .expect("prepares");
    mounted(&f, &plan, |root| {
        assert_eq!(std::fs::metadata(root).expect("stats").mode() & 0o7777, 0o755);
        assert!(list(root).len() > 5);
    });
    let (ids, all, some) = (Ids::default(), below(&f, &layers), below(&f, &layers[..2]));
    let between = enter::run(&f.maps, || diff::between((&all, &ids), (&some, &ids))).expect("compares");
    let between: Vec<_> = between.into_iter().map(|change| (change.kind, change.path)).collect();
    use ChangeKind::{Added, Changed, Deleted};
    let expected = [(Changed, "/d"), (Added, "/d/fresh"), (Deleted, "/d/y"), (Deleted, "/d/z"), (Added, "/tmp")];
    assert_eq!(between, expected.map(|(kind, path)| (kind, path.to_owned())));
}

#[test]
fn changes_make_layers() {
    for (name, _) in ALL {
        crate::sys::scenario::check(&format!("storage:{name}"));
    }
}
