//! Mounts that are more than a directory in its place: `U`, `O`, parts of volumes, other images, patterns, file systems
//! without a source; and the words of `--mount`.

use std::os::unix::fs::MetadataExt;

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("mount_options::chown", User::Sub, chown),
        trial("mount_options::overlay_of_other_ids", User::Sub, overlay_of_other_ids),
        trial("mount_options::no_source", User::Sub, no_source),
        trial("mount_options::links", User::Sub, links),
        trial("mount_options::inspect", User::Sub, inspect),
        trial("mount_options::refused", User::Sub, refused),
    ];
    trials.extend(for_each_user("mount_options::chown_single", chown_single));
    trials.extend(for_each_user("mount_options::overlay", overlay));
    trials.extend(for_each_user("mount_options::image", image));
    trials.extend(for_each_user("mount_options::glob", glob));
    trials.extend(for_each_user("mount_options::subpath", subpath));
    trials
}

/// In a container without a network, which removes itself.
macro_rules! run {
    ($t:expr, $($arg:expr),+ $(,)?) => { rpod!($t, "run", "--rm", "--network", "none", $($arg),+).run() };
}

fn chown(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    t.script("mkdir -p data/sub; echo x >data/sub/file; ln -s /etc/passwd data/link").run().ok();
    let dir = t.dir().join("home/data");
    let owners = "stat -c '%u %g' /m /m/sub /m/sub/file /m/link";
    let mount = |options: &str| format!("{}:/m:{options}", dir.display());
    run!(t, "-v", mount("U"), "--user", "5:6", image, "sh", "-c", owners).lines_are(&["5 6"; 4]);
    // What the link leads to is not touched, neither here nor there.
    assert_eq!(std::fs::metadata("/etc/passwd")?.uid(), 0);
    run!(t, "-v", mount("ro,U"), image, "sh", "-c", owners).lines_are(&["0 0"; 4]);
    assert_eq!(std::fs::metadata(dir.join("sub/file"))?.uid(), t.uid());
    let typed = format!("type=bind,src={},dst=/m,chown=true", dir.display());
    run!(t, "--userns", "keep-id", "--user", "7:8", "--mount", typed, image, "sh", "-c", owners).lines_are(&["7 8"; 4]);
    run!(t, "--userns", "nomap", "-v", mount("U"), image, "sh", "-c", owners).lines_are(&["0 0"; 4]);
    run!(t, "-v", "vol:/m:U", "--user", "5:6", image, "stat", "-c", "%u %g", "/m").lines_are(&["5 6"]);
    run!(t, "--tmpfs", "/m:U", "--user", "5:6", image, "stat", "-c", "%u %g", "/m").lines_are(&["5 6"]);
    run!(t, "-v", mount("U"), image, "true").ok();
    // Everybody's directories, and somebody else's.
    for path in ["/usr", "/", "/var/"] {
        let says = format!("You can manually `chown -R 0:0 {path}`");
        run!(t, "-v", format!("{path}:/m:U"), image, "true").fails(126, &["is not allowed", &says]);
    }
    run!(t, "-v", "/usr/share:/m:U", image, "true").fails(126, &["failed to chown recursively", "not permitted"]);
    Ok(())
}

/// The one thing that can be done where everything is the user's: nothing, and that works.
fn chown_single(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let dir = t.mkdir("home/data")?;
    t.write("home/data/file", "x\n")?;
    let out = run!(t, "-v", format!("{}:/m:U", dir.display()), image, "sh", "-c", "id -u; stat -c %u /m/file");
    out.lines_are(&["0", "0"]);
    Ok(())
}

fn overlay(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let dir = t.mkdir("home/it's a:dir,")?;
    t.write("home/it's a:dir,/kept", "old\n")?;
    t.script("ln -s 'it'\\''s a:dir,' plain").run().ok();
    let mount = format!("{}:/m:O", t.dir().join("home/plain").display());
    let change = "cat /m/kept; rm /m/kept; echo new >/m/new; chmod 700 /m; ls /m";
    for _ in 0..2 {
        rpod!(t, "run", "--rm", "--network", "none", "-v", &mount, image, "sh", "-c", change)
            .run()
            .lines_are(&["old", "new"]);
    }
    assert_eq!(std::fs::read_to_string(dir.join("kept"))?, "old\n");
    assert!(!dir.join("new").exists());
    // Every start begins anew, whatever the last one left.
    let hostile = "ls /m; mkdir -p /m/deep/er; chmod 0 /m/deep; ln -s /etc/passwd /m/out; touch /m/new";
    rpod!(t, "run", "--name", "again", "--network", "none", "-v", &mount, image, "sh", "-c", hostile)
        .run()
        .lines_are(&["kept"]);
    rpod!(t, "start", "-a", "again").run().lines_are(&["kept"]);
    // A stopped container's overlay can be read; what was written to it would be gone.
    rpod!(t, "cp", "again:/m/kept", "copy").run().ok();
    rpod!(t, "cp", "copy", "again:/m/x").run().fails(125, &["Read-only"]);
    rpod!(t, "rm", "again").run().ok();
    // Over a volume, which gets its first content below.
    for _ in 0..2 {
        run!(t, "-v", "www:/var/www:O", image, "sh", "-c", "cat /var/www/*; rm /var/www/*")
            .lines_are(&["hello from busybox"]);
    }
    // Kept, where directories for it are named.
    t.script("mkdir upper work").run().ok();
    let home = t.dir().join("home");
    let kept = format!("{}:/m:O,upperdir={h}/upper,workdir={h}/work", home.join("plain").display(), h = home.display());
    run!(t, "-v", &kept, image, "touch", "/m/new").ok();
    run!(t, "-v", &kept, image, "ls", "/m").lines_are(&["kept", "new"]);
    assert!(home.join("upper/new").exists());
    Ok(())
}

fn overlay_of_other_ids(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let dir = t.mkdir("home/data")?;
    t.write("home/data/file", "x\n")?;
    let mount = format!("{}:/m:O", dir.display());
    let both = format!("{}:/m:O,U", dir.display());
    let own = t.uid().to_string();
    let script = "stat -c %u /m; echo new >/m/new && stat -c %u /m/new; cat /m/file";
    run!(t, "--userns", "keep-id", "-v", &mount, image, "sh", "-c", script).lines_are(&[&own, &own, "x"]);
    run!(t, "--userns", "keep-id", "--user", "0", "-v", &mount, image, "sh", "-c", script).lines_are(&[&own, "0", "x"]);
    run!(t, "--userns", "nomap", "-v", &mount, image, "sh", "-c", script).lines_are(&["0", "0", "x"]);
    run!(t, "--user", "5:6", "-v", both, image, "sh", "-c", script).lines_are(&["5", "5", "x"]);
    Ok(())
}

fn image(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let mount = |more: &str| format!("type=image,source={image},destination=/i{more}");
    let script = "cat /i/var/www/index.html; touch /i/x";
    run!(t, "--mount", mount(""), image, "sh", "-c", script).fails(1, &["Read-only"]);
    rpod!(
        t,
        "run",
        "--name",
        "w",
        "--network",
        "none",
        "--mount",
        mount(",rw=true"),
        image,
        "sh",
        "-c",
        "touch /i/x && ls /i/x; ls /i/x.. 2>&1 | wc -l"
    )
    .run()
    .lines_are(&["/i/x", "1"]);
    rpod!(t, "container", "inspect", "-f", "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}{{end}}", "w")
        .run()
        .lines_are(&["image /i true"]);
    rpod!(t, "rm", "w").run().ok();
    run!(t, "--mount", mount(",subpath=/var/www"), image, "ls", "/i").lines_are(&["index.html"]);
    run!(t, "--mount", mount(",subpath=/nowhere"), image, "ls", "/i").fails(127, &["/nowhere"]);
    // Not pulled; and kept while a container mounts it.
    run!(t, "--mount", "type=image,src=none,dst=/i", image, "true").fails(125, &["none: image not known"]);
    t.script("mkdir d; echo data >d/file; tar -C d -cf more.tar .; rpod import more.tar localhost/more").run().ok();
    let more = "type=image,src=localhost/more,dst=/i";
    rpod!(t, "create", "--name", "user", "--network", "none", "--mount", more, image, "cat", "/i/file").run().ok();
    rpod!(t, "rmi", "localhost/more").run().ok();
    rpod!(t, "start", "-a", "user").run().lines_are(&["data"]);
    rpod!(t, "container", "clone", "user", "copy").run().ok();
    rpod!(t, "rm", "user").run().ok();
    rpod!(t, "start", "-a", "copy").run().lines_are(&["data"]);
    Ok(())
}

fn glob(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    t.script("mkdir 'g*'; for f in a1 a2 b1 .a3; do echo $f >\"g*/$f\"; done").run().ok();
    let mount = |pattern: &str| format!("type=glob,src={pattern},dst=/m,ro");
    run!(t, "--mount", mount("g\\*/a?"), image, "sh", "-c", "ls -a /m | grep a; cat /m/a1")
        .lines_are(&["a1", "a2", "a1"]);
    run!(t, "--mount", mount("./g*/*a*"), image, "sh", "-c", "ls -A /m").lines_are(&[".a3", "a1", "a2"]);
    run!(t, "--mount", mount("g*/[^a.]*"), image, "touch", "/m/b1").fails(1, &["Read-only"]);
    // Without a destination at the same place.
    let here = t.dir().join("home/g*/b1");
    run!(t, "--mount", format!("type=glob,src={}", here.display()), image, "cat", here).lines_are(&["b1"]);
    run!(t, "--mount", mount("g*/c*"), image, "true").fails(125, &["no file paths matching glob \"g*/c*\""]);
    run!(t, "--mount", mount("g*/["), image, "true").fails(125, &["syntax error in pattern"]);
    run!(t, "--mount", "type=glob,dst=/m", image, "true").fails(125, &["no file paths matching glob \"\""]);
    Ok(())
}

fn subpath(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let fill = "mkdir -p /v/a/b; echo c >/v/a/b/c; ln -s /etc /v/out; ln -s ../../../../../etc /v/up; ln -s a /v/in";
    run!(t, "-v", "vol:/v", image, "sh", "-c", fill).ok();
    let mount = |path: &str| format!("type=volume,src=vol,dst=/m,subpath={path}");
    run!(t, "--mount", mount("a/b"), image, "cat", "/m/c").lines_are(&["c"]);
    run!(t, "--mount", mount("/a"), image, "ls", "/m").lines_are(&["b"]);
    run!(t, "--mount", mount("in"), image, "ls", "/m").lines_are(&["b"]);
    run!(t, "--mount", mount("a/b/c"), image, "cat", "/m").lines_are(&["c"]);
    run!(t, "--mount", "type=volume,src=vol,dst=/m,volume-subpath=a,readonly", image, "touch", "/m/x").code(1);
    // No link leads out of the volume.
    for path in ["out", "up", "nowhere"] {
        run!(t, "--mount", mount(path), image, "ls", "/m").fails(127, &[path]);
    }
    for path in ["../../secrets", "a/../../../../../../etc"] {
        run!(t, "--mount", mount(path), image, "ls", "/m").fails(126, &[path, "is outside of the volume"]);
    }
    run!(t, "--mount", "type=volume,dst=/m,subpath=a", image, "true").fails(127, &["subpath a"]);
    Ok(())
}

fn no_source(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    run!(t, "--mount", "type=ramfs,dst=/m", image, "grep", "-c", "^[a-z]* /m ramfs rw", "/proc/mounts")
        .lines_are(&["1"]);
    run!(t, "--mount", "type=ramfs,dst=/m,ro", image, "touch", "/m/x").code(1);
    let pts = "type=devpts,dst=/m,uid=1,gid=2,mode=600,max=7";
    run!(t, "--mount", pts, image, "grep", " /m ", "/proc/mounts").prints("mode=600,ptmxmode=000,max=7");
    run!(t, "-t", "--mount", "type=devpts,dst=/dev/pts", image, "tty").prints("/dev/pts/0");
    run!(t, "-t", "--mount", "type=devpts,dst=/dev/pts,mode=600", image, "stat", "-c", "%a", "/dev/pts/0")
        .prints("600");
    // A tmpfs is like the directory below it, in its mode and, unless that is not wanted, its content.
    let show = "stat -c %a /var/www; ls /var/www";
    let tmpfs = |more: &str| format!("type=tmpfs,dst=/var/www{more}");
    run!(t, "--mount", tmpfs(""), image, "sh", "-c", show).lines_are(&["755", "index.html"]);
    run!(t, "--mount", tmpfs(",notmpcopyup"), image, "sh", "-c", show).lines_are(&["755"]);
    run!(t, "--mount", tmpfs(",tmpfs-mode=0700,tmpfs-size=1m"), image, "sh", "-c", show)
        .lines_are(&["700", "index.html"]);
    run!(t, "--tmpfs", "/nowhere", image, "stat", "-c", "%a", "/nowhere").lines_are(&["1777"]);
    Ok(())
}

fn links(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    t.script("echo x >file; ln -s file link").run().ok();
    let link = format!("type=bind,src={}/link,no-dereference", t.dir().join("home").display());
    run!(t, "--mount", format!("{link},dst=/deep/link"), image, "readlink", "/deep/link").lines_are(&["file"]);
    run!(t, "--mount", format!("{link},dst=/etc/passwd"), image, "true").fails(125, &["/etc/passwd"]);
    Ok(())
}

/// As Podman shows them.
fn inspect(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let dir = t.mkdir("home/d")?;
    let dir = dir.display();
    let format = "{{range .Mounts}}{{.Type}} {{.Mode}} {{json .Options}} {{.RW}} {{.Propagation}}{{end}} {{json .HostConfig.Binds}}";
    for (flag, value, shown) in [
        ("-v", format!("{dir}:/x:U"), format!(r#"bind  ["U","rbind"] true rprivate ["{dir}:/x:U,rw,rprivate,rbind"]"#)),
        ("-v", format!("{dir}:/x:O"), format!(r#"bind O [] true  ["{dir}:/x:O"]"#)),
        ("-v", format!("{dir}:/x:Z,rslave"), format!(r#"bind Z ["rbind"] true rslave ["{dir}:/x:Z,rslave,rw,rbind"]"#)),
        (
            "-v",
            "v:/x:nocopy,dev".to_owned(),
            r#"volume  ["nocopy","dev","nosuid","rbind"] true rprivate ["v:/x:nocopy,dev,rw,rprivate,nosuid,rbind"]"#
                .to_owned(),
        ),
        (
            "--mount",
            format!("type=bind,src={dir},dst=/x,bind-nonrecursive,relabel=shared,ro"),
            format!(r#"bind z ["bind"] false private ["{dir}:/x:bind,z,ro,private"]"#),
        ),
        ("--mount", "type=ramfs,dst=/x".to_owned(), r#"bind  [] true  ["ramfs:/x"]"#.to_owned()),
        ("--mount", format!("type=image,src={image},dst=/x"), "image  null false  []".to_owned()),
    ] {
        rpod!(t, "create", "--name", "c", flag, &value, image, "true").run().ok();
        rpod!(t, "inspect", "-f", format, "c").run().lines_are(&[&shown]);
        rpod!(t, "rm", "c").run().ok();
    }
    Ok(())
}

fn refused(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    t.script("mkdir d; touch f").run().ok();
    for (flag, value, says) in [
        ("-v", "./d:/x:O,ro", "can't use 'O' with other options"),
        ("-v", "./d:/x:O,Z", "can only specify 1 'z', 'Z', or 'O' option"),
        ("-v", "./d:/x:O,upperdir=./d", "must set both `upperdir` and `workdir`"),
        ("-v", "./d:/x:O,upperdir=./none,workdir=./d", "is not a directory"),
        ("-v", "./d:/x:upperdir=./d", "upperdir"),
        ("-v", "./f:/x:O", "it is not a directory"),
        ("-v", "./d:/x:idmap", "the kernel makes id-mapped mounts for the owner of a file system only"),
        ("-v", "./d:/x:idmap=uids=0-1-10", "idmap=uids=0-1-10"),
        ("-v", "v:/x:copy,nocopy", "can only specify 1 'copy' or 'nocopy' option"),
        ("-v", "./d:/x:U,U", "can only specify 1 'U' option"),
        ("--mount", "type=bind,src=d,dst=/x,U=maybe", "'U' or 'chown' must be set to true or false"),
        ("--mount", "type=bind,src=d,dst=/x,relabel=x", "relabel mount option must be 'private' or 'shared'"),
        ("--mount", "type=bind,src=d,dst=/x,bind-propagation=x", "invalid value \"bind-propagation=x\""),
        ("--mount", "type=bind,src=d,dst=/x,subpath=x", "cannot set option \"subpath\" on non-volume mounts"),
        ("--mount", "type=bind,src=d,src=d,dst=/x", "cannot pass \"src\" option more than once"),
        ("--mount", "type=bind,src=d,dst=/x,ro,rw", "more than once"),
        ("--mount", "type=bind,src=d,dst=/x,O", "O: invalid mount option"),
        ("--mount", "type=tmpfs,dst=/x,src=d", "\"src\" option not supported for \"tmpfs\" mount types"),
        ("--mount", "type=tmpfs,dst=/x,noswap", "only allowed with rootful tmpfs mounts"),
        ("--mount", "type=tmpfs,dst=/x,relabel=shared", "not allowed with tmpfs mounts"),
        ("--mount", "type=ramfs,dst=/x,tmpfs-size=1m", "\"tmpfs-size\" option not supported for \"ramfs\" mount types"),
        ("--mount", "type=devpts,dst=/x,src=d", "src: invalid mount option"),
        ("--mount", "type=devpts", "must set volume destination"),
        ("--mount", "type=image,dst=/x", "must set source and destination for image volume"),
        ("--mount", "type=image,src=i,dst=/x,rw", "invalid rw value \"\""),
        ("--mount", "type=image,src=i,dst=/x,ro", "ro: invalid mount option"),
        ("--mount", "type=image,src=i,dst=/x,subpath=etc", "volume subpath \"etc\" must be an absolute path"),
        ("--mount", "type=volume,src=v,dst=/x,volume-opt=type=tmpfs", "rpod volume create"),
        ("--image-volume", "x", "invalid image volume mode \"x\" required value: anonymous, tmpfs, ignore"),
    ] {
        rpod!(t, "create", flag, value, image, "true").run().fails(125, &[says]);
    }
    rpod!(t, "ps", "-aq").run().lines_are(&[]);
    Ok(())
}
