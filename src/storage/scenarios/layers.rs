//! What images really contain.

use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::tarball::{Header, Tar, header, seal};
use super::{Fixture, Scenario, stat};
use crate::image::digest::DiffId;
use crate::storage::worker::UnpackJob;
use crate::storage::{Limits, Store};

pub(super) const ALL: &[Scenario] = &[
    ("plain", plain),
    ("owners", owners),
    ("whiteouts", whiteouts),
    ("duplicates", duplicates),
    ("links", links),
    ("sparse", sparse),
    ("names", names),
    ("gnu-tar", gnu_tar),
    ("compressed", compressed),
    ("commit", commit),
    ("killed", killed),
    ("killed-anywhere", killed_anywhere),
];

fn plain() {
    let f = Fixture::new();
    let special = Header { mode: 0o4755, ..header("bin/su", b'0') };
    let tar = Tar::default()
        .entry(&Header { mode: 0o2555, mtime: 77, ..header("./", b'5') }, b"")
        .dir("bin/")
        .entry(&special, b"#!")
        .entry(&Header { mode: 0o1777, mtime: 99, ..header("tmp", b'5') }, b"")
        .pax(&[("mtime", b"1234567890.123456789")])
        .file("./tmp/nanoseconds", b"x")
        .pax(&[("mtime", b"-5.5")])
        .symlink("link", "/etc/passwd")
        .entry(&header("pipe", b'6'), b"")
        .entry(&Header { device: (1, 3), ..header("null", b'3') }, b"")
        .entry(&Header { device: (0, 0), ..header("zero", b'3') }, b"")
        .file("big", &vec![7; 1_000_001])
        .file("empty", b"")
        .file("a/missing/parent", b"p")
        .entry(&Header { mode: 0o555, ..header("closed/", b'5') }, b"")
        .file("closed/file", b"in a directory without write permission")
        .entry(&Header { mode: 0, ..header("none", b'0') }, b"nobody may read this")
        .end();
    let (meta, diff) = f.layer(&tar);
    assert_eq!(meta.entries, 15);
    assert_eq!(stat(&diff, "").mode() & 0o7777, 0o2555);
    assert_eq!(stat(&diff, "").mtime(), 77);
    assert_eq!(stat(&diff, "bin/su").mode() & 0o7777, 0o4755);
    assert_eq!((stat(&diff, "tmp").mode() & 0o7777, stat(&diff, "tmp").mtime()), (0o1777, 99));
    let times = stat(&diff, "tmp/nanoseconds");
    assert_eq!((times.mtime(), times.mtime_nsec()), (1_234_567_890, 123_456_789));
    assert_eq!((stat(&diff, "link").mtime(), stat(&diff, "link").mtime_nsec()), (-6, 500_000_000));
    assert_eq!(std::fs::read_link(diff.join("link")).expect("is a link"), Path::new("/etc/passwd"));
    assert!(stat(&diff, "pipe").file_type().is_fifo());
    assert!(!diff.join("zero").exists(), "a device that would be a whiteout");
    // Even root of the machine unpacks in a user namespace, where nobody may make devices.
    assert_eq!(meta.skipped.devices, 2);
    assert_eq!(stat(&diff, "big").len(), 1_000_001);
    assert_eq!(stat(&diff, "a").mode() & 0o7777, 0o755);
    assert_eq!(stat(&diff, "closed").mode() & 0o7777, 0o555);
    assert_eq!(stat(&diff, "none").mode() & 0o7777, 0);
    assert!(f.staging_is_empty());
}

fn owners() {
    let f = Fixture::new();
    let mut capability = vec![1, 0, 0, 2];
    capability.extend_from_slice(&(1u32 << 13).to_le_bytes());
    capability.extend_from_slice(&[0; 12]);
    let xattrs: [(&str, &[u8]); 4] = [
        ("SCHILY.xattr.security.capability", &capability),
        ("SCHILY.xattr.user.note", b"a\nb\0c"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.whiteout", b"y"),
    ];
    let tar = Tar::default()
        .entry(&Header { uid: 33, gid: 44, mode: 0o2750, ..header("dir", b'5') }, b"")
        .entry(&Header { uid: 1000, gid: 1000, mode: 0o6755, ..header("dir/suid", b'0') }, b"x")
        .pax(&xattrs)
        .entry(&Header { mode: 0o755, ..header("ping", b'0') }, b"x")
        .pax(&[("uid", b"4000000000"), ("gid", b"5")])
        .file("huge-uid", b"x")
        .entry(&Header { uid: 7, gid: 7, link: b"x".to_vec(), ..header("link", b'2') }, b"")
        .end();
    let (meta, diff) = f.layer(&tar);
    let single = f.maps.is_single();
    let expect = |uid, gid| if single { (0, 0) } else { (uid, gid) };
    assert_eq!(f.owner(&stat(&diff, "dir")), expect(33, 44));
    assert_eq!(stat(&diff, "dir").mode() & 0o7777, 0o2750);
    assert_eq!(f.owner(&stat(&diff, "link")), expect(7, 7));
    assert_eq!(meta.skipped.owners > 0, !rustix::process::getuid().is_root());
    assert_eq!(meta.skipped.attributes, 2);
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(diff.join("ping"), "security.capability", &mut value).expect("has a capability");
    // Version 3 carries the namespace's root; the real root writes version 2.
    assert_eq!(length, if rustix::process::getuid().is_root() { 20 } else { 24 });
    let length = rustix::fs::getxattr(diff.join("ping"), "user.note", &mut value).expect("has an attribute");
    assert_eq!(&value[..length], b"a\nb\0c");
    assert!(rustix::fs::getxattr(diff.join("ping"), "user.overlay.opaque", &mut value).is_err());
    if !single {
        // Not to be entered by the user, who is neither its owner nor in its group.
        let seen = crate::userns::enter::run(&f.maps, || Ok(stat(&diff, "dir/suid").mode())).ok();
        assert_eq!(seen.map(|mode| mode & 0o7777), Some(0o6755));
    }
}

fn whiteouts() {
    let f = Fixture::new();
    let tar = Tar::default()
        .dir("d")
        .file("d/.wh.gone", b"")
        .dir("opaque")
        .file("opaque/new", b"n")
        .file("opaque/.wh..wh..opq", b"")
        // Removed and made again: nothing of the old directory may show.
        .file(".wh.again", b"")
        .file("again/inside", b"i")
        .dir("other")
        .file(".wh.other", b"")
        // The entry wins over a whiteout beside it.
        .file(".wh.kept", b"")
        .file("kept", b"k")
        .file("kept2", b"k")
        .file(".wh.kept2", b"whiteouts are empty, but a tar may hold anything")
        .file(".wh..wh.plnk/17.33", b"what AUFS kept")
        .end();
    let (_, diff) = f.layer(&tar);
    let gone = stat(&diff, "d/gone");
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let opaque = |name: &str| crate::storage::whiteout::opaque(std::fs::File::open(diff.join(name)).expect("opens"));
    assert!(opaque("opaque") && opaque("again") && opaque("other") && !opaque("d"));
    assert!(stat(&diff, "kept").is_file() && stat(&diff, "kept2").is_file());
    assert!(!diff.join(".wh.kept2").exists() && !diff.join(".wh..wh.plnk").exists());
}

fn duplicates() {
    let f = Fixture::new();
    let tar = Tar::default()
        .file("twice", b"first")
        .hard_link("linked", "twice")
        .file("twice", b"second")
        .dir("tree")
        .dir("tree/deep")
        .file("tree/deep/file", b"below a directory that a file replaces")
        .file("tree/other", &[9; 5000])
        .file("tree", b"now a file")
        .file("file", b"a file that becomes a directory")
        .dir("file")
        .file("file/x", b"x")
        .file("implied", b"another")
        .file("implied/x", b"in it")
        .symlink("s", "twice")
        .file("s", b"not through the link")
        .entry(&Header { mode: 0o700, ..header("tree", b'5') }, b"")
        .entry(&Header { mode: 0o711, ..header("tree", b'5') }, b"")
        .file("twice", b"third")
        .file(".wh.late", b"")
        .file("late", b"l")
        .end();
    let (_, diff) = f.layer(&tar);
    let read = |name: &str| std::fs::read(diff.join(name)).expect("reads");
    assert_eq!(read("twice"), b"third");
    assert_eq!(read("linked"), b"first");
    assert_eq!(stat(&diff, "tree").mode() & 0o7777, 0o711);
    assert!(!diff.join("tree/other").exists());
    assert_eq!(
        (read("file/x"), read("implied/x"), read("s")),
        (b"x".to_vec(), b"in it".to_vec(), b"not through the link".to_vec())
    );
}

fn links() {
    let f = Fixture::new();
    let tar = Tar::default()
        .dir("usr/lib")
        .symlink("lib", "usr/lib")
        .file("lib/through", b"t")
        .symlink("abs", "/usr")
        .file("abs/lib/absolute", b"a")
        .symlink("usr/up", "../../../usr/lib")
        .file("usr/up/clamped", b"c")
        .hard_link("hard", "lib/through")
        .hard_link("usr/hard2", "/hard")
        .hard_link("symlink2", "lib")
        .symlink("dangling", "/nowhere")
        .file("dangling/file", b"d")
        .symlink("loop", "loop")
        .file("loop/file", b"l")
        // The link that content went through is replaced afterwards.
        .dir("lib")
        .file("lib/own", b"o")
        .end();
    let (_, diff) = f.layer(&tar);
    for name in ["through", "absolute", "clamped"] {
        assert!(stat(&diff.join("usr/lib"), name).is_file(), "{name}");
    }
    assert_eq!(stat(&diff, "hard").ino(), stat(&diff, "usr/lib/through").ino());
    assert_eq!(stat(&diff, "hard").nlink(), 3);
    assert!(stat(&diff, "symlink2").is_symlink() && stat(&diff, "lib").is_dir());
    assert!(stat(&diff, "dangling").is_dir() && stat(&diff, "loop").is_dir());
}

fn sparse() {
    let f = Fixture::new();
    // Old GNU: two stretches in the header, one in an extension block.
    let mut block = Header { size: 512 + 10 + 3, ..header("old", b'S') }.block();
    block[257..265].copy_from_slice(b"ustar  \0");
    let number = |n: u64| format!("{n:011o}\0").into_bytes();
    for (at, n) in [(386, 0), (398, 512), (410, 8192), (422, 10)] {
        block[at..at + 12].copy_from_slice(&number(n));
    }
    block[482] = 1;
    block[483..495].copy_from_slice(&number(1 << 20));
    seal(&mut block);
    let mut extension = [0; 512];
    extension[..12].copy_from_slice(&number(1 << 16));
    extension[12..24].copy_from_slice(&number(3));
    let tar = Tar::default()
        .raw(&block)
        .raw(&extension)
        .raw(&[b'a'; 512])
        .raw(b"bbbbbbbbbbccc")
        .pad()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"new"),
            ("GNU.sparse.realsize", b"9000"),
        ])
        .entry(&header("GNUSparseFile.1/new", b'0'), &{
            let mut content = b"2\n0\n4\n8000\n1000\n".to_vec();
            content.resize(512, 0);
            content.extend_from_slice(b"head");
            content.extend_from_slice(&[b'z'; 1000]);
            content
        })
        .pax(&[("GNU.sparse.size", b"100"), ("GNU.sparse.map", b"90,10"), ("GNU.sparse.numblocks", b"1")])
        .file("format01", b"0123456789")
        .end();
    let (_, diff) = f.layer(&tar);
    let old = std::fs::read(diff.join("old")).expect("reads");
    assert_eq!((old.len(), &old[8192..8203], &old[65536..65540]), (1 << 20, &b"bbbbbbbbbb\0"[..], &b"ccc\0"[..]));
    assert!(stat(&diff, "old").blocks() < 100);
    let new = std::fs::read(diff.join("new")).expect("reads");
    assert_eq!((new.len(), &new[..5], new[8000]), (9000, &b"head\0"[..], b'z'));
    assert_eq!(&std::fs::read(diff.join("format01")).expect("reads")[90..], b"0123456789");
}

fn names() {
    let f = Fixture::new();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(250));
    let mut prefixed = header("short", b'0').block();
    prefixed[345..355].copy_from_slice(b"the/prefix");
    seal(&mut prefixed);
    let gnu = |kind: u8, text: &str| {
        let mut content = text.as_bytes().to_vec();
        content.push(0);
        Tar::default().entry(&header("././@LongLink", kind), &content).0
    };
    let tar = Tar::default()
        .raw(&gnu(b'L', &long))
        .file(&long[..100], b"gnu")
        .pax(&[("path", "päx/näme\n".as_bytes())])
        .file("x", b"pax")
        .raw(&prefixed)
        .raw(&gnu(b'K', &"t".repeat(300)))
        .symlink("longlink", "t")
        .pax(&[("linkpath", "p".repeat(300).as_bytes())])
        .symlink("paxlink", "p")
        .entry(&header("pax_global_header", b'g'), b"11 path=no\n")
        .file("old-directory/", b"")
        .raw(&Header { mtime: 5, ..header("not utf-8 \u{fffd}", b'0') }.block())
        .end();
    let (_, diff) = f.layer(&tar);
    assert_eq!(std::fs::read(diff.join(&long)).expect("reads"), b"gnu");
    assert_eq!(std::fs::read(diff.join("päx/näme\n")).expect("reads"), b"pax");
    assert!(stat(&diff, "the/prefix/short").is_file());
    assert_eq!(std::fs::read_link(diff.join("longlink")).expect("reads").as_os_str().len(), 300);
    assert_eq!(std::fs::read_link(diff.join("paxlink")).expect("reads").as_os_str().len(), 300);
    assert!(stat(&diff, "old-directory").is_dir());
}

/// Archives of a real program, in each of its formats.
fn gnu_tar() {
    let f = Fixture::new();
    let source = f.base.join("source");
    std::fs::create_dir_all(source.join("a/b")).expect("makes");
    std::fs::write(source.join("a/b/text"), "text").expect("writes");
    std::fs::hard_link(source.join("a/b/text"), source.join("a/hard")).expect("links");
    std::os::unix::fs::symlink("b/text", source.join("a/soft")).expect("links");
    let holes = std::fs::File::create(source.join("holes")).expect("makes");
    holes.set_len(3 << 20).expect("grows");
    rustix::io::pwrite(&holes, b"end", (3 << 20) - 3).expect("writes");
    rustix::io::pwrite(&holes, b"middle", 1 << 20).expect("writes");
    for format in ["v7", "oldgnu", "gnu", "ustar", "posix"] {
        let output = std::process::Command::new("tar")
            // The other formats cannot hold it.
            .args(["gnu", "posix"].contains(&format).then_some("--sparse"))
            .args(["--format", format, "-C"])
            .arg(&source)
            .args(["-cf", "-", "."])
            .output()
            .expect("runs tar");
        let (_, diff) = f.layer(&output.stdout);
        assert_eq!(std::fs::read(diff.join("a/hard")).expect("reads"), b"text", "{format}");
        let holes = std::fs::read(diff.join("holes")).unwrap_or_else(|e| panic!("{format}: {e}"));
        assert_eq!((holes.len(), &holes[1 << 20..(1 << 20) + 6]), (3 << 20, &b"middle"[..]), "{format}");
    }
}

fn compressed() {
    let f = Fixture::new();
    let tar = Tar::default().file("f", &vec![b'x'; 700_000]).raw(&[0; 10240]).end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar[..5000]).expect("compresses");
    let mut members = gzip.finish().expect("compresses");
    let mut gzip = flate2::write::GzEncoder::new(members.split_off(members.len()), flate2::Compression::fast());
    gzip.write_all(&tar[5000..]).expect("compresses");
    members.extend(gzip.finish().expect("compresses"));
    let zstd = zstd::encode_all(&tar[..], 3).expect("compresses");
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], &zstd[..]].concat();
    for layer in [&tar, &members, &zstd, &skippable] {
        let job = UnpackJob { expected: Some(DiffId::of(&tar)), limits: Limits::default(), source: None };
        let meta = f.unpack_with(layer, job).expect("unpacks");
        assert_eq!(meta.diff_id, DiffId::of(&tar));
        assert!(f.pack(&meta.diff_id) == tar);
        f.remove_layer(&meta.diff_id);
        assert!(f.store.layer(&meta.diff_id).is_none() && f.staging_is_empty());
    }
}

/// Nothing is kept without a word.
fn commit() {
    let f = Fixture::new();
    let tar = Tar::default().file("f", b"x").end();
    let job = || UnpackJob { expected: None, limits: Limits::default(), source: None };
    let (mut pipe, pending) = f.worker().unpack(job()).expect("starts");
    pipe.write_all(&tar).expect("writes");
    drop(pipe);
    let meta = pending.finish(false).expect("unpacks");
    assert!(f.store.layer(&meta.diff_id).is_none());
    let (pipe, pending) = f.worker().unpack(job()).expect("starts");
    drop((pending, pipe));
    let wrong = UnpackJob { expected: Some(DiffId::of(b"")), ..job() };
    let error = f.unpack_with(&tar, wrong).expect_err("is refused").to_string();
    assert!(error.contains("promised"), "{error}");
    // At the same time, also the same layer twice.
    let (mut one, first) = f.worker().unpack(job()).expect("starts");
    let (mut two, second) = f.worker().unpack(job()).expect("starts");
    one.write_all(&tar).expect("writes");
    two.write_all(&tar).expect("writes");
    drop((one, two));
    assert_eq!(first.finish(true).expect("unpacks"), second.finish(true).expect("unpacks"));
    assert!(f.store.layer(&meta.diff_id).is_some());
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(f.staging_is_empty());
}

/// What a killed process leaves is gone after the next one has opened the store.
fn killed() {
    let mut f = Fixture::new();
    let tar = Tar::default().entry(&Header { uid: 5, mode: 0o500, ..header("d", b'5') }, b"").file("d/f", &[1; 4096]);
    let job = UnpackJob { expected: None, limits: Limits::default(), source: None };
    let (mut pipe, pending) = f.worker().unpack(job).expect("starts");
    pipe.write_all(&tar.0).expect("writes");
    while !std::fs::read_dir(f.dirs.data.join("staging")).expect("reads").any(|e| e.is_ok_and(|e| e.path().is_dir())) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    f.worker().kill();
    drop(pipe);
    assert!(pending.finish(true).is_err());
    assert!(!f.staging_is_empty());
    // And a file that was being written.
    std::fs::write(f.dirs.data.join("staging/test-0123.new"), "x").expect("writes");
    f.store = Store::open(&f.dirs).expect("opens");
    assert!(f.staging_is_empty());
    f.worker = Some(crate::storage::worker::UnpackWorker::start(&f.store, &f.maps).expect("starts"));
}

/// Killed at any moment of unpacking and keeping a layer: it is there and whole, or it is not there.
fn killed_anywhere() {
    let mut f = Fixture::new();
    let mut tar = Tar::default();
    for number in 0..400 {
        tar = tar.entry(&Header { uid: 9, ..header(&format!("d{}/f{number}", number % 9), b'0') }, &[3; 2000]);
    }
    let tar = tar.end();
    let diff_id = DiffId::of(&tar);
    let (mut kept, mut lost) = (0, 0);
    for round in 0..30 {
        let job = UnpackJob { expected: None, limits: Limits::default(), source: None };
        let (mut pipe, pending) = f.worker().unpack(job).expect("starts");
        let worker = f.worker().clone();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_micros(round * 1500));
                worker.kill();
            });
            // Either may fail now; what counts is what is left.
            let _ = pipe.write_all(&tar);
            drop(pipe);
            let _ = pending.finish(true);
        });
        drop(worker);
        f.worker = None;
        f.store = Store::open(&f.dirs).expect("opens");
        assert!(f.staging_is_empty(), "round {round}");
        f.worker = Some(crate::storage::worker::UnpackWorker::start(&f.store, &f.maps).expect("starts"));
        if f.store.layer(&diff_id).is_some() {
            assert!(f.pack(&diff_id) == tar, "round {round}");
            f.remove_layer(&diff_id);
            kept += 1;
        } else {
            lost += 1;
        }
    }
    assert!(lost > 0, "{kept} kept, {lost} lost");
}

#[test]
fn layers_of_every_kind() {
    for (name, _) in ALL {
        crate::sys::scenario::check(&format!("storage:{name}"));
    }
}
