//! What images may contain to do harm. Each layer is refused or harmless, and nothing outside of it changes.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::tarball::{Header, Tar, header};
use super::{Fixture, Scenario};
use crate::storage::Limits;
use crate::storage::worker::UnpackJob;

pub(super) const ALL: &[Scenario] =
    &[("escapes", escapes), ("damaged", damaged), ("bombs", bombs), ("many-entries", many_entries)];

/// A directory beside the store, its state afterwards compared with the one before.
struct Outside {
    dir: std::path::PathBuf,
    before: String,
}

impl Outside {
    fn new(f: &Fixture) -> Self {
        let dir = f.base.join("outside");
        std::fs::create_dir(&dir).expect("makes");
        std::fs::write(dir.join("victim"), "untouched").expect("writes");
        let before = describe(&f.base);
        Self { dir, before }
    }

    fn check(&self, f: &Fixture, case: &str) {
        assert_eq!(describe(&f.base), self.before, "{case} changed something outside");
        assert_eq!(std::fs::read(self.dir.join("victim")).expect("reads"), b"untouched", "{case}");
        assert_eq!(std::fs::metadata(self.dir.join("victim")).expect("stats").nlink(), 1, "{case}");
        assert!(f.staging_is_empty(), "{case} left something behind");
    }
}

/// Everything below `dir` but the store's content, with modes and times.
fn describe(dir: &Path) -> String {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(dir).expect("reads") {
        let path = entry.expect("reads").path();
        // It comes and goes with a flush.
        if path.ends_with("unflushed") {
            continue;
        }
        let meta = std::fs::symlink_metadata(&path).expect("stats");
        // The store's own directories change with every layer.
        let times =
            if path.to_string_lossy().contains("/data") { String::new() } else { format!("{}", meta.mtime_nsec()) };
        let links = if path.ends_with("layers") || path.ends_with("data") { 0 } else { meta.nlink() };
        lines.push(format!("{} {:o} {} {links} {times}", path.display(), meta.mode(), meta.uid()));
        if meta.is_dir() && !path.ends_with("layers") && !path.ends_with("staging") {
            lines.push(describe(&path));
        }
    }
    lines.sort();
    lines.join("\n")
}

fn escapes() {
    let f = Fixture::new();
    let outside = Outside::new(&f);
    let out = outside.dir.display().to_string();
    let victim = format!("{out}/victim");
    // From layers/<id>/diff the way out is this many steps up.
    let up = format!("{}{}", "../".repeat(40), victim.trim_start_matches('/'));
    let up_dir = up.trim_end_matches("/victim").to_string();
    let start = || Tar::default();
    let refused = [
        (
            "a name with ..",
            start().file(&up[up.len().saturating_sub(99)..], b"x").pax(&[("path", up.as_bytes())]).file("x", b"x"),
        ),
        ("a name with inner ..", start().pax(&[("path", format!("a/b/../../{up}").as_bytes())]).file("x", b"x")),
        ("a directory with ..", start().pax(&[("path", b"../../outside")]).dir("x")),
        ("a hard link with ..", start().pax(&[("linkpath", up.as_bytes())]).hard_link("stolen", "x")),
        ("an absolute hard link", start().pax(&[("linkpath", victim.as_bytes())]).hard_link("stolen", "x")),
        ("a hard link through a link", start().symlink("d", &out).hard_link("stolen", "d/victim")),
        ("a whiteout of ..", start().file(".wh...", b"")),
        ("a whiteout of .", start().file("a/.wh..", b"")),
        ("an empty whiteout", start().file("a/.wh.", b"")),
        ("a whiteout with a name out", start().pax(&[("path", b"../.wh.outside")]).file("x", b"")),
        ("a file below a whiteout", start().file(".wh.a/b", b"x")),
        ("a root that is a file", start().file("./", b"").entry(&header(".", b'2'), b"")),
        ("a zero byte in a name", start().pax(&[("path", b"a\0b")]).file("x", b"x")),
        ("a long component", start().pax(&[("path", "n".repeat(300).as_bytes())]).file("x", b"x")),
        ("a long name", start().pax(&[("path", "n/".repeat(3000).as_bytes())]).file("x", b"x")),
        ("a deep name", start().pax(&[("path", "n/".repeat(1000).as_bytes())]).file("x", b"x")),
        ("a hard link to a directory", start().dir("d").hard_link("h", "d")),
        ("a hard link to itself", start().file("d", b"x").hard_link("d", "d")),
        ("an unknown type", start().entry(&header("x", b'M'), b"")),
    ];
    for (case, tar) in refused {
        let result = f.unpack(&tar.end());
        assert!(result.is_err(), "{case} was accepted");
        outside.check(&f, case);
    }
    let harmless = [
        ("an absolute name", start().pax(&[("path", victim.as_bytes())]).file("x", b"x")),
        ("a link out", start().symlink("l", &up_dir).file("l/victim", b"x")),
        ("an absolute link out", start().symlink("l", &out).file("l/victim", b"x")),
        (
            "a link to a link out",
            start().symlink("a", &out).symlink("b", "a").file("b/victim", b"x").file("b/new", b"x"),
        ),
        ("a link over a file's directory", start().file("d/victim", b"1").symlink("d", &out).file("d/victim", b"2")),
        ("a file through a link to the victim", start().symlink("v", &victim).file("v", b"x")),
        (
            "a directory over a link",
            start().symlink("d", &out).entry(&Header { mode: 0o777, ..header("d", b'5') }, b""),
        ),
        ("a whiteout through a link", start().symlink("d", &out).file("d/.wh.victim", b"")),
        ("an opaque link", start().symlink("d", &out).file("d/.wh..wh..opq", b"")),
        (
            "mode of a link's target",
            start().symlink("d", &out).hard_link("e", "d").entry(&Header { mode: 0o777, ..header("e", b'5') }, b""),
        ),
        (
            "links in /proc",
            start().symlink("d", "/proc/self/root").file("d/x", b"x").symlink("e", "/proc/self/cwd").file("e/x", b"x"),
        ),
        ("a root whose entry comes twice", start().dir("./").dir(".").file("x", b"x")),
        ("attributes of overlayfs", start().pax(&[("SCHILY.xattr.user.overlay.redirect", b"/outside")]).dir("d")),
    ];
    for (case, tar) in harmless {
        f.layer(&tar.end());
        outside.check(&f, case);
    }
}

fn damaged() {
    let f = Fixture::new();
    let outside = Outside::new(&f);
    let good = Tar::default().dir("d").file("d/f", &[b'x'; 3000]).file("g", b"g").end();
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).expect("compresses");
        gzip.finish().expect("compresses")
    };
    let zstd = zstd::encode_all(&good[..], 3).expect("compresses");
    let mut wrong_sum = good.clone();
    wrong_sum[3] ^= 1;
    let mut flipped = gzip(&good);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let huge = Header { size: 0o77777777777, ..header("f", b'0') }.block().to_vec();
    let mut endless = Header { size: 0, ..header("f", b'0') }.block();
    endless[124] = 0x80;
    endless[125..136].fill(0xff);
    super::tarball::seal(&mut endless);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("cut in a header", good[..700].to_vec()),
        ("cut in content", good[..2000].to_vec()),
        ("cut before padding", good[..1024 + 3000].to_vec()),
        ("a wrong checksum", wrong_sum),
        ("text", b"<html>not found</html>".to_vec()),
        ("long text", b"<html>".repeat(1000)),
        ("a gzip that is cut", gzip(&good)[..100].to_vec()),
        ("a gzip with a flipped bit", flipped),
        ("a gzip with garbage behind", [gzip(&good), b"garbage".to_vec()].concat()),
        ("a zstd that is cut", zstd[..zstd.len() - 5].to_vec()),
        ("a zstd with garbage behind", [zstd.clone(), b"garbage!".to_vec()].concat()),
        ("xz", b"\xfd7zXZ\0\0\0".to_vec()),
        ("a declared size without content", huge),
        ("an endless declared size", endless.to_vec()),
        ("data after a zero block", [&[0; 512], &good[..]].concat()),
        ("a huge extension header", Header { size: 1 << 30, ..header("x", b'x') }.block().to_vec()),
        ("a broken extension header", Tar::default().entry(&header("x", b'x'), b"99 a=b\n").file("f", b"").end()),
        ("overlapping sparse", sparse_with("0,10,5,10")),
        ("sparse beyond its end", sparse_with("0,10,200,10")),
        ("sparse with too little", sparse_with("0,10")),
        ("sparse that wraps", sparse_with("0,10,18446744073709551615,10")),
    ];
    for (case, tar) in cases {
        assert!(f.unpack(&tar).is_err(), "{case} was accepted");
        outside.check(&f, case);
    }
    // Archives may end without their end, and go on behind it.
    f.layer(&good[..good.len() - 1024]);
    f.layer(&good[..good.len() - 512]);
    f.layer(&[&good[..], b"anything at all, of any length"].concat());
    f.layer(&[]);
    f.layer(&[0; 1024]);
}

fn sparse_with(map: &str) -> Vec<u8> {
    Tar::default().pax(&[("GNU.sparse.size", b"100"), ("GNU.sparse.map", map.as_bytes())]).file("f", &[b'x'; 20]).end()
}

fn bombs() {
    let f = Fixture::new();
    let outside = Outside::new(&f);
    let limits = Limits { bytes: 32 << 20, ..Limits::default() };
    let job = || UnpackJob { expected: None, limits, source: None };
    let head = Header { size: 8 << 30, ..header("zeros", b'0') }.block();
    let zeros = vec![0; 64 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&head).and_then(|()| gzip.write_all(&zeros)).expect("compresses");
    let zstd = zstd::encode_all(&[&head[..], &zeros].concat()[..], 3).expect("compresses");
    for bomb in [gzip.finish().expect("compresses"), zstd] {
        let error = f.unpack_with(&bomb, job()).expect_err("is refused");
        assert!(error.to_string().contains("larger than"), "{error}");
        assert!(error.hints().iter().any(|hint| hint.contains("RPOD_MAX_LAYER_BYTES")));
        outside.check(&f, "a bomb");
    }
}

fn many_entries() {
    let f = Fixture::new();
    let outside = Outside::new(&f);
    let limits = Limits { entries: 1000, ..Limits::default() };
    let mut tar = Tar::default();
    for number in 0..1100 {
        tar = tar.file(&format!("d{}/f{number}", number % 7), b"");
    }
    let tar = tar.end();
    let error = f.unpack_with(&tar, UnpackJob { expected: None, limits, source: None }).expect_err("is refused");
    assert!(error.to_string().contains("more than 1000 entries"), "{error}");
    outside.check(&f, "many entries");
    f.layer(&tar);
}

#[test]
fn hostile_layers() {
    for (name, _) in ALL {
        crate::sys::scenario::check(&format!("storage:{name}"));
    }
}
