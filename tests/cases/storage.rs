//! The three drivers, by the same tests: what layers hold must be seen in the container.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::support::{Compression, Image, Need, Outcome, Sandbox, Tarball, Trial, User, need, rpod, trial};

const DRIVERS: [&str; 3] = ["overlay", "fuse-overlayfs", "copy"];

type Case = fn(&Sandbox) -> Outcome;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let cases: [(&str, Case); 8] = [
        ("whiteouts", whiteouts),
        ("metadata", metadata),
        ("upper", upper),
        ("replaced_kinds", replaced_kinds),
        ("deep", deep),
        ("hard_link_modes", hard_link_modes),
        ("private_root", private_root),
        ("many_layers", many_layers),
    ];
    for driver in DRIVERS {
        for user in [User::Sub, User::NoSub] {
            for (name, case) in cases {
                trials.push(trial(format!("storage::{name}::{driver}::{user}"), user, move |t| {
                    choose(t, driver)?;
                    case(t)
                }));
            }
        }
    }
    trials.push(trial("storage::driver_is_probed_and_named", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "create", "--name", "d", image, "true").run().ok();
        let used = rpod!(t, "inspect", "--format", "{{.Driver}}", "d").run().ok().to_owned();
        assert!(DRIVERS.contains(&used.as_str()), "{used}");
        rpod!(t, "--storage-driver", "bogus", "images").run().fails(125, &["bogus", "overlay"]);
        Ok(())
    }));
    trials.push(trial("storage::driver_is_not_judged_by_other_failures", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "create", image, "true").run().ok();
        let usual = rpod!(t, "inspect", "--latest", "--format", "{{.Driver}}").run().ok().to_owned();
        t.script("rm ~/.local/state/rpod/hosts/*/driver.json").run().ok();
        // No namespace can be entered: what works here cannot be found out.
        for program in ["newuidmap", "newgidmap"] {
            let path = t.write(&format!("home/broken/{program}"), "#!/bin/sh\necho 'no ids today' >&2\nexit 1\n")?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
        }
        let path = format!("{}:/usr/bin:/bin", t.home().join("broken").display());
        rpod!(t, "create", image, "true").env("PATH", path).run().fails(125, &["newuidmap", "no ids today"]);
        rpod!(t, "create", image, "true").run().ok();
        rpod!(t, "inspect", "--latest", "--format", "{{.Driver}}").run().lines_are(&[&usual]);
        Ok(())
    }));
    trials.push(trial("storage::file_capabilities", User::Sub, file_capabilities));
    trials.push(trial("storage::root_option", User::Sub, |t| {
        let image = t.busybox()?;
        let other = t.mkdir("home/other")?;
        rpod!(t, "--root", &other, "images", "-q").run().lines_are(&[]);
        rpod!(t, "images", "-q", image).run().ok();
        Ok(())
    }));
    trials
}

/// The driver for all that follows, or why not.
pub fn choose(t: &Sandbox, driver: &str) -> Outcome {
    if driver == "fuse-overlayfs" {
        need([Need::FuseOverlayfs])?;
    }
    t.use_driver(driver);
    Ok(())
}

fn load(t: &Sandbox, image: &Image) -> Result<&'static str, crate::support::Stop> {
    let archive = t.write("home/storage.tar", image.docker_archive(&["localhost/storage"]))?;
    rpod!(t, "load", "-q", "-i", &archive).run().ok();
    Ok("localhost/storage")
}

fn sh(t: &Sandbox, image: &str, script: &str) -> crate::support::Output {
    rpod!(t, "run", "--rm", "--network=none", image, "sh", "-c", script).run()
}

fn whiteouts(t: &Sandbox) -> Outcome {
    let second = Tarball::new()
        .dir("d/", 0o755)
        .file("d/gone", 0o644, "x")
        .file("d/stays", 0o644, "stays\n")
        .dir("d/sub/", 0o755)
        .file("d/sub/x", 0o644, "x")
        .dir("opaque/", 0o755)
        .file("opaque/old", 0o644, "x")
        .symlink("link-gone", "d/stays")
        .file("again", 0o644, "first\n")
        .finish();
    let third = Tarball::new()
        .file("d/.wh.gone", 0o644, "")
        .file("d/.wh.sub", 0o644, "")
        // The marker comes after the directory's new content: it hides only what lower layers have.
        .dir("opaque/", 0o700)
        .file("opaque/new", 0o644, "new\n")
        .file("opaque/.wh..wh..opq", 0o644, "")
        .file(".wh.link-gone", 0o644, "")
        .file(".wh.again", 0o644, "")
        .file(".wh.never-was", 0o644, "")
        .finish();
    let fourth = Tarball::new().file("again", 0o644, "second\n").finish();
    let image = Image::busybox()?
        .layer(second, Compression::Gzip)
        .layer(third, Compression::Zstd)
        .layer(fourth, Compression::None);
    let name = load(t, &image)?;
    let script = "ls -A /d /opaque; cat /again; ls -d /link-gone 2>/dev/null; ls -aR / 2>/dev/null | grep '[.]wh[.]'; stat -c %a /opaque; \
                  rm -r /d && mkdir /d && ls -A /d && echo emptied";
    sh(t, name, script).lines_are(&["/d:", "stays", "", "/opaque:", "new", "second", "700", "emptied"]);
    // What the first layer had is unharmed for the next container.
    sh(t, name, "cat /d/stays").lines_are(&["stays"]);
    Ok(())
}

/// An image with one of everything a layer can hold.
pub fn everything() -> Image {
    let long = format!("{}/{}", "directory-with-a-long-name".repeat(5), "file-with-a-long-name".repeat(9));
    let gnu = format!("gnu/{}", "n".repeat(200));
    // Sparse, old GNU format: 1 MiB with 512 bytes of data at its end.
    let layer = Tarball::new()
        .dir("e/", 0o755)
        .file("e/plain", 0o644, "plain\n")
        .hardlink("e/hard", "e/plain")
        .symlink("e/soft", "plain")
        .symlink("e/dangling", "../../../../../nowhere")
        .file("e/setuid", 0o4755, "x")
        .file("e/setgid", 0o2755, "x")
        .dir("e/sticky/", 0o1777)
        .file("e/secret", 0o600, "x")
        .owned_file("e/owned", 0o640, 1000, 44, "x")
        .char_device("e/null", 0o666, 1, 3)
        .fifo("e/fifo")
        .file("e/empty", 0o644, "")
        .pax(&[("mtime", b"1700000000.123456789")])
        .file("e/nanoseconds", 0o644, "x")
        .pax(&[("path", long.as_bytes())])
        .file("e/shortened", 0o644, "long\n")
        .pax(&[("SCHILY.xattr.user.test", b"value"), ("SCHILY.xattr.user.binary", &[0, 255, 10, 61])])
        .file("e/xattr", 0o644, "x")
        .gnu_long_name(&gnu)
        .file("gnu/cut", 0o644, "gnu\n")
        .file("e/ünïcödé", 0o644, "u\n")
        .file("e/twice", 0o644, "first\n")
        .file("e/twice", 0o600, "second\n")
        .finish();
    Image::scratch()
        .layer(layer, Compression::Gzip)
        .layer(Tarball::new().file("e/.wh.empty", 0o644, "").dir("e/", 0o711).finish(), Compression::None)
        .config("Cmd", json!(["true"]))
}

fn metadata(t: &Sandbox) -> Outcome {
    let mut image = Image::busybox()?;
    image.layers.extend(everything().layers);
    let name = load(t, &image)?;
    let script = "cd /e; cat hard soft twice; [ plain -ef hard ] && echo linked; stat -c '%a %n' setuid setgid sticky secret twice .; \
                  readlink dangling; test -p fifo && echo fifo; stat -c %Y nanoseconds; stat -c %y nanoseconds | grep -o '[.][0-9]*'; \
                  cat /directory*/file*; cat /gnu/n*; cat ünïcödé; ls empty 2>/dev/null";
    sh(t, name, script).lines_are(&[
        "plain",
        "plain",
        "second",
        "linked",
        "4755 setuid",
        "2755 setgid",
        "1777 sticky",
        "600 secret",
        "600 twice",
        "711 .",
        "../../../../../nowhere",
        "fifo",
        "1700000000",
        ".123456789",
        "long",
        "gnu",
        "u",
    ]);
    let owner = if t.user() == User::Sub { "1000:44" } else { "0:0" };
    sh(t, name, "stat -c %u:%g /e/owned").lines_are(&[owner]);
    Ok(())
}

fn upper(t: &Sandbox) -> Outcome {
    let layer = Tarball::new().dir("big/", 0o755).file("big/file", 0o644, vec![b'x'; 5_000_000]).finish();
    let name = load(t, &Image::busybox()?.layer(layer, Compression::Gzip))?;
    // Written, renamed, removed, linked: and the image stays as it was.
    let script = "echo y >>/big/file; mv /big /large; ln /large/file /hard; rm /bin/vi; chmod 700 /etc; stat -c %s /hard; ls /bin/vi 2>/dev/null; stat -c %a /etc";
    sh(t, name, script).lines_are(&["5000002", "700"]);
    sh(t, name, "stat -c %s /big/file; ls /bin/vi; stat -c %a /etc").lines_are(&["5000000", "/bin/vi", "755"]);
    // A container's own files stay with it.
    rpod!(t, "run", "--name", "w", "--network=none", name, "sh", "-c", "echo kept >/kept; rm -rf /big").run().ok();
    rpod!(t, "start", "-a", "w").run().code(0);
    Ok(())
}

fn replaced_kinds(t: &Sandbox) -> Outcome {
    let first = Tarball::new()
        .dir("was-dir/", 0o755)
        .file("was-dir/x", 0o644, "x")
        .file("was-file", 0o644, "x")
        .symlink("was-link", "/etc")
        .dir("real/", 0o755)
        .symlink("to-real", "real")
        .finish();
    let second = Tarball::new()
        .file("was-dir", 0o644, "now a file\n")
        .dir("was-file/", 0o755)
        .file("was-file/y", 0o644, "now a directory\n")
        .dir("was-link/", 0o755)
        .file("was-link/passwd", 0o644, "not /etc/passwd\n")
        .file("to-real/z", 0o644, "z\n")
        .finish();
    let name = load(t, &Image::busybox()?.layer(first, Compression::None).layer(second, Compression::None))?;
    sh(t, name, "cat /was-dir /was-file/y /was-link/passwd; grep -c root /etc/passwd").lines_are(&[
        "now a file",
        "now a directory",
        "not /etc/passwd",
        "1",
    ]);
    Ok(())
}

/// The root directory of an image was a private one where it was made; everybody may look into the container's.
fn private_root(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?.layer(Tarball::new().dir("./", 0o700).finish(), Compression::None);
    let archive = t.write("image.tar", image.docker_archive(&["localhost/private"]))?;
    rpod!(t, "load", "-qi", &archive).run().ok();
    let run = ["run", "--rm", "--network", "none", "--read-only", "localhost/private", "stat", "-c", "%a", "/"];
    t.rpod(run).run().lines_are(&["755"]);
    if t.user() == User::Sub {
        rpod!(t, "run", "--rm", "--network", "none", "--user", "65534", "localhost/private", "id", "-u")
            .run()
            .lines_are(&["65534"]);
    }
    Ok(())
}

/// As in Docker, a hard link's header says what the file is like.
fn hard_link_modes(t: &Sandbox) -> Outcome {
    let tar = Tarball::new()
        .file("first", 0o600, "x")
        .entry(tar::EntryType::Link, "second", 0o755, &[], |header| header.set_link_name("first").unwrap())
        .finish();
    let name = load(t, &Image::busybox()?.layer(tar, Compression::None))?;
    sh(t, name, "stat -c '%a %h' /first").lines_are(&["755 2"]);
    Ok(())
}

/// Forty layers, more than a mount option string holds with long names.
fn deep(t: &Sandbox) -> Outcome {
    let mut image = Image::busybox()?;
    for n in 0..40 {
        let layer = Tarball::new().file(&format!("layer-{n}"), 0o644, "").file("last", 0o644, format!("{n}\n"));
        image = image.layer(layer.finish(), Compression::Gzip);
    }
    let name = load(t, &image)?;
    sh(t, name, "cat /last; ls /layer-* | wc -l").lines_are(&["39", "40"]);
    Ok(())
}

/// cap_net_bind_service+ep on a copy of busybox, as `setcap` writes it.
fn file_capabilities(t: &Sandbox) -> Outcome {
    const VFS_CAP_REVISION_2_EFFECTIVE: u32 = 0x0200_0001;
    let value: Vec<u8> =
        [VFS_CAP_REVISION_2_EFFECTIVE, 1 << 10, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect();
    let tar = Image::busybox()?.layers[0].tar.clone();
    let program = super::images::entries(&tar)["bin/busybox"].clone();
    let layer = Tarball::new()
        .pax(&[("SCHILY.xattr.security.capability", &value)])
        .file("bin/capable/grep", 0o755, program)
        .finish();
    let name = load(t, &Image::busybox()?.layer(layer, Compression::None))?;
    // Also where the container's root is another id than the store's.
    for map in ["--userns=", "--userns=keep-id", "--userns=keep-id:uid=77,gid=77", "--userns=auto"] {
        let words = ["run", "--rm", "-u", "1000", "--network=none", map, name, "/bin/capable/grep", "CapEff"];
        t.rpod(words.iter().chain(&["/proc/self/status"])).run().lines_are(&["CapEff:\t0000000000000400"]);
    }
    Ok(())
}

/// The kernel stacks 500 directories, whose names have to fit one page.
fn many_layers(t: &Sandbox) -> Outcome {
    let mut image = Image::busybox()?;
    for number in 1..490 {
        let tar = Tarball::new().file(&format!("many/{number}"), 0o644, number.to_string()).finish();
        image = image.layer(tar, Compression::None);
    }
    let image = load(t, &image)?;
    let count = "ls /many | wc -l; cat /many/1 /many/489";
    rpod!(t, "run", "--name", "a", image, "sh", "-c", format!("{count}; echo > /many/own")).run().prints("489\n1489");
    rpod!(t, "diff", "a").run().prints("A /many/own");
    rpod!(t, "cp", "a:/many/250", "-").run().ok();
    rpod!(t, "commit", "-q", "a", "b").run().ok();
    t.write("home/Dockerfile", format!("FROM b\nRUN {count}\nRUN --mount=from=b,target=/b ls /b/many/own\n"))?;
    let built = rpod!(t, "build", "-t", "c", "-f", t.home().join("Dockerfile"), t.home()).run();
    built.ok();
    rpod!(t, "run", "--rm", "c", "sh", "-c", count).run().lines_are(&["490", "1489"]);
    rpod!(t, "unshare", "sh", "-c", format!("ls $({} image mount c)/many/489", t.binary().display())).run().ok();
    Ok(())
}
