//! images, rmi, tag, inspect, load, save, import.

use serde_json::json;

use crate::support::{
    BUSYBOX, Image, Manifest, Need, Outcome, Registry, Sandbox, Trial, User, for_each_user, need, rpod, sha256, trial,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("images::list", User::Sub, list),
        trial("images::rmi", User::Sub, rmi),
        trial("images::rmi_of_a_digest", User::Sub, rmi_of_a_digest),
        trial("images::compressed_archives", User::Sub, compressed_archives),
        trial("images::a_name_that_moved_on", User::Sub, moved_on),
        trial("images::inspect", User::Sub, inspect),
        trial("images::load", User::Sub, load),
        trial("images::load_broken", User::Sub, load_broken),
        trial("images::import", User::Sub, import),
    ];
    trials.extend(for_each_user("images::save_is_bit_for_bit", save));
    trials
}

fn list(t: &Sandbox) -> Outcome {
    rpod!(t, "images", "-q").run().lines_are(&[]);
    let image = t.busybox()?;
    let id = Image::busybox()?.id();
    let out = rpod!(t, "images").run();
    let titles: Vec<&str> =
        out.ok().lines().next().unwrap().split("  ").map(str::trim).filter(|s| !s.is_empty()).collect();
    assert_eq!(titles, ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    for part in ["docker.io/library/busybox", "latest", &id[7..19], "years ago"] {
        out.prints(part);
    }
    rpod!(t, "images", "-q").run().lines_are(&[&id[7..19]]);
    rpod!(t, "images", "-q", "--no-trunc").run().lines_are(&[&id]);
    rpod!(t, "tag", image, "localhost/two:v1").run().ok();
    let row = "{{.Repository}}:{{.Tag}}";
    let mut names: Vec<String> = rpod!(t, "images", "--format", row).run().ok().lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, [BUSYBOX, "localhost/two:v1"]);
    rpod!(t, "images", "--format", row, "two:v1").run().lines_are(&["localhost/two:v1"]);
    let json = rpod!(t, "images", "--format", "json").run().json();
    assert_eq!(json[0]["Id"], id[7..], "{json}");
    assert!(json[0]["Names"].is_array() && json[0]["Size"].as_u64().is_some_and(|size| size > 1_000_000), "{json}");
    rpod!(t, "image", "exists", image).run().code(0);
    rpod!(t, "image", "exists", "nosuch").run().code(1);
    Ok(())
}

fn rmi(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let id = Image::busybox()?.id();
    rpod!(t, "rmi", "nosuch").run().fails(1, &["nosuch"]);
    rpod!(t, "tag", image, "localhost/two").run().ok();
    rpod!(t, "rmi", image).run().prints("Untagged: docker.io/library/busybox:latest");
    rpod!(t, "run", "--name", "user", "localhost/two", "true").run().ok();
    rpod!(t, "rmi", "localhost/two").run().fails(2, &["user"]);
    rpod!(t, "rm", "user").run().ok();
    rpod!(t, "rmi", "localhost/two").run().prints(&format!("Deleted: {}", &id[7..]));
    // Nothing of it is left in the store.
    let left: Vec<_> = walk(&t.data())
        .into_iter()
        .filter(|path| path.contains("/layers/") || path.contains("/blobs/sha256/"))
        .collect();
    assert!(left.iter().all(|path| path.ends_with(".lock")), "{left:?}");
    // Shared layers stay as long as one image needs them.
    let first = Image::busybox()?;
    let second = first
        .clone()
        .layer(crate::support::Tarball::new().file("x", 0o644, "x").finish(), crate::support::Compression::None);
    for (name, image) in [("localhost/first", &first), ("localhost/second", &second)] {
        let archive = t.write("home/a.tar", image.docker_archive(&[name]))?;
        rpod!(t, "load", "-q", "-i", &archive).run().ok();
    }
    rpod!(t, "rmi", "localhost/first").run().ok();
    rpod!(t, "run", "--rm", "localhost/second", "cat", "/x").run().lines_are(&["x"]);
    rpod!(t, "rmi", "--all", "--force").run().ok();
    rpod!(t, "images", "-q").run().lines_are(&[]);
    Ok(())
}

fn inspect(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?
        .config("Labels", json!({"k": "v"}))
        .config("Entrypoint", json!(["/bin/sh"]))
        .config("ExposedPorts", json!({"80/tcp": {}}))
        .config("Healthcheck", json!({"Test": ["CMD", "true"], "Interval": 5_000_000_000u64}))
        .config("OnBuild", json!(["RUN x"]))
        .config("Shell", json!(["/bin/ash", "-c"]));
    let archive = t.write("home/a.tar", image.docker_archive(&["localhost/i:1"]))?;
    rpod!(t, "load", "-i", &archive).run().ok();
    let all = rpod!(t, "image", "inspect", "localhost/i:1").run().json();
    let i = &all[0];
    assert_eq!(i["Id"], image.id()[7..], "{i:#}");
    assert_eq!(i["RepoTags"], json!(["localhost/i:1"]));
    assert_eq!(i["Config"]["Labels"]["k"], "v");
    assert_eq!(i["Config"]["Entrypoint"], json!(["/bin/sh"]));
    assert_eq!(i["RootFS"]["Layers"], json!([sha256(&image.layers[0].tar)]));
    assert_eq!(i["Os"], "linux");
    assert_eq!(i["Architecture"], image.architecture);
    assert!(i["Digest"].as_str().is_some_and(|d| d.starts_with("sha256:")), "{i:#}");
    assert!(i["Size"].is_u64() && i["Created"].is_string() && i["History"].is_array(), "{i:#}");
    rpod!(t, "image", "inspect", "--format", "{{.Config.ExposedPorts}}", "localhost/i:1").run().prints("80/tcp");
    rpod!(t, "image", "inspect", "nosuch").run().fails(125, &["nosuch"]);
    rpod!(t, "image", "inspect", &image.id()[7..15]).run().ok();
    Ok(())
}

fn load(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?;
    let docker = image.docker_archive(&["one:1", "localhost/two:2"]);
    let file = t.write("home/d.tar", &docker)?;
    let out = rpod!(t, "load", "-i", &file).run();
    out.prints("Loaded image: docker.io/library/one:1").prints("Loaded image: localhost/two:2");
    rpod!(t, "rmi", "-af").run().ok();
    // From stdin, compressed, and as OCI; the id is the configuration's digest either way.
    rpod!(t, "load").stdin(docker.clone()).run().prints("one:1");
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "load").stdin(crate::support::gzip(&docker)).run().prints("one:1");
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "load").stdin(image.oci_archive(Some("localhost/oci:3"))).run().prints("localhost/oci:3");
    rpod!(t, "images", "-q", "--no-trunc").run().lines_are(&[&image.id()]);
    rpod!(t, "run", "--rm", "localhost/oci:3", "echo", "runs").run().lines_are(&["runs"]);
    rpod!(t, "rmi", "-af").run().ok();
    let unnamed = rpod!(t, "load").stdin(image.oci_archive(None)).run();
    unnamed.prints(&image.id()[..]);
    rpod!(t, "run", "--rm", &image.id()[7..19], "echo", "runs").run().lines_are(&["runs"]);
    Ok(())
}

fn load_broken(t: &Sandbox) -> Outcome {
    rpod!(t, "load", "-i", "/nosuch").run().fails(125, &["/nosuch"]);
    rpod!(t, "load", "-i", "/etc/passwd").run().code(125);
    rpod!(t, "load").stdin(Vec::new()).run().code(125);
    let good = Image::busybox()?.docker_archive(&["localhost/x"]);
    for length in [100, 512, 5000, good.len() / 2, good.len() - 3000] {
        rpod!(t, "load").stdin(&good[..length]).run().code(125);
    }
    // Any byte of the layer changed: the diff ID says so.
    let mut wrong = good.clone();
    let at = wrong.len() / 2;
    wrong[at] ^= 1;
    rpod!(t, "load").stdin(wrong).run().code(125);
    rpod!(t, "images", "-q").run().lines_are(&[]);
    let left: Vec<_> =
        walk(&t.data()).into_iter().filter(|p| p.contains("/layers/") && !p.ends_with(".lock")).collect();
    assert!(left.is_empty(), "{left:?}");
    rpod!(t, "load").stdin(good).run().ok();
    Ok(())
}

/// What was loaded is saved with the same layers, config and id.
fn save(t: &Sandbox) -> Outcome {
    let image = super::storage::everything();
    let loaded = t.write("home/in.tar", image.docker_archive(&["localhost/s:1"]))?;
    rpod!(t, "load", "-q", "-i", &loaded).run().ok();
    let diff_ids: Vec<String> = image.layers.iter().map(|layer| sha256(&layer.tar)).collect();
    let out = t.dir().join("home/out.tar");
    rpod!(t, "save", "-q", "-o", &out, "localhost/s:1").run().ok();
    let files = entries(&std::fs::read(&out)?);
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"])?;
    assert_eq!(manifest[0]["RepoTags"], json!(["localhost/s:1"]));
    let config = &files[manifest[0]["Config"].as_str().unwrap()];
    assert_eq!(sha256(config), image.id(), "the configuration is kept byte for byte");
    let saved: Vec<String> =
        manifest[0]["Layers"].as_array().unwrap().iter().map(|name| sha256(&files[name.as_str().unwrap()])).collect();
    assert_eq!(saved, diff_ids);
    // As OCI, to stdout, and back into another store under the same id.
    let oci = rpod!(t, "save", "--format", "oci-archive", "localhost/s:1").run();
    assert!(oci.code == Some(0) && entries(&oci.stdout_bytes).contains_key("oci-layout"));
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "load").stdin(oci.stdout_bytes).run().ok();
    rpod!(t, "images", "-q", "--no-trunc").run().lines_are(&[&image.id()]);
    rpod!(t, "save", "-o", "/nosuch/dir/x", "localhost/s:1").run().fails(125, &["/nosuch/dir"]);
    rpod!(t, "save", "--format", "bogus", "localhost/s:1").run().fails(125, &["bogus"]);
    rpod!(t, "save", "nosuch").run().fails(125, &["nosuch"]);
    Ok(())
}

fn import(t: &Sandbox) -> Outcome {
    let tar = Image::busybox()?.layers[0].tar.clone();
    let file = t.write("home/root.tar", &tar)?;
    let id = rpod!(t, "import", "-q", "-c", "CMD [\"echo\", \"imported\"]", "-c", "ENV A=1", &file, "localhost/imp:1")
        .run()
        .ok()
        .to_owned();
    assert!(id.starts_with("sha256:"), "{id}");
    rpod!(t, "run", "--rm", "localhost/imp:1").run().lines_are(&["imported"]);
    rpod!(t, "run", "--rm", "localhost/imp:1", "sh", "-c", "echo $A").run().lines_are(&["1"]);
    rpod!(t, "import", "-", "localhost/stdin").stdin(crate::support::gzip(&tar)).run().ok();
    rpod!(t, "run", "--rm", "localhost/stdin", "echo", "x").run().lines_are(&["x"]);
    rpod!(t, "import", "/nosuch").run().fails(125, &["/nosuch"]);
    rpod!(t, "import", "-c", "BOGUS x", &file).run().fails(125, &["BOGUS"]);
    Ok(())
}

/// Every path below.
pub fn walk(dir: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            found.push(entry.path().display().to_string());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
        }
    }
    found
}

/// Name and content of every file in a tar; links as what they point to.
pub fn entries(tar: &[u8]) -> std::collections::BTreeMap<String, Vec<u8>> {
    use std::io::Read;
    let mut files = std::collections::BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if let (true, Ok(Some(target))) = (content.is_empty(), entry.link_name()) {
            let target = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
            content = files
                .iter()
                .find(|(name, _): &(&String, _)| name.ends_with(&target))
                .map(|(_, c): (_, &Vec<u8>)| c.clone())
                .unwrap_or_default();
        }
        files.insert(name, content);
    }
    files
}

/// A digest is one name of the image, beside its tags.
fn rmi_of_a_digest(t: &Sandbox) -> Outcome {
    let registry = Registry::empty()?;
    let digest = Image::busybox()?.push(&registry, "x/y", "1", Manifest::Oci)?;
    let (tag, pinned) = (format!("{}/x/y:1", registry.host()), format!("{}/x/y@{digest}", registry.host()));
    rpod!(t, "pull", "-q", "--tls-verify=false", &tag).run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", &pinned).run().ok();
    rpod!(t, "tag", &tag, "localhost/mine").run().ok();
    rpod!(t, "rmi", &pinned).run().lines_are(&[&format!("Untagged: {pinned}")]);
    for name in [&tag, "localhost/mine"] {
        rpod!(t, "run", "--rm", "--network=none", name, "true").run().ok();
    }
    // With the last tag of a repository goes the digest there.
    rpod!(t, "untag", &tag, &tag).run().ok();
    rpod!(t, "images", "--format", "{{.RepoTags}}", "x/y").run().lines_are(&[]);
    rpod!(t, "tag", "localhost/mine", &tag).run().ok();
    rpod!(t, "untag", &tag, "nosuch").run().fails(125, &["localhost/nosuch:latest: tag not known"]);
    rpod!(t, "rmi", "-f", &tag, "localhost/mine").run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", &pinned).run().ok();
    rpod!(t, "rmi", &pinned).run().prints("Deleted: ");
    rpod!(t, "images", "-q").run().lines_are(&[]);
    Ok(())
}

fn compressed_archives(t: &Sandbox) -> Outcome {
    need([Need::Xz, Need::Bzip2])?;
    let image = t.busybox()?;
    rpod!(t, "save", "-q", "-o", "a.tar", image).run().ok();
    t.script("xz -k -0 a.tar && bzip2 -k -1 a.tar && head -c 100000 a.tar.xz >cut.xz").run().ok();
    rpod!(t, "rmi", image).run().ok();
    rpod!(t, "load", "-q", "-i", "cut.xz").run().fails(125, &["compressed stream is broken"]);
    for archive in ["a.tar.xz", "a.tar.bz2"] {
        rpod!(t, "load", "-q", "-i", archive).run().prints(image);
        rpod!(t, "rmi", image).run().ok();
        t.script(&format!("rpod load -q <{archive}")).run().prints(image);
        rpod!(t, "rmi", image).run().ok();
    }
    // What is none of these is not shown.
    let garbage: Vec<u8> = (0..2048u32).map(|n| (n * 7 % 256) as u8).collect();
    let out = rpod!(t, "load", "-q", "-i", t.write("home/garbage", garbage)?).run();
    out.fails(125, &["it is not a tar"]);
    assert!(out.stderr.is_ascii(), "{out}");
    Ok(())
}

/// An image that was made here and lost its name to another one has none.
fn moved_on(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let (one, two) = (["run", "--name", "c", BUSYBOX, "true"], ["commit", "-q", "c", "localhost/moved"]);
    t.rpod(one).run().ok();
    t.rpod(two).run().ok();
    rpod!(t, "commit", "-q", "-c", "ENTRYPOINT [\"echo\"]", "-c", "STOPSIGNAL 9", "c", "localhost/moved").run().ok();
    let rows = rpod!(t, "images", "--format", "{{.Repository}}:{{.Tag}}").run();
    let mut rows: Vec<&str> = rows.ok().lines().collect();
    rows.sort_unstable();
    assert_eq!(rows, ["<none>:<none>", BUSYBOX, "localhost/moved:latest"]);
    // An entrypoint takes the command away.
    rpod!(t, "run", "--rm", "localhost/moved").run().lines_are(&[""]);
    rpod!(t, "commit", "-q", "-c", "STOPSIGNAL NONE", "c").run().fails(125, &["STOPSIGNAL", "no signal"]);
    let tree = rpod!(t, "image", "tree", "localhost/moved").run().ok().to_owned();
    assert!(!tree.contains("<none>"), "{tree}");
    Ok(())
}
