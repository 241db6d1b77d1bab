//! The same image through every driver, and through [`LayerView`]: one expected result.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use super::tarball::{Header, Tar, header};
use super::{Fixture, Scenario};
use crate::image::builtin;
use crate::image::digest::DiffId;
use crate::storage::collect::Freed;
use crate::storage::worker::UnpackWorker;
use crate::storage::{DriverName, Keep, LayerView, RootfsPlan};
use crate::userns::enter;

pub(super) const ALL: &[Scenario] = &[
    ("overlay", || driver(DriverName::Overlay)),
    ("fuse-overlayfs", || driver(DriverName::FuseOverlayfs)),
    ("copy", || driver(DriverName::Copy)),
    ("default-driver", default_driver),
    ("view", view),
    ("hidden-root", hidden_root),
    ("collect", collect),
    ("names-side-by-side", names_side_by_side),
    ("builtin", hello),
];

/// Bottom first.
fn image() -> Vec<Vec<u8>> {
    let base = Tar::default()
        .entry(&Header { mode: 0o555, ..header("./", b'5') }, b"")
        .dir("etc")
        .file("etc/passwd", b"one")
        .file("etc/group", b"g")
        .dir("usr/lib")
        .symlink("lib", "usr/lib")
        .symlink("usr/lib/absolute", "/etc/group")
        .symlink("out", "../../../../etc/group")
        .file("usr/lib/a", b"a")
        .dir("d")
        .file("d/x", b"x")
        .file("d/y", b"y")
        .file("gone", b"g")
        .dir("dir-to-file")
        .file("dir-to-file/x", b"x")
        .file("file-to-dir", b"f")
        .file("hard1", b"hard")
        .hard_link("hard2", "hard1")
        .entry(&Header { uid: 10, gid: 20, mode: 0o6711, ..header("setuid", b'0') }, b"s")
        .dir("opaque")
        .file("opaque/old", b"o")
        .dir("opaque/sub")
        .file("opaque/sub/old", b"o")
        .end();
    let middle = Tar::default()
        .file(".wh.gone", b"")
        .dir("d")
        .file("d/.wh.x", b"")
        .file("d/z", b"z")
        .file("dir-to-file", b"now a file")
        .dir("file-to-dir")
        .file("file-to-dir/x", b"x")
        .dir("opaque")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"n")
        .dir("opaque/sub")
        .dir("etc")
        .pax(&[("mtime", b"1600000000.987654321")])
        .file("etc/passwd", b"two")
        .end();
    let top = Tar::default()
        .file(".wh.d", b"")
        .dir("d")
        .file("d/fresh", b"f")
        .entry(&Header { mode: 0o1777, ..header("tmp", b'5') }, b"")
        .end();
    vec![base, middle, top]
}

fn expected(single: bool) -> BTreeMap<String, String> {
    let file = |content: &str| format!("- 644 0:0 {content}");
    let dir = || "d 755 0:0".to_owned();
    let lines = [
        ("", "d 555 0:0".to_owned()),
        ("etc", dir()),
        ("etc/passwd", file("two")),
        ("etc/group", file("g")),
        ("usr", dir()),
        ("usr/lib", dir()),
        ("usr/lib/a", file("a")),
        ("usr/lib/absolute", "l 777 0:0 /etc/group".to_owned()),
        ("lib", "l 777 0:0 usr/lib".to_owned()),
        ("out", "l 777 0:0 ../../../../etc/group".to_owned()),
        ("d", dir()),
        ("d/fresh", file("f")),
        ("dir-to-file", file("now a file")),
        ("file-to-dir", dir()),
        ("file-to-dir/x", file("x")),
        ("hard1", file("hard")),
        ("hard2", file("hard")),
        ("setuid", format!("- 6711 {} s", if single { "0:0" } else { "10:20" })),
        ("opaque", dir()),
        ("opaque/new", file("n")),
        ("opaque/sub", dir()),
        ("tmp", "d 1777 0:0".to_owned()),
    ];
    lines.into_iter().map(|(name, line)| (name.to_owned(), line)).collect()
}

pub(super) fn load(f: &Fixture) -> Vec<DiffId> {
    image().iter().map(|tar| f.layer(tar).0.diff_id).collect()
}

/// What a container would see; runs as root of its namespace.
pub(super) fn list(root: &Path) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    let mut todo = vec![String::new()];
    while let Some(name) = todo.pop() {
        let path = root.join(&name);
        let meta = std::fs::symlink_metadata(&path).expect("stats");
        let (kind, content) = if meta.is_dir() {
            for entry in std::fs::read_dir(&path).expect("reads") {
                let child = entry.expect("reads").file_name().into_string().expect("is text");
                todo.push(if name.is_empty() { child } else { format!("{name}/{child}") });
            }
            ('d', String::new())
        } else if meta.is_symlink() {
            ('l', std::fs::read_link(&path).expect("reads").display().to_string())
        } else {
            ('-', std::fs::read_to_string(&path).expect("reads"))
        };
        let line = format!("{kind} {:o} {}:{} {content}", meta.mode() & 0o7777, meta.uid(), meta.gid());
        lines.insert(name, line.trim_end().to_owned());
    }
    lines
}

/// Runs `f` on the mounted root as root of a user namespace.
pub(super) fn mounted(f: &Fixture, plan: &RootfsPlan, check: impl FnOnce(&Path)) {
    let target = f.base.join("merged");
    std::fs::create_dir_all(&target).expect("makes");
    let join = |lower: &[PathBuf]| lower.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
    // A string of fsconfig(2) may have 255 bytes.
    let open = |path: &PathBuf| std::fs::File::open(path).expect("opens");
    let name = |file: &std::fs::File| format!("/proc/self/fd/{}", file.as_raw_fd());
    enter::run(&f.maps, || {
        match plan {
            RootfsPlan::Directory { path } => check(path),
            RootfsPlan::Overlay { lower, upper, work } => {
                let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).expect("opens overlayfs");
                let lower: Vec<std::fs::File> = lower.iter().map(open).collect();
                let names = lower.iter().map(name).collect::<Vec<_>>().join(":");
                let (upper, work) = (open(upper), open(work));
                fsconfig_set_string(&context, "lowerdir", names).expect("sets");
                fsconfig_set_string(&context, "upperdir", name(&upper)).expect("sets");
                fsconfig_set_string(&context, "workdir", name(&work)).expect("sets");
                fsconfig_set_flag(&context, "userxattr").expect("sets");
                fsconfig_create(&context).expect("creates");
                let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).expect("mounts");
                move_mount(&mount, "", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).expect("attaches");
                check(&target);
            }
            RootfsPlan::FuseOverlayfs { lower, upper, work, program } => {
                let option =
                    format!("lowerdir={},upperdir={},workdir={}", join(lower), upper.display(), work.display());
                let status = Command::new(program).arg("-o").arg(option).arg(&target).status().expect("runs");
                assert!(status.success());
                check(&target);
                unmount(&target, UnmountFlags::DETACH).expect("unmounts");
            }
        }
        Ok(())
    })
    .expect("is as it should be");
}

fn driver(driver: DriverName) {
    let mut f = Fixture::new();
    let layers = load(&f);
    f.store = f.store.clone().with_driver(Some(driver));
    let dir = f.dirs.host.join("containers/c1");
    let plan = f.store.prepare_rootfs(&layers, &dir, &crate::storage::IdShift::None).expect("prepares");
    assert_eq!(plan, f.store.prepare_rootfs(&layers, &dir, &crate::storage::IdShift::None).expect("prepares again"));
    let expected = expected(f.maps.is_single());
    mounted(&f, &plan, |root| {
        let seen = list(root);
        for (name, line) in &expected {
            assert_eq!(seen.get(name), Some(line), "{name} through {driver}");
        }
        assert_eq!(seen.len(), expected.len(), "{seen:#?}");
        let passwd = std::fs::metadata(root.join("etc/passwd")).expect("stats");
        assert_eq!((passwd.mtime(), passwd.mtime_nsec()), (1_600_000_000, 987_654_321));
        let inode = |name: &str| std::fs::metadata(root.join(name)).expect("stats").ino();
        assert_eq!(inode("hard1"), inode("hard2"));
        // And it can be written to.
        std::fs::remove_file(root.join("etc/group")).expect("removes");
        std::fs::remove_dir_all(root.join("opaque")).expect("removes");
        std::fs::create_dir(root.join("opaque")).expect("makes");
        std::fs::write(root.join("etc/passwd"), "three").expect("writes");
        std::fs::rename(root.join("usr/lib/a"), root.join("usr/lib/b")).expect("renames");
        assert_eq!(list(&root.join("opaque")).len(), 1);
    });
    // The layers are as they were, and the view knows what the container did.
    for tar in image() {
        assert!(f.pack(&DiffId::of(&tar)) == tar);
    }
    let view = LayerView::new(&plan.directories()).expect("opens");
    let read = |path| view.read_file(path, 100).expect("reads");
    assert_eq!(read("etc/passwd").as_deref(), Some(&b"three"[..]));
    assert_eq!(read("etc/group"), None);
    assert_eq!(read("lib/b").as_deref(), Some(&b"a"[..]));
    assert!(view.exists("opaque").expect("looks") && !view.exists("opaque/new").expect("looks"));
    // Nothing is left in the places where the driver was tried.
    let names =
        |dir: &Path| std::fs::read_dir(dir).expect("reads").map(|e| e.expect("reads").file_name()).collect::<Vec<_>>();
    assert!(f.staging_is_empty());
    assert_eq!(names(&f.dirs.host).len(), 2, "{:?}", names(&f.dirs.host));
}

fn default_driver() {
    let f = Fixture::new();
    let inode = || std::fs::metadata(f.dirs.host.join("driver.json")).map(|meta| meta.ino()).ok();
    assert_eq!(f.store.driver().expect("finds a driver"), DriverName::Overlay);
    let found = inode();
    assert_eq!(f.store.driver().expect("remembers"), DriverName::Overlay);
    assert!(found.is_some() && inode() == found, "it was looked for again");
    let error = "zfs".parse::<DriverName>().expect_err("is unknown");
    assert!(error.to_string().contains("zfs"));
}

fn view() {
    let f = Fixture::new();
    let layers = f.store.layers(&load(&f)).expect("are there");
    let diffs: Vec<PathBuf> = layers.iter().rev().map(crate::storage::layer::Layer::diff).collect();
    let view = LayerView::new(&diffs).expect("opens");
    for (name, line) in expected(f.maps.is_single()) {
        assert!(view.exists(&name).expect("looks"), "{name}");
        let content = || view.read_file(&format!("/{name}"), 100).expect("reads");
        match line.strip_prefix("- 644 0:0 ") {
            Some(expected) => assert_eq!(content().as_deref(), Some(expected.as_bytes()), "{name}"),
            None if line.starts_with('d') => assert_eq!(content(), None, "{name}"),
            // Another user's, or a link.
            None => {}
        }
    }
    for (name, content) in [
        ("lib/a", Some("a")),
        ("lib/../../etc/./passwd", Some("two")),
        ("lib/absolute", Some("g")),
        ("out", Some("g")),
        ("../../etc/group", Some("g")),
        ("gone", None),
        ("d/x", None),
        ("d/y", None),
        ("d/z", None),
        ("opaque/old", None),
        ("opaque/sub/old", None),
        ("dir-to-file/x", None),
        ("etc/passwd/x", None),
        ("", None),
        ("nowhere/at/all", None),
    ] {
        let seen = view.read_file(name, 100).expect("reads");
        assert_eq!(seen.as_deref(), content.map(str::as_bytes), "{name}");
    }
    assert!(view.read_file("etc/passwd", 2).is_err(), "too large");
}

/// An opaque root hides every layer below, which overlayfs does not do by itself.
fn hidden_root() {
    let f = Fixture::new();
    let below = f.layer(&Tar::default().file("old", b"o").end()).0.diff_id;
    let above = f.layer(&Tar::default().file(".wh..wh..opq", b"").file("new", b"n").end()).0.diff_id;
    let plan =
        f.store.prepare_rootfs(&[below, above], &f.base.join("c1"), &crate::storage::IdShift::None).expect("prepares");
    mounted(&f, &plan, |root| assert_eq!(list(root).len(), 2));
    let plan = f.store.prepare_rootfs(&[], &f.base.join("c2"), &crate::storage::IdShift::None).expect("prepares");
    mounted(&f, &plan, |root| assert_eq!(list(root).len(), 1));
    let missing = f.store.prepare_rootfs(&[DiffId::of(b"x")], &f.base.join("c3"), &crate::storage::IdShift::None);
    assert!(missing.is_err());
}

/// Whoever removes the last name of a repository takes its directory away from those who write one there.
fn names_side_by_side() {
    let f = Fixture::new();
    let manifest = f.store.put_blob(b"{}").expect("puts");
    std::thread::scope(|scope| {
        for tag in ["a", "b", "c"] {
            let name = format!("host/dir/name:{tag}");
            let store = &f.store;
            scope.spawn(move || {
                for _ in 0..1000 {
                    store.set_ref(&name, &manifest).expect("sets");
                    store.remove_ref(&name).expect("removes");
                }
            });
        }
    });
    assert!(f.store.list_refs().named.is_empty());
}

fn collect() {
    let mut f = Fixture::new();
    let image = |name: &str, owner: u64| {
        let tar = Tar::default()
            .entry(&Header { uid: owner, mode: 0o500, ..header("d", b'5') }, b"")
            .file("d/f", name.as_bytes())
            .end();
        let (meta, _) = f.layer(&tar);
        let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#, meta.diff_id);
        let config = f.store.put_blob(config.as_bytes()).expect("puts");
        let manifest = format!(r#"{{"config":{{"digest":"{config}"}},"layers":[]}}"#);
        let manifest = f.store.put_blob(manifest.as_bytes()).expect("puts");
        f.store.set_ref(name, &manifest).expect("sets");
        (manifest, meta.diff_id)
    };
    let one = image("host/one:1", 5);
    let two = image("host/two:1", 6);
    let three = image("host/three:1", 7);
    let index = format!(r#"{{"manifests":[{{"digest":"{}"}},{{"digest":"{}"}}]}}"#, one.0, DiffId::of(b"elsewhere"));
    let index = f.store.put_blob(index.as_bytes()).expect("puts");
    f.store.set_ref("host/one:1", &index).expect("sets");
    // Only a single-threaded process may collect, and this worker's thread is another process.
    f.worker = None;
    f.store.remove_ref("host/two:1").expect("removes");
    f.store.remove_ref("host/three:1").expect("removes");
    assert!(f.store.remove_ref("host/three:1").is_err());
    let keep = || Ok(Keep { layers: [three.1].into(), ..Keep::default() });
    let freed = f.store.try_collect(keep).expect("collects").expect("nobody fetches");
    assert_eq!((freed.layers, freed.blobs), (1, 4));
    assert!(f.store.layer(&one.1).is_some() && f.store.layer(&two.1).is_none() && f.store.layer(&three.1).is_some());
    assert!(f.store.read_blob(&one.0).is_ok() && f.store.read_blob(&two.0).is_err());
    assert_eq!(f.store.list_refs().named, [("host/one:1".to_owned(), index)]);
    assert_eq!(
        f.store
            .try_collect(|| Ok(Keep { layers: [three.1].into(), ..Keep::default() }))
            .expect("collects")
            .expect("nobody fetches"),
        Freed::default()
    );
    assert!(f.staging_is_empty());
    // A damaged document may lead to whole layers: nothing is removed then.
    let path = f.dirs.data.join("blobs/sha256").join(one.0.hex());
    std::fs::File::create(path).and_then(|mut file| file.write_all(b"{}")).expect("damages");
    assert!(f.store.try_collect(|| Ok(Keep::default())).is_err());
    assert!(f.store.layer(&one.1).is_some());
    f.worker = Some(UnpackWorker::start(&f.store, &f.maps).expect("starts"));
}

fn hello() {
    let f = Fixture::new();
    f.store.ensure_builtin(&f.maps).expect("puts it there");
    let manifest = f.store.get_ref(builtin::NAME).expect("reads").expect("is there");
    f.store.ensure_builtin(&f.maps).expect("leaves it there");
    assert!(f.store.read_blob(&manifest).is_ok());
    let layer = f.store.list_layers().expect("lists");
    let program = f.store.layer(&layer[0]).expect("is there").diff().join("hello");
    let output = Command::new(program).output().expect("runs");
    assert!(output.status.success() && output.stdout.starts_with(b"Hello from rpod!\n"));
}

#[test]
fn every_driver() {
    for (name, _) in ALL {
        crate::sys::scenario::check(&format!("storage:{name}"));
    }
}
