//! Owners and device nodes that a store cannot hold, and what is written from it: they are in it again.

use std::collections::BTreeMap;
use std::io::Read;

use tar::EntryType;

use crate::support::{
    Compression, Image, Outcome, Registry, Sandbox, Stop, Tarball, Trial, User, for_each_user, rpod, trial,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("owners::commit_and_export", |t| commit_and_export(t, false));
    trials.push(trial("owners::setuid_of_nobody", User::Sub, setuid_of_nobody));
    trials.push(trial("owners::with_the_copy_driver", User::NoSub, |t| {
        t.use_driver("copy");
        commit_and_export(t, true)
    }));
    trials
}

/// Owners by path; devices with their numbers.
fn listed(tar: &[u8]) -> Result<BTreeMap<String, String>, Stop> {
    let mut all = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries()? {
        let entry = entry?;
        let header = entry.header();
        let mut text = format!("{}:{}", header.uid()?, header.gid()?);
        if let (3 | 4, Some(major), Some(minor)) =
            (header.entry_type().as_byte() - b'0', header.device_major()?, header.device_minor()?)
        {
            text.push_str(&format!(" {major},{minor}"));
        }
        all.insert(entry.path()?.to_str().unwrap().trim_end_matches('/').to_owned(), text);
    }
    Ok(all)
}

/// The tar of the last layer.
fn last_layer(t: &Sandbox, image: &str) -> Result<Vec<u8>, Stop> {
    let saved = rpod!(t, "save", "-q", "--format", "docker-archive", image).run();
    saved.ok();
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(saved.stdout_bytes.as_slice()).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.insert(name, content);
    }
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"])?;
    let last = manifest[0]["Layers"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
    Ok(files.remove(&last).unwrap())
}

fn image(t: &Sandbox) -> Result<&'static str, Stop> {
    let tar = Tarball::new()
        .dir("home/alice/", 0o755)
        .owned_file("home/alice/changed", 0o600, 1000, 1000, "1\n")
        .owned_file("home/alice/replaced", 0o600, 1000, 1000, "1\n")
        .owned_file("home/alice/removed", 0o600, 1000, 1000, "1\n")
        .owned_file("home/alice/kept", 0o600, 1000, 100, "1\n")
        .owned_file("home/alice/far", 0o600, 2_000_000_000, 7, "1\n")
        .entry(EntryType::Link, "home/alice/linked", 0o640, &[], |header| {
            header.set_link_name("home/alice/kept").unwrap();
            header.set_uid(1000);
            header.set_gid(101);
        })
        .char_device("nodes/own", 0o600, 1, 3)
        .char_device("nodes/gone/inner", 0o600, 1, 5)
        .finish();
    let image = Image::busybox()?.layer(tar, Compression::None);
    let file = t.write("home/image.tar", image.docker_archive(&["localhost/owned:1"]))?;
    rpod!(t, "load", "-q", "-i", file).run().ok();
    Ok("localhost/owned:1")
}

fn commit_and_export(t: &Sandbox, is_copy: bool) -> Outcome {
    let image = image(t)?;
    let script = "cd /home/alice; echo 2 >>changed; rm removed; rm replaced; echo 2 >replaced; echo 2 >>far; \
                  echo 2 >added; rm -r /nodes/gone";
    rpod!(t, "run", "--name", "c", "--network=none", image, "sh", "-c", script).run().ok();
    let exported = rpod!(t, "export", "c").run();
    exported.ok();
    let exported = listed(&exported.stdout_bytes)?;
    rpod!(t, "commit", "-q", "c", "localhost/committed").run().ok();
    rpod!(t, "commit", "-q", "--squash", "c", "localhost/squashed").run().ok();
    let (layer, squashed) =
        (listed(&last_layer(t, "localhost/committed")?)?, listed(&last_layer(t, "localhost/squashed")?)?);
    for (path, wanted) in
        [("home/alice/changed", "1000:1000"), ("home/alice/far", "2000000000:7"), ("home/alice/added", "0:0")]
    {
        for (what, found) in [("layer", &layer), ("export", &exported), ("squashed", &squashed)] {
            assert_eq!(found.get(path).map(String::as_str), Some(wanted), "{path} in the {what}");
        }
    }
    for (path, wanted) in [
        ("home/alice/kept", Some("1000:101")),
        ("home/alice/removed", None),
        ("nodes/own", Some("0:0 1,3")),
        ("nodes/gone/inner", None),
    ] {
        for (what, found) in [("export", &exported), ("squashed", &squashed)] {
            assert_eq!(found.get(path).map(String::as_str), wanted, "{path} in the {what}");
        }
        assert_eq!(layer.get(path), None, "{path} in the layer");
    }
    // With the copy driver nothing tells a new file from a changed one.
    if !is_copy {
        assert_eq!(layer["home/alice/replaced"], "0:0");
    }
    // A registry gets them too, and a container of what came back has changed something of a made layer.
    let registry = Registry::empty()?;
    let name = format!("{}/x/y", registry.host());
    rpod!(t, "push", "-q", "--tls-verify=false", "localhost/committed", &name).run().ok();
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "pull", "-q", "--tls-verify=false", &name).run().ok();
    rpod!(t, "run", "--name", "d", "--network=none", &name, "sh", "-c", "echo 3 >>/home/alice/changed").run().ok();
    rpod!(t, "commit", "-q", "d", "localhost/again").run().ok();
    assert_eq!(listed(&last_layer(t, "localhost/again")?)?["home/alice/changed"], "1000:1000");
    Ok(())
}

/// A program that should be somebody else's does not become setuid root where that owner is not to be had.
fn setuid_of_nobody(t: &Sandbox) -> Outcome {
    const FAR: u64 = 4_000_000_000;
    let layer = Tarball::new()
        .owned_file("both", 0o6755, FAR, FAR, "x")
        .owned_file("user", 0o6755, FAR, 0, "x")
        .owned_file("group", 0o6755, 0, FAR, "x")
        .owned_file("mapped", 0o6755, 1, 1, "x")
        .finish();
    let image = Image::busybox()?.layer(layer, Compression::None);
    t.write("home/x.tar", image.docker_archive(&["localhost/x:1"]))?;
    let out = rpod!(t, "load", "-q", "-i", "x.tar").run();
    out.ok();
    assert!(out.stderr.contains("3 files") && out.stderr.contains("without setuid"), "{out}");
    rpod!(
        t,
        "run",
        "--rm",
        "--network=none",
        "localhost/x:1",
        "stat",
        "-c",
        "%a %u:%g",
        "/both",
        "/user",
        "/group",
        "/mapped"
    )
    .run()
    .lines_are(&["755 0:0", "2755 0:0", "4755 0:0", "6755 1:1"]);
    Ok(())
}
