//! The room that images take: shared and unique sizes, prune, tree, mount.

use crate::support::{
    Compression, Image, Need, Outcome, Registry, Sandbox, Tarball, Trial, User, for_each_user, need, rpod, trial,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("image_space::prune_frees_what_is_unique", User::Sub, frees_what_is_unique),
        trial("image_space::prune", User::Sub, prune),
        trial("image_space::pulled_by_digest", User::Sub, pulled_by_digest),
        trial("image_space::filters", User::Sub, filters),
        trial("image_space::tree", User::Sub, tree),
        trial("image_space::dedup", User::Sub, dedup),
        trial("image_space::dedup_by_links", User::Sub, dedup_by_links),
        trial("image_space::full_disk", User::Sub, full_disk),
        trial("image_space::pull_after_rmi_is_elsewhere", User::Sub, spread),
    ];
    trials.extend(for_each_user("image_space::mount", mount));
    trials
}

/// `localhost/base` and, with one layer more, `localhost/top`.
fn two(t: &Sandbox) -> Result<(Image, Image), crate::support::Stop> {
    let base = Image::busybox()?;
    let layer =
        Tarball::new().dir("own/", 0o755).file("own/file", 0o640, "mine\n").file("etc/more", 0o644, "x").finish();
    let top = base.clone().layer(layer, Compression::None);
    for (name, image) in [("localhost/base", &base), ("localhost/top", &top)] {
        let archive = t.write("home/a.tar", image.docker_archive(&[name]))?;
        rpod!(t, "load", "-q", "-i", &archive).run().ok();
    }
    Ok((base, top))
}

fn frees_what_is_unique(t: &Sandbox) -> Outcome {
    two(t)?;
    let images = rpod!(t, "images", "--format", "json").run().json();
    let of = |name: &str| {
        let full = format!("localhost/{name}:latest");
        let found = images.as_array().into_iter().flatten().find(|i| i["Names"][0] == full.as_str());
        found.cloned().unwrap_or_default()
    };
    let (base, top) = (of("base"), of("top"));
    let number = |image: &serde_json::Value, key: &str| image[key].as_u64().unwrap_or_else(|| panic!("{key}: {image}"));
    // All of the base's layers are in the other one as well.
    assert_eq!(number(&base, "SharedSize"), number(&top, "SharedSize"));
    let unique = number(&top, "UniqueSize");
    assert_eq!(unique, number(&top, "Size") - number(&top, "SharedSize"));
    assert!(number(&base, "UniqueSize") < 4096 && (4096..8192).contains(&unique), "{base} {top}");
    let line = "{{.Repository}} {{.Containers}}";
    rpod!(t, "create", "localhost/base", "true").run().ok();
    rpod!(t, "images", "--format", line, "localhost/base").run().lines_are(&["localhost/base 1"]);
    rpod!(t, "image", "prune", "--all", "--force").run().says(&format!("Total reclaimed space: {}", size(unique)));
    // What the container's image needs is there.
    rpod!(t, "run", "--rm", "localhost/base", "true").run().ok();
    rpod!(t, "image", "exists", "localhost/top").run().code(1);
    Ok(())
}

/// As go-units writes what has four digits.
fn size(bytes: u64) -> String {
    if bytes < 1000 { format!("{bytes}B") } else { format!("{}kB", bytes as f64 / 1000.0) }
}

fn prune(t: &Sandbox) -> Outcome {
    let (base, top) = two(t)?;
    rpod!(t, "image", "prune").stdin("n\n").run().ok();
    // Nothing is without a name.
    rpod!(t, "image", "prune", "--force").run().lines_are(&[]);
    // The name moves on; its old image has none.
    rpod!(t, "tag", "localhost/base", "localhost/top").run().ok();
    rpod!(t, "image", "prune", "--force", "--filter", "label=nosuch").run().lines_are(&[]);
    rpod!(t, "image", "prune", "--force", "--filter", "until=2001-01-01T00:00:00Z").run().lines_are(&[]);
    rpod!(t, "image", "prune", "--force", "--filter", "reference=x").run().fails(125, &["reference"]);
    let out = rpod!(t, "image", "prune").stdin("y\n").run();
    out.prints("WARNING! This command removes all dangling images.").prints(&top.id()[7..]);
    rpod!(t, "images", "-q", "--no-trunc").run().ok();
    rpod!(t, "image", "exists", &top.id()[7..]).run().code(1);
    // What a pull that was cut off left is counted, and goes with everything that is not needed.
    std::fs::write(t.data().join("staging/0.partial"), vec![1; 5_000_000])?;
    let before = rpod!(t, "system", "df", "--format", "{{.RawSize}}").run().ok().to_owned();
    assert!(
        before.lines().next().is_some_and(|size| size.parse::<u64>().is_ok_and(|size| size > 5_000_000)),
        "{before}"
    );
    rpod!(t, "image", "prune", "-f").run().ok();
    assert!(t.data().join("staging/0.partial").exists());
    rpod!(t, "create", "--name", "keeps", "localhost/base", "true").run().ok();
    rpod!(t, "image", "prune", "-af").run().says("Total reclaimed space: 5MB");
    assert!(!t.data().join("staging/0.partial").exists());
    rpod!(t, "rm", "keeps").run().ok();
    // A container keeps its image, whatever runs.
    rpod!(t, "create", "--name", "user", "localhost/base", "true").run().ok();
    rpod!(t, "image", "prune", "-af").run().lines_are(&[]);
    rpod!(t, "rm", "user").run().ok();
    rpod!(t, "image", "prune", "-af", "--external").run().lines_are(&[&base.id()[7..]]);
    rpod!(t, "images", "-q").run().lines_are(&[]);
    Ok(())
}

fn filters(t: &Sandbox) -> Outcome {
    two(t)?;
    let labelled = Image::busybox()?.config("Labels", serde_json::json!({"tier": "one"}));
    let archive = t.write("home/l.tar", labelled.docker_archive(&["localhost/labelled"]))?;
    rpod!(t, "load", "-q", "-i", &archive).run().ok();
    rpod!(t, "create", "localhost/top", "true").run().ok();
    let digest = rpod!(t, "image", "inspect", "--format", "{{.Digest}}", "localhost/base").run().ok().to_owned();
    for (filter, expected) in [
        ("label=tier", &["labelled"][..]),
        ("label=tier=two", &[]),
        ("label!=tier", &["base", "top"]),
        ("label!=tier=one", &["base", "top"]),
        ("containers=true", &["top"]),
        ("containers=false", &["base", "labelled"]),
        ("containers=external", &[]),
        ("manifest=true", &[]),
        (&format!("digest={digest}"), &["base"]),
        ("digest=sha256:00000000", &[]),
    ] {
        let out = rpod!(t, "images", "--filter", filter, "--sort", "repository", "--format", "{{.Repository}}").run();
        let found: Vec<&str> = out.ok().lines().map(|line| line.trim_start_matches("localhost/")).collect();
        assert_eq!(found, expected, "{filter}");
    }
    rpod!(t, "images", "--filter", "nosuch=1").run().fails(125, &["nosuch", "choose from"]);
    rpod!(t, "images", "--history").run().prints("HISTORY");
    Ok(())
}

fn tree(t: &Sandbox) -> Outcome {
    let (base, top) = two(t)?;
    let out = rpod!(t, "image", "tree", "localhost/top").run();
    for part in [
        &format!("Image ID: {}", &top.id()[7..19]),
        "Tags:     [localhost/top:latest]",
        "Image Layers\n├── ID: ",
        "Top Layer of: [localhost/base:latest]\n└── ID: ",
        "Top Layer of: [localhost/top:latest]",
    ] {
        out.prints(part);
    }
    let out = rpod!(t, "image", "tree", "--whatrequires", "localhost/base").run();
    // One after the other, as Podman lists them.
    out.prints("Image Layers\n├── ID: ").prints("Top Layer of: [localhost/base:latest]\n└── ID: ");
    out.prints("Top Layer of: [localhost/top:latest]").prints(&format!("Image ID: {}", &base.id()[7..19]));
    rpod!(t, "image", "tree", "nosuch").run().fails(125, &["nosuch"]);
    Ok(())
}

fn mount(t: &Sandbox) -> Outcome {
    let (base, top) = two(t)?;
    rpod!(t, "image", "mount", "localhost/top").run().fails(125, &["rpod unshare"]);
    rpod!(t, "image", "mount").run().lines_are(&[]);
    let rpod = t.binary();
    let script = format!(
        "set -e; r={}; m=$($r image mount localhost/top); cat $m/own/file; ls $m/bin/busybox >/dev/null; ! touch $m/own/new 2>/dev/null
         test $m = $($r image mount localhost/top); one=$($r image mount localhost/base); test ! -e $one/own; test -e $one/bin/busybox
         $r image mount --format json | grep -c mountpoint
         $r image unmount localhost/base; $r image umount --all; test ! -e $m; ! $r image unmount localhost/top 2>/dev/null",
        rpod.display()
    );
    let out = rpod!(t, "unshare", "sh", "-c", &script).run();
    out.lines_are(&["mine", "2", &base.id()[7..], &top.id()[7..]]);
    rpod!(t, "image", "mount").run().lines_are(&[]);
    Ok(())
}

/// ext4's attribute T on the directory that layers are made in; other file systems have none.
fn spread(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let staging = t.data().join("staging");
    let Ok(output) = std::process::Command::new("lsattr").arg("-d").arg(&staging).output() else { return Ok(()) };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        assert!(text.split_whitespace().next().is_some_and(|flags| flags.contains('T')), "{text}");
    }
    Ok(())
}

/// The message names the place and what is needed; nothing is kept, and once there is room it works.
fn full_disk(t: &Sandbox) -> Outcome {
    let tar = Tarball::new().file("large", 0o644, "0123456789abcdef".repeat(400_000)).finish();
    let image = Image::busybox()?.layer(tar, Compression::None);
    let archive = t.write("home/large.tar", image.docker_archive(&["localhost/large"]))?;
    let disk = t.mkdir("home/disk")?;
    let (as_user, rpod, disk, archive) = (t.become_user(), t.binary().display(), disk.display(), archive.display());
    let script = format!(
        "mount -t tmpfs -o size=5m,mode=777 tmpfs {disk}
         r='{as_user} {rpod} --root {disk}/data'
         $r load -q -i {archive} && exit 1
         test -z \"$($r images -aq)\" || exit 2
         test -z \"$(ls -A {disk}/data/staging)\" || exit 3
         mount -o remount,size=20m {disk}
         $r load -q -i {archive} && $r run --rm --network none localhost/large sh -c 'wc -c </large'"
    );
    let out = t.program_as_root("unshare", ["--mount", "sh", "-c", &script]).run();
    out.prints("6400000").says("No space left on device").says("/home/disk/data has ").says("bytes left");
    Ok(())
}

/// Equal files of two layers take their blocks once, and stay two files.
fn dedup(t: &Sandbox) -> Outcome {
    need([Need::Xfs])?;
    let image = t.home().join("xfs.img");
    let (place, home) = (t.mkdir("xfs")?, t.home());
    let content = super::push::noise(3 << 20);
    let layer = |mode, other: &str| {
        Tarball::new().file("same", mode, &content).file("other", 0o644, other.repeat(5000)).finish()
    };
    let two = Image::busybox()?.layer(layer(0o644, "a"), Compression::None).layer(layer(0o755, "b"), Compression::None);
    t.write("home/two.tar", two.docker_archive(&["localhost/two"]))?;
    // On the file system of the trials there is nothing to be had, or all of it: no test of ours.
    let inner = format!(
        "set -eu; export RPOD_ROOT={0}/store; cd {1}; rpod load -q -i two.tar >/dev/null; \
         rpod system dedup; rpod system dedup; rpod system check; \
         rpod run --rm --network=none localhost/two sh -c 'stat -c \"%a %h\" /same; md5sum </same | cut -c1-32; cut -c1 /other'; \
         rpod save -q localhost/two | wc -c; rpod rmi -af >/dev/null",
        place.display(),
        home.display()
    );
    let outer = format!(
        "set -eu; truncate -s 400M {0}; mkfs.xfs -q {0}; mount -o loop {0} {1}; chown {2} {1}; exec {3} bash -c '{4}'",
        image.display(),
        place.display(),
        t.uid(),
        t.become_user(),
        inner.replace('\'', r"'\''")
    );
    let words = ["-m", "--propagation", "private", "bash", "-c", &outer];
    let out = t.program_as_root("unshare", words).limit(std::time::Duration::from_secs(100)).run();
    let lines: Vec<&str> = out.ok().lines().collect();
    assert!(lines[0].starts_with("1 files") && lines[0].ends_with(": 3.146MB saved, 3.146MB in all"), "{out}");
    assert!(lines[1].starts_with("0 files") && lines[1].ends_with(": 0B saved, 3.146MB in all"), "{out}");
    assert_eq!((lines[2], lines[4]), ("755 1", "b"), "{out}");
    Ok(())
}

/// Two editions of one image: what did not change becomes one file, and nothing that an image has twice.
fn dedup_by_links(t: &Sandbox) -> Outcome {
    let content = super::push::noise(1 << 20);
    let edition = |mark: &str| {
        Tarball::new()
            .dir("kept", 0o755)
            .file("kept/same", 0o644, &content)
            .file("mode", if mark == "a" { 0o644 } else { 0o600 }, &content)
            .file("changed", 0o644, mark.repeat(5000))
            .finish()
    };
    let twice = Tarball::new().file("again", 0o644, &content).finish();
    let images = [("a", edition("a")), ("b", edition("b"))].map(|(name, layer)| {
        Image::busybox()
            .map(|base| (name, base.layer(layer, Compression::None).layer(twice.clone(), Compression::None)))
    });
    for image in images {
        let (name, image) = image?;
        let archive = t.write("home/e.tar", image.docker_archive(&[&format!("localhost/{name}")]))?;
        rpod!(t, "load", "-q", "-i", &archive).run().ok();
    }
    let used = || {
        let lines = rpod!(t, "system", "df", "--format", "{{.RawSize}}").run();
        lines.ok().lines().next().and_then(|line| line.parse::<u64>().ok()).unwrap_or_else(|| panic!("{lines}"))
    };
    let before = used();
    let times =
        || rpod!(t, "run", "--rm", "--network=none", "localhost/b", "stat", "-c", "%y", "/kept").run().ok().to_owned();
    let changed = times();
    // A container's layers are left alone.
    rpod!(t, "create", "--name", "user", "localhost/b", "true").run().ok();
    rpod!(t, "system", "dedup", "--hard-links")
        .run()
        .lines_are(&["0 files are links to equal ones now: 0B saved, 0B in all"]);
    rpod!(t, "rm", "user").run().ok();
    // "same" of both; "mode" of the first is its equal, but the image has them together.
    let out = rpod!(t, "system", "dedup", "--hard-links").run();
    out.lines_are(&["1 files are links to equal ones now: 1.049MB saved, 1.049MB in all"]);
    assert_eq!(before - used(), 1 << 20, "system df counts them once");
    rpod!(t, "system", "dedup", "--hard-links").run().prints("0 files").prints("0B saved, 1.049MB in all");
    assert_eq!(times(), changed, "the directory is not touched");
    // Each container has its own all the same, and the layers are what they were.
    rpod!(t, "run", "--rm", "--network=none", "localhost/a", "sh", "-c", "echo mine >/kept/same").run().ok();
    let script = "cmp /kept/same /again && stat -c %a /mode; cut -c1 /changed";
    rpod!(t, "run", "--rm", "--network=none", "localhost/b", "sh", "-c", script).run().lines_are(&["600", "b"]);
    rpod!(t, "system", "check").run().ok();
    for name in ["localhost/a", "localhost/b"] {
        rpod!(t, "save", "-q", "-o", t.home().join("out.tar"), name).run().ok();
        rpod!(t, "rmi", name).run().ok();
    }
    Ok(())
}

/// A digest that was pulled is a name: neither prune nor the removal of a tag takes the image away.
fn pulled_by_digest(t: &Sandbox) -> Outcome {
    let registry = Registry::plain()?;
    super::pull::configure(t, registry)?;
    let repository = format!("{}/library/busybox", registry.host());
    let tagged = format!("{repository}:layers");
    rpod!(t, "pull", "-q", &tagged).run().ok();
    let digest = rpod!(t, "image", "inspect", "-f", "{{.Digest}}", &tagged).run().ok().to_owned();
    let pinned = format!("{repository}@{digest}");
    // What came with a tag goes with it.
    rpod!(t, "rmi", &tagged).run().ok();
    rpod!(t, "image", "exists", &pinned).run().code(1);
    let id = rpod!(t, "pull", "-q", &pinned).run().ok().to_owned();
    rpod!(t, "images", "-q", "--filter", "dangling=true").run().lines_are(&[]);
    rpod!(t, "image", "prune", "-f").run().lines_are(&[]);
    rpod!(t, "system", "prune", "-f").run().ok();
    rpod!(t, "image", "exists", &pinned).run().ok();
    rpod!(t, "tag", &pinned, "t:1").run().ok();
    rpod!(t, "create", "--name", "c", "t:1", "true").run().ok();
    rpod!(t, "rmi", "t:1").run().lines_are(&["Untagged: localhost/t:1"]);
    rpod!(t, "rm", "c").run().ok();
    rpod!(t, "rmi", &pinned).run().lines_are(&[&format!("Untagged: {pinned}"), &format!("Deleted: {id}")]);
    rpod!(t, "images", "-q").run().lines_are(&[]);
    // With the tag of another image, it is nobody's any more.
    rpod!(t, "pull", "-q", &tagged).run().ok();
    rpod!(t, "tag", t.busybox()?, &tagged).run().ok();
    rpod!(t, "images", "-q", "--filter", "dangling=true").run().lines_are(&[&id[..12]]);
    Ok(())
}
