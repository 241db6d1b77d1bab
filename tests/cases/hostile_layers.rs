//! Layers made to escape, to exhaust, to confuse: refused with a clear message or harmless, and nothing of them is kept.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Compression, Image, Manifest, Outcome, Sandbox, Tarball, Trial, User, for_each_user, gzip, rpod, sha256, trial,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("hostile_layers::escapes", escapes);
    trials.push(trial("hostile_layers::broken_tars", User::Sub, broken_tars));
    trials.push(trial("hostile_layers::gzip_bomb", User::Sub, |t| bomb(t, "+gzip", &gzip_bomb())));
    trials.push(trial("hostile_layers::zstd_bomb", User::Sub, |t| bomb(t, "+zstd", &zstd_bomb())));
    trials.push(trial("hostile_layers::ten_million_entries", User::Sub, |t| bomb(t, "+gzip", &many_entries())));
    trials.push(trial("hostile_layers::claimed_sizes", User::Sub, claimed_sizes));
    trials.push(trial("hostile_layers::compressed_garbage", User::Sub, compressed_garbage));
    trials.push(trial("hostile_layers::archives", User::Sub, archives));
    trials
}

/// Every way out that is known; a directory of the user beside the store must stay empty.
fn escapes(t: &Sandbox) -> Outcome {
    let target = t.mkdir("home/target")?;
    t.write("home/victim", "mine\n")?;
    let out = target.to_str().unwrap();
    let victim = t.dir().join("home/victim");
    let victim_path = victim.to_str().unwrap();
    let up = "../".repeat(40);
    let up_target = format!("{up}{}", &out[1..]);
    let up_victim = format!("{up}{}", &victim_path[1..]);
    let layers: Vec<(&str, Tarball)> = vec![
        ("dot-dot", Tarball::new().pax(&[("path", format!("{up_target}/x").as_bytes())]).file("x", 0o644, "x")),
        (
            "dot-dot within",
            Tarball::new().pax(&[("path", format!("a/b/{up_target}/x").as_bytes())]).file("x", 0o644, "x"),
        ),
        ("absolute", Tarball::new().pax(&[("path", format!("{out}/x").as_bytes())]).file("x", 0o644, "x")),
        ("symlink then file", Tarball::new().symlink("s", out).file("s/x", 0o644, "x")),
        (
            "relative symlink then file",
            Tarball::new().pax(&[("linkpath", up_target.as_bytes())]).symlink("s", "y").file("s/x", 0o644, "x"),
        ),
        (
            "chain of symlinks",
            Tarball::new().symlink("a", "b").symlink("b", "..").symlink("c", out).file("c/x", 0o644, "x"),
        ),
        ("symlink then directory", Tarball::new().symlink("s", out).dir("s/", 0o777).file("s/x", 0o644, "x")),
        (
            "symlink then whiteout",
            Tarball::new().symlink("s", victim.parent().unwrap().to_str().unwrap()).file("s/.wh.victim", 0o644, ""),
        ),
        (
            "symlink then opaque",
            Tarball::new().symlink("s", victim.parent().unwrap().to_str().unwrap()).file("s/.wh..wh..opq", 0o644, ""),
        ),
        (
            "hard link out",
            Tarball::new().pax(&[("linkpath", up_victim.as_bytes())]).hardlink("h", "y").file(
                "h",
                0o644,
                "overwritten",
            ),
        ),
        (
            "hard link absolute",
            Tarball::new().pax(&[("linkpath", victim_path.as_bytes())]).hardlink("h", "y").file(
                "h",
                0o644,
                "overwritten",
            ),
        ),
        (
            "hard link through symlink",
            Tarball::new().symlink("s", victim.parent().unwrap().to_str().unwrap()).hardlink("h", "s/victim").file(
                "h",
                0o644,
                "overwritten",
            ),
        ),
        (
            "hard link to symlink",
            Tarball::new().symlink("s", victim_path).hardlink("h", "s").file("h", 0o644, "overwritten"),
        ),
        ("whiteout dot-dot", Tarball::new().file(".wh...", 0o644, "")),
        ("whiteout of nothing", Tarball::new().file(".wh.", 0o644, "")),
        ("whiteout of dot", Tarball::new().file("d/.wh..", 0o644, "")),
        ("proc", Tarball::new().symlink("s", "/proc/self/root").file(&format!("s{out}/x"), 0o644, "x")),
        ("proc cwd", Tarball::new().symlink("s", "/proc/self/cwd").file("s/../../../../x", 0o644, "x")),
        ("file then below it", Tarball::new().file("f", 0o644, "x").file("f/g", 0o644, "x")),
        (
            "overlay attributes",
            Tarball::new()
                .pax(&[
                    ("SCHILY.xattr.user.overlay.redirect", out.as_bytes()),
                    ("SCHILY.xattr.trusted.overlay.redirect", out.as_bytes()),
                ])
                .dir("r/", 0o755),
        ),
        (
            "overlay metacopy",
            Tarball::new()
                .pax(&[
                    ("SCHILY.xattr.user.overlay.metacopy", b""),
                    ("SCHILY.xattr.user.overlay.redirect", victim_path.as_bytes()),
                ])
                .file("m", 0o644, ""),
        ),
        ("empty name", Tarball::new().file("", 0o644, "x")),
        ("dot", Tarball::new().file(".", 0o644, "x")),
        ("slash", Tarball::new().file("/", 0o644, "x")),
        ("NUL in a PAX path", Tarball::new().pax(&[("path", b"a\0b")]).file("x", 0o644, "x")),
        ("root made unreadable", Tarball::new().dir("./", 0o000)),
        ("own names of the store", Tarball::new().file("../layer.json", 0o644, "{}").file("../entries.zst", 0o644, "")),
        (
            "block device",
            Tarball::new().entry(tar::EntryType::Block, "sda", 0o666, &[], |h| h.set_device_major(8).unwrap()),
        ),
    ];
    for (what, layer) in layers {
        let image = Image::busybox()?.layer(layer.finish(), Compression::None);
        let archive = image.docker_archive(&["localhost/hostile"]);
        let out = rpod!(t, "load", "-q").stdin(archive).run();
        assert!(matches!(out.code, Some(0 | 125)), "{what}: {out}");
        if out.code == Some(0) {
            // Taken, so it must also be harmless to run, save and remove.
            let run = rpod!(
                t,
                "run",
                "--rm",
                "--network=none",
                "localhost/hostile",
                "sh",
                "-c",
                "cat /s/victim /m /h 2>/dev/null; find / -xdev -name victim; true"
            )
            .run();
            assert!(!run.stdout.contains("mine"), "{what}: {run}");
            rpod!(t, "rmi", "-f", "localhost/hostile").run().code(0);
        }
        assert_eq!(std::fs::read_to_string(&victim)?, "mine\n", "{what}");
        assert_eq!(std::fs::read_dir(&target)?.count(), 0, "{what}");
        assert!(!t.data().join("x").exists() && !t.home().join("x").exists(), "{what}");
    }
    rpod!(t, "images", "-q").run().lines_are(&[]);
    Ok(())
}

fn broken_tars(t: &Sandbox) -> Outcome {
    let good = Tarball::new().file("a", 0o644, vec![b'x'; 3000]);
    let bytes = good.clone().finish();
    let mut bad_checksum = bytes.clone();
    bad_checksum[148] ^= 3;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("truncated header", bytes[..300].to_vec()),
        ("truncated data", bytes[..1200].to_vec()),
        ("checksum", bad_checksum),
        ("garbage", vec![0xa5; 4096]),
        (
            "negative size",
            Tarball::new()
                .entry(tar::EntryType::Regular, "n", 0o644, &[], |h| h.as_old_mut().size = [0xff; 12])
                .finish(),
        ),
        (
            "huge size",
            Tarball::new()
                .entry(tar::EntryType::Regular, "n", 0o644, &[], |h| h.as_old_mut().size = *b"77777777777\0")
                .finish(),
        ),
        (
            "PAX record without end",
            Tarball::new()
                .entry(tar::EntryType::XHeader, "p", 0o644, b"99999 path=x\n", |_| {})
                .file("x", 0o644, "")
                .finish(),
        ),
        ("PAX size lie", Tarball::new().pax(&[("size", b"99999999999999999999")]).file("x", 0o644, "x").finish()),
        ("PAX of 100 MB", Tarball::new().pax(&[("path", &vec![b'a'; 100 << 20])]).file("x", 0o644, "").finish()),
        ("long name without entry", Tarball::new().gnu_long_name("x").finish()),
        ("unknown type", Tarball::new().entry(tar::EntryType::new(b'Z'), "z", 0o644, b"z", |_| {}).finish()),
    ];
    for (what, tar) in cases {
        let archive = Image::busybox()?.layer(tar, Compression::None).docker_archive(&["localhost/broken"]);
        let out = rpod!(t, "load", "-q").stdin(archive).run();
        assert!(matches!(out.code, Some(0 | 125)), "{what}: {out}");
        rpod!(t, "rmi", "-af").run();
    }
    // Garbage after the end belongs to the tar: kept for the diff ID, otherwise without effect.
    let trailing = good.raw(&[0; 1024]).raw(&[0x5a; 777]).unfinished();
    let image = Image::busybox()?.layer(trailing, Compression::Gzip);
    let out = rpod!(t, "load", "-q").stdin(image.docker_archive(&["localhost/trailing"])).run();
    assert!(matches!(out.code, Some(0 | 125)), "{out}");
    Ok(())
}

/// An OCI archive of one layer with this blob; its diff ID is not worth computing.
fn archive_of(media_type: &str, blob: &[u8]) -> Vec<u8> {
    let config = json!({
        "architecture": Image::scratch().architecture, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [sha256(b"unknown")]},
    })
    .to_string()
    .into_bytes();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": Manifest::Oci.media_type(),
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(&config), "size": config.len()},
        "layers": [{"mediaType": media_type, "digest": sha256(blob), "size": blob.len()}],
    })
    .to_string()
    .into_bytes();
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": Manifest::Oci.media_type(), "digest": sha256(&manifest), "size": manifest.len(),
        "annotations": {"org.opencontainers.image.ref.name": "localhost/bomb:1"}}]});
    let mut tar = Tarball::new().file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#).file(
        "index.json",
        0o644,
        index.to_string(),
    );
    for bytes in [manifest.as_slice(), &config, blob] {
        tar = tar.file(&format!("blobs/sha256/{}", &sha256(bytes)[7..]), 0o644, bytes);
    }
    tar.finish()
}

/// A limit must stop it before it has done harm, and say which.
fn bomb(t: &Sandbox, suffix: &str, blob: &[u8]) -> Outcome {
    let archive = archive_of(&format!("application/vnd.oci.image.layer.v1.tar{suffix}"), blob);
    let out = rpod!(t, "load", "-q").stdin(archive).limit(Duration::from_secs(1200)).run();
    out.fails(125, &["RPOD_MAX_LAYER_"]);
    rpod!(t, "images", "-q").run().lines_are(&[]);
    let left: Vec<String> = super::images::walk(&t.data())
        .into_iter()
        .filter(|p| p.contains("/layers/") || p.contains("/staging/"))
        .collect();
    assert!(left.iter().all(|path| path.ends_with(".lock")), "{} files left, such as {:?}", left.len(), left.first());
    Ok(())
}

/// Gigabytes of zeros in 16 MB: a tar header that declares 400 GB, then members of 64 MB each, again and again.
fn gzip_bomb() -> Vec<u8> {
    let mut bomb = gzip(&zeros_header());
    let member = gzip(&vec![0; 64 << 20]);
    while bomb.len() < 16 << 20 {
        bomb.extend_from_slice(&member);
    }
    bomb
}

fn zstd_bomb() -> Vec<u8> {
    let mut bomb = zstd::encode_all(zeros_header().as_slice(), 1).unwrap();
    let frame = zstd::encode_all(vec![0; 64 << 20].as_slice(), 1).unwrap();
    (0..6400).for_each(|_| bomb.extend_from_slice(&frame));
    bomb
}

/// The header of a file of 400 GB.
fn zeros_header() -> Vec<u8> {
    Tarball::new().entry(tar::EntryType::Regular, "zeros", 0o644, &[], |h| h.set_size(400 << 30)).unfinished()
}

/// Ten million entries without content.
fn many_entries() -> Vec<u8> {
    let mut bomb = Vec::new();
    let mut tar = Tarball::new();
    for n in 0..20_000 {
        tar = tar.file(&format!("d/{n}"), 0o644, "");
    }
    let member = gzip(&tar.unfinished());
    (0..500).for_each(|_| bomb.extend_from_slice(&member));
    bomb
}

fn claimed_sizes(t: &Sandbox) -> Outcome {
    // A file of 8 EB in the header, nothing behind it: no memory and no disk may be set aside for it.
    let layer = Tarball::new().pax(&[("size", b"9223372036854775807")]).file("big", 0o644, "").finish();
    let archive = Image::busybox()?.layer(layer, Compression::None).docker_archive(&["localhost/big"]);
    rpod!(t, "load", "-q").stdin(archive).run().code(125);
    // The same one level up: a layer of an archive, and a manifest.json of 1 TB.
    let archive = Tarball::new()
        .entry(tar::EntryType::Regular, "manifest.json", 0o644, b"[]", |h| h.set_size(1 << 40))
        .unfinished();
    rpod!(t, "load", "-q").stdin(archive).run().code(125);
    Ok(())
}

fn compressed_garbage(t: &Sandbox) -> Outcome {
    let tar = Tarball::new().file("a", 0o644, vec![b'x'; 100_000]).finish();
    let good = gzip(&tar);
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let mut crc = good.clone();
    let at = crc.len() - 6;
    crc[at] ^= 1;
    for (what, blob, suffix) in [
        ("truncated", good[..good.len() - 20].to_vec(), "+gzip"),
        ("flipped", flipped, "+gzip"),
        ("checksum", crc, "+gzip"),
        ("only magic", vec![0x1f, 0x8b], "+gzip"),
        ("zstd magic", vec![0x28, 0xb5, 0x2f, 0xfd], "+zstd"),
        ("trailing garbage", [good.clone(), vec![0x5a; 3000]].concat(), "+gzip"),
    ] {
        let archive = archive_of(&format!("application/vnd.oci.image.layer.v1.tar{suffix}"), &blob);
        let out = rpod!(t, "load", "-q").stdin(archive).run();
        assert_eq!(out.code, Some(125), "{what}: {out}");
    }
    rpod!(t, "images", "-q").run().lines_are(&[]);
    Ok(())
}

/// The archive around the layers is as untrusted as they are.
fn archives(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?;
    let config = image.config_blob();
    let manifest = |value: serde_json::Value| value.to_string();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no manifest", Tarball::new().file("x", 0o644, "x").finish()),
        ("manifest is no JSON", Tarball::new().file("manifest.json", 0o644, "{").finish()),
        (
            "missing layer",
            Tarball::new()
                .file("c.json", 0o644, &config)
                .file(
                    "manifest.json",
                    0o644,
                    manifest(json!([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["nosuch.tar"]}])),
                )
                .finish(),
        ),
        (
            "layer outside",
            Tarball::new()
                .file("c.json", 0o644, &config)
                .file(
                    "manifest.json",
                    0o644,
                    manifest(
                        json!([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["../../../../../../etc/passwd"]}]),
                    ),
                )
                .finish(),
        ),
        (
            "config outside",
            Tarball::new()
                .file(
                    "manifest.json",
                    0o644,
                    manifest(json!([{"Config": "/etc/passwd", "RepoTags": ["x:1"], "Layers": []}])),
                )
                .finish(),
        ),
        (
            "config is a link",
            Tarball::new()
                .symlink("c.json", "/etc/passwd")
                .file(
                    "manifest.json",
                    0o644,
                    manifest(json!([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": []}])),
                )
                .finish(),
        ),
        (
            "fewer layers than diff IDs",
            Tarball::new()
                .file("c.json", 0o644, &config)
                .file(
                    "manifest.json",
                    0o644,
                    manifest(json!([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": []}])),
                )
                .finish(),
        ),
        ("bad name", image.docker_archive(&["../../etc/passwd"])),
        ("control characters", image.docker_archive(&["localhost/x\u{1b}[31m:1"])),
        ("nesting", Tarball::new().file("manifest.json", 0o644, "[".repeat(200_000)).finish()),
    ];
    for (what, archive) in cases {
        let out = rpod!(t, "load", "-q").stdin(archive).run();
        assert_eq!(out.code, Some(125), "{what}: {out}");
        assert!(!out.stderr.contains('\u{1b}'), "{what}: escape sequences of the image reach the terminal");
    }
    Ok(())
}
