//! Images in files and directories, named by transport: written by push and save, read by pull, load and run.

use crate::support::{BUSYBOX, Image, Need, Outcome, Sandbox, Tarball, Trial, User, need, rpod, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("transports::round_trip", User::Sub, round_trip),
        trial("transports::skopeo_reads", User::Sub, skopeo_reads),
        trial("transports::reads_skopeos", User::NoSub, reads_skopeos),
        trial("transports::an_oci_layout_takes_more", User::Sub, |t| {
            let image = t.busybox()?;
            rpod!(t, "push", "-q", image, "oci:layout:one").run().ok();
            rpod!(t, "push", "-q", image, "oci:layout:two").run().ok();
            rpod!(t, "push", "-q", image, "oci:layout:one").run().ok();
            let index: serde_json::Value = serde_json::from_slice(&std::fs::read(t.home().join("layout/index.json"))?)?;
            assert_eq!(index["manifests"].as_array().unwrap().len(), 2, "{index}");
            rpod!(t, "pull", "-q", "oci:layout:three").run().fails(125, &["no such image"]);
            Ok(())
        }),
        trial("transports::a_docker_archive_has_the_images_name", User::Sub, |t| {
            let image = t.busybox()?;
            rpod!(t, "tag", image, "localhost/own:1").run().ok();
            rpod!(t, "push", "-q", "own:1", "docker-archive:a.tar").run().ok();
            rpod!(t, "rmi", "-af").run().ok();
            rpod!(t, "load", "-q", "-i", "a.tar").run().lines_are(&["Loaded image: localhost/own:1"]);
            // By its id it is meant without a name.
            let id = rpod!(t, "image", "inspect", "--format", "{{.Id}}", "own:1").run().ok().to_owned();
            rpod!(t, "push", "-q", &id, "docker-archive:b.tar").run().ok();
            rpod!(t, "rmi", "-af").run().ok();
            rpod!(t, "load", "-q", "-i", "b.tar").run().lines_are(&[&format!("Loaded image: sha256:{id}")]);
            Ok(())
        }),
        trial("transports::save_directories", User::Sub, save_directories),
        trial("transports::hostile", User::Sub, hostile),
        trial("transports::scp", User::Sub, scp),
        trial("transports::refused", User::Sub, |t| {
            for name in ["containers-storage:busybox", "docker-daemon:busybox:latest"] {
                rpod!(t, "pull", name).run().fails(125, &["not supported"]);
            }
            rpod!(t, "pull", "oci:nosuch:x").run().fails(125, &["nosuch"]);
            rpod!(t, "pull", "-a", "oci:nosuch").run().fails(125, &["--all-tags"]);
            Ok(())
        }),
    ]
}

const PLACES: [&str; 4] =
    ["docker-archive:a.tar:localhost/a:1", "oci-archive:b.tar:localhost/b:1", "oci:c:localhost/c:1", "dir:d"];

fn round_trip(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let id = rpod!(t, "image", "inspect", "--format", "{{.Id}}", image).run().ok().to_owned();
    for place in PLACES {
        rpod!(t, "push", "-q", image, place).run().ok();
    }
    rpod!(t, "push", "-q", image, PLACES[0]).run().fails(125, &["docker archive"]);
    rpod!(t, "rmi", "-af").run().ok();
    for place in PLACES {
        assert_eq!(rpod!(t, "pull", "-q", place).run().ok(), id, "{place}");
    }
    let names = rpod!(t, "images", "--format", "{{.Repository}}:{{.Tag}}").run().ok().to_owned();
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["localhost/a:1", "localhost/b:1", "localhost/c:1"]);
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "run", "--rm", "--network=none", "oci-archive:b.tar", "echo", "runs").run().lines_are(&["runs"]);
    for flags in [["--compression-format", "zstd"], ["--compression-format", "gzip"]] {
        let words =
            ["push", "-q"].iter().chain(&flags).chain(&["localhost/b:1", "oci:e:x"]).copied().collect::<Vec<_>>();
        t.rpod(words).run().ok();
        rpod!(t, "pull", "-q", "oci:e:x").run().ok();
    }
    Ok(())
}

fn skopeo_reads(t: &Sandbox) -> Outcome {
    need([Need::Skopeo])?;
    let image = t.busybox()?;
    for place in PLACES {
        rpod!(t, "push", "-q", image, place).run().ok();
        let copy = format!("dir:copy-{}", place.len());
        t.program("skopeo", ["copy", "-q", "--insecure-policy", place, &copy]).run().ok();
    }
    rpod!(t, "push", "-q", "--compress", image, "dir:f").run().ok();
    t.program("skopeo", ["copy", "-q", "--insecure-policy", "dir:f", "oci:g:x"]).run().ok();
    Ok(())
}

fn reads_skopeos(t: &Sandbox) -> Outcome {
    need([Need::Skopeo])?;
    t.write("home/in.tar", Image::busybox()?.docker_archive(&["localhost/b:1"]))?;
    for place in ["docker-archive:a.tar:localhost/a:1", "oci-archive:b.tar:x", "oci:c:x", "dir:d"] {
        t.program("skopeo", ["copy", "-q", "--insecure-policy", "docker-archive:in.tar", place]).run().ok();
        let id = rpod!(t, "pull", "-q", place).run().ok().to_owned();
        rpod!(t, "run", "--rm", "--network=none", &id, "echo", "runs").run().lines_are(&["runs"]);
        rpod!(t, "rmi", "-af").run().ok();
    }
    for dir in ["c", "d"] {
        rpod!(t, "load", "-q", "-i", dir).run().ok();
    }
    Ok(())
}

fn save_directories(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let id = rpod!(t, "image", "inspect", "--format", "{{.Id}}", image).run().ok().to_owned();
    rpod!(t, "save", "-q", "--format", "oci-dir", "-o", "o", image).run().ok();
    rpod!(t, "save", "-q", "--format", "docker-dir", "-o", "d", image).run().ok();
    rpod!(t, "save", "-q", "--format", "docker-dir", "--compress", "-o", "z", image).run().ok();
    rpod!(t, "save", "--compress", "-o", "x", image).run().fails(125, &["docker-dir"]);
    rpod!(t, "save", "--format", "oci-dir", image).run().fails(125, &["--output"]);
    rpod!(t, "rmi", "-af").run().ok();
    rpod!(t, "load", "-q", "-i", "o").run().lines_are(&[&format!("Loaded image: {BUSYBOX}")]);
    // dir: keeps no name.
    for dir in ["d", "z"] {
        rpod!(t, "load", "-q", "-i", dir).run().lines_are(&[&format!("Loaded image: sha256:{id}")]);
    }
    Ok(())
}

/// Directories and archives that lead outside, lack blobs or have them twice.
fn hostile(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "push", "-q", image, "oci:o:x").run().ok();
    rpod!(t, "push", "-q", image, "oci-archive:o.tar:x").run().ok();
    rpod!(t, "push", "-q", image, "dir:d").run().ok();
    rpod!(t, "rmi", "-af").run().ok();
    let home = t.home();
    let layer = std::fs::read_dir(home.join("d"))?
        .flatten()
        .max_by_key(|entry| entry.metadata().map(|meta| meta.len()).unwrap_or_default())
        .expect("a layer")
        .path();
    let content = std::fs::read(&layer)?;
    // A blob that is a link to elsewhere, a pipe, another one's content, missing.
    let spoil = |what: &str| -> Outcome {
        std::fs::remove_file(&layer)?;
        match what {
            "link" => std::os::unix::fs::symlink("/etc/passwd", &layer)?,
            "pipe" => drop(t.program("mkfifo", [layer.to_str().unwrap()]).run()),
            "other" => std::fs::write(&layer, vec![0; content.len()])?,
            _ => {}
        }
        let out = rpod!(t, "pull", "-q", "dir:d").run();
        out.fails(125, &[]);
        assert!(!out.stderr.contains("root:"), "{out}");
        rpod!(t, "images", "-q").run().lines_are(&[]);
        if what != "missing" {
            std::fs::remove_file(&layer)?;
        }
        std::fs::write(&layer, &content)?;
        Ok(())
    };
    ["link", "pipe", "other", "missing"].iter().try_for_each(|what| spoil(what))?;
    // A name in an index that is none.
    let index = std::fs::read_to_string(home.join("o/index.json"))?;
    for bad in ["a\\u0007b", "../x", "A:b", "x\\n:y"] {
        let named = index.replace("\"x\"", &format!("\"{bad}\""));
        std::fs::write(home.join("o/index.json"), named)?;
        let out = rpod!(t, "load", "-q", "-i", "o").run();
        out.fails(125, &[]);
        assert!(!out.stderr.contains('\u{7}'), "{out}");
    }
    // A blob twice in an archive: the last one counts, and it must be the right one.
    let archive = std::fs::read(home.join("o.tar"))?;
    let entries = super::images::entries(&archive);
    let name = entries.iter().max_by_key(|(_, content)| content.len()).expect("a layer").0.clone();
    let twice = |second: &[u8]| {
        let mut tar = Tarball::new();
        for (name, content) in &entries {
            tar = tar.file(name, 0o644, content);
        }
        tar.file(&name, 0o644, second).finish()
    };
    t.write("home/twice.tar", twice(&vec![1; entries[&name].len()]))?;
    rpod!(t, "load", "-q", "-i", "twice.tar").run().fails(125, &[]);
    rpod!(t, "images", "-q").run().lines_are(&[]);
    t.write("home/twice.tar", twice(&entries[&name].clone()))?;
    rpod!(t, "load", "-q", "-i", "twice.tar").run().ok();
    Ok(())
}

/// With a program in the place of ssh that runs what it is told on "another host": another home of the same user.
fn scp(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let fake = "#!/bin/sh\n[ \"$1\" = -p ] && shift 2\n[ \"$1\" = -- ] && shift\necho \"$1\" >>\"$OLD/hosts\"\n\
                export HOME=$OLD/$1 RPOD_ROOT=$OLD/$1/data; mkdir -p $HOME; exec sh -c \"$2\"\n";
    let ssh = t.write("home/fake-ssh", fake)?;
    std::fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let scp = |words: &[&str]| {
        t.rpod(["image", "scp", "-q"].iter().chain(words).copied()).env("RPOD_SSH", &ssh).env("OLD", t.home()).run()
    };
    scp(&[image, "one.example::"]).ok();
    scp(&["one.example:22::busybox", "u@two.example::"]).ok();
    rpod!(t, "rmi", "-af").run().ok();
    scp(&["u@two.example::busybox"]).lines_are(&[&format!("Loaded image: {BUSYBOX}")]);
    rpod!(t, "run", "--rm", "--network=none", image, "echo", "runs").run().lines_are(&["runs"]);
    // The two ends of the second one are asked side by side.
    let hosts = std::fs::read_to_string(t.home().join("hosts"))?;
    let mut hosts: Vec<&str> = hosts.lines().collect();
    hosts.sort_unstable();
    assert_eq!(hosts, ["one.example", "one.example", "u@two.example", "u@two.example"]);
    scp(&["one.example::nosuch"]).fails(125, &["ssh to one.example failed"]);
    scp(&["other@localhost::x"]).fails(125, &["takes root"]);
    scp(&["-oProxyCommand=x::x"]).code(125);
    scp(&[image, image]).fails(125, &["neither side"]);
    rpod!(t, "image", "scp", image, "h::").env("RPOD_SSH", "/nosuch").run().fails(125, &["cannot run ssh"]);
    Ok(())
}
