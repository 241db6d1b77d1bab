//! cp: in and out of containers that run and that do not.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial, until};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("cp::links_stay_inside", User::Sub, links_stay_inside),
        trial("cp::swapped_links", User::Sub, swapped_links),
        trial("cp::refuses", User::Sub, refuses),
        trial("cp::hostile_tar", User::Sub, hostile_tar),
        trial("cp::many", User::Sub, many),
        trial("cp::drivers", User::Sub, drivers),
        trial("cp::odd_names", User::Sub, odd_names),
        trial("cp::special_files", User::Sub, special_files),
        trial("cp::changing_files", User::Sub, changing_files),
        trial("cp::full_disk", User::Sub, full_disk),
        trial("cp::interrupted", User::Sub, interrupted),
    ];
    trials.extend(for_each_user("cp::holes", holes));
    trials.extend(for_each_user("cp::table", table));
    trials.extend(for_each_user("cp::owners", owners));
    trials.extend(for_each_user("cp::volumes", volumes));
    trials
}

fn source(t: &Sandbox) -> Outcome {
    t.script("mkdir -p d/sub e; echo f >d/f; echo g >d/sub/g; ln -s f d/link; echo file >file; chmod 600 file; touch -d @1.5 file")
        .run()
        .ok();
    Ok(())
}

/// The table of docker-cp(1), with a container that runs and with one that does not, both ways.
fn table(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    source(t)?;
    rpod!(t, "run", "-d", "--name", "on", "--network", "none", image, "sleep", "1000").run().ok();
    rpod!(t, "create", "--name", "off", image, "true").run().ok();
    for name in ["on", "off"] {
        let at = |path: &str| format!("{name}:{path}");
        let cp = |from: &str, to: &str| rpod!(t, "cp", from, to).run();
        let read = |path: &str| t.script(&format!("rpod cp {name}:{path} - | tar -xO")).run().ok().to_owned();
        cp("file", &at("/f1")).ok();
        cp("file", &at("/tmp")).ok();
        cp("file", &at("/tmp/")).ok();
        cp("file", &at("/f1")).ok();
        assert_eq!((read("/f1").trim(), read("/tmp/file").trim()), ("file", "file"));
        cp("file", &at("/nodir/")).fails(125, &["/nodir/", "no such file or directory"]);
        cp("file", &at("/no/such/x")).fails(125, &["no such file or directory"]);
        cp("file", &at("/f1/")).fails(125, &["not a directory"]);
        cp("d", &at("/d1")).ok();
        cp("d", &at("/d1")).ok();
        cp("d/.", &at("/d2")).ok();
        cp("d/.", &at("/d1")).ok();
        cp("d", &at("/f1")).fails(125, &["destination must be a directory"]);
        // Within one container, and by two commands that need each other.
        cp(&at("/f1"), &at("/own")).ok();
        t.script(&format!("head -c 3000000 /dev/zero >large; rpod cp large {name}:/")).run().ok();
        t.script(&format!(
            "rpod cp {name}:/large - | rpod cp - {name}:/tmp; rpod cp {name}:/tmp/large got; cmp large got"
        ))
        .run()
        .ok();
        assert_eq!(read("/own").trim(), "file");
        let listed = t.script(&format!("rpod cp {name}:/d1 - | tar -t | sort")).run();
        listed.lines_are(&[
            "d1/",
            "d1/d/",
            "d1/d/f",
            "d1/d/link",
            "d1/d/sub/",
            "d1/d/sub/g",
            "d1/f",
            "d1/link",
            "d1/sub/",
            "d1/sub/g",
        ]);
        t.script(&format!("rpod cp {name}:/d2/. - | tar -t | sort")).run().lines_are(&["f", "link", "sub/", "sub/g"]);
        // And back.
        let out = format!("out-{name}");
        t.program("mkdir", ["-p", &out]).run().ok();
        cp(&at("/f1"), &format!("{out}/new")).ok();
        cp(&at("/f1"), &out).ok();
        cp(&at("/d2"), &format!("{out}/d")).ok();
        cp(&at("/d2"), &out).ok();
        cp(&at("/d2/."), &out).ok();
        cp(&at("/f1"), &format!("{out}/no/x")).fails(125, &["no such file"]);
        cp(&at("/d2"), "file").fails(125, &["destination must be a directory"]);
        let listed = t.script(&format!("cd {out}; find . | sort")).run();
        listed.lines_are(&[
            ".",
            "./d",
            "./d/f",
            "./d/link",
            "./d/sub",
            "./d/sub/g",
            "./d2",
            "./d2/f",
            "./d2/link",
            "./d2/sub",
            "./d2/sub/g",
            "./f",
            "./f1",
            "./link",
            "./new",
            "./sub",
            "./sub/g",
        ]);
        let meta = t.home().join(&out).join("new").metadata()?;
        assert_eq!((meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec()), (0o600, 1, 500_000_000));
        assert_eq!(meta.uid(), t.uid());
        // A tar as it comes.
        t.script(&format!("tar -c d | rpod cp - {name}:/tmp")).run().ok();
        assert_eq!(read("/tmp/d/sub/g").trim(), "g");
        t.script(&format!("tar -c d | rpod cp - {name}:/f1")).run().fails(125, &["destination must be a directory"]);
        t.script(&format!("tar -c d | rpod cp - {name}:/nosuch")).run().fails(125, &["no such file"]);
        // Only what is asked for changes places with a directory.
        rpod!(t, "cp", "file", at("/tmp/d/sub")).run().ok();
        t.script("mkdir -p odd; rm -rf odd/sub; echo x >odd/sub").run().ok();
        cp("odd/.", &at("/d2")).fails(125, &["cannot overwrite directory"]);
        rpod!(t, "cp", "--overwrite", "odd/.", at("/d2")).run().ok();
        assert_eq!(read("/d2/sub").trim(), "x");
        cp("d/.", &at("/d2")).fails(125, &["cannot overwrite non-directory"]);
        rpod!(t, "cp", "--overwrite", "d/.", at("/d2")).run().ok();
        assert_eq!(read("/d2/sub/g").trim(), "g");
        // What is relative starts in the working directory.
        cp("file", &at("relative")).ok();
        assert_eq!(read("/relative").trim(), "file");
    }
    rpod!(t, "cp", "on:/d1", "off:/from-on").run().ok();
    rpod!(t, "cp", "off:/from-on/d", "on:/tmp/back").run().ok();
    rpod!(t, "exec", "on", "cat", "/tmp/back/sub/g").run().lines_are(&["g"]);
    rpod!(t, "exec", "on", "ls", "-l", "/tmp/back/link").run().prints("-> f");
    rpod!(t, "start", "-a", "off").run().ok();
    rpod!(t, "rm", "-f", "-t", "0", "on").run().ok();
    Ok(())
}

fn owners(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    source(t)?;
    let single = t.user() == User::NoSub;
    let user = if single { "0:0" } else { "7:8" };
    rpod!(t, "run", "-d", "--name", "o", "--user", user, "--network", "none", image, "sleep", "1000").run().ok();
    rpod!(t, "cp", "d", "o:/tmp/a").run().ok();
    rpod!(t, "exec", "o", "stat", "-c", "%u:%g", "/tmp/a/sub/g").run().lines_are(&[user]);
    if !single {
        t.script("tar -c --owner=5 --group=6 d | rpod cp -a=false - o:/tmp").run().ok();
        rpod!(t, "exec", "o", "stat", "-c", "%u:%g", "/tmp/d/f").run().lines_are(&["5:6"]);
        // Out of a container everything belongs to whoever copies.
        rpod!(t, "cp", "o:/tmp/d", "back").run().ok();
        assert_eq!(t.home().join("back/f").metadata()?.uid(), t.uid());
    }
    // Bits that would let others act as whoever copied are left behind.
    rpod!(t, "exec", "o", "sh", "-c", "cp /bin/busybox /tmp/s; chmod 6755 /tmp/s").run().ok();
    rpod!(t, "cp", "o:/tmp/s", "s").run().ok();
    assert_eq!(t.home().join("s").metadata()?.mode() & 0o7777, 0o755);
    rpod!(t, "rm", "-f", "-t", "0", "o").run().ok();
    Ok(())
}

fn volumes(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    source(t)?;
    t.script("mkdir -p bound; echo single >one").run().ok();
    let mounts = ["-v", "vol:/vol", "-v", "./bound:/bound", "-v", "./one:/one", "--tmpfs", "/mem"];
    for (name, run) in [("off", false), ("on", true)] {
        let mut args = vec![if run { "run" } else { "create" }, "--name", name, "--network", "none"];
        args.extend(mounts);
        if run {
            args.push("-d");
        }
        args.extend([image, "sleep", "1000"]);
        t.rpod(args).run().ok();
        rpod!(t, "cp", "file", format!("{name}:/vol/from-{name}")).run().ok();
        rpod!(t, "cp", "d", format!("{name}:/bound/from-{name}")).run().ok();
        t.script(&format!("cmp file bound/../file; cat bound/from-{name}/f")).run().lines_are(&["f"]);
        // A file that is mounted keeps its place.
        rpod!(t, "cp", "file", format!("{name}:/one")).run().ok();
        t.script("cat one").run().lines_are(&["file"]);
    }
    rpod!(t, "exec", "on", "cat", "/vol/from-off", "/vol/from-on").run().lines_are(&["file", "file"]);
    rpod!(t, "cp", "file", "on:/mem/x").run().ok();
    rpod!(t, "exec", "on", "cat", "/mem/x").run().lines_are(&["file"]);
    rpod!(t, "rm", "-f", "-t", "0", "on").run().ok();
    Ok(())
}

/// Links in the container mean places in the container, whoever looks.
fn links_stay_inside(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    source(t)?;
    let secret = t.home().join("secret");
    std::fs::write(&secret, "secret of the host")?;
    let make = format!(
        "ln -s {0} /abs; ln -s ../../../../../../..{0} /rel; ln -s / /root-link; ln -s /proc/1/root /magic; \
         mkdir /real; ln -s /real /to-dir; echo inside >/real/x; ln -s /real/x /to-file; mkdir /tree; ln -s {0} /tree/abs",
        secret.display()
    );
    rpod!(t, "run", "--name", "l", "--network", "none", image, "sh", "-c", &make).run().ok();
    for link in ["/abs", "/rel"] {
        rpod!(t, "cp", format!("l:{link}"), "stolen").run().fails(125, &["no such file"]);
    }
    rpod!(t, "cp", format!("l:/root-link{}", secret.display()), "stolen").run().fails(125, &["no such file"]);
    assert!(!t.home().join("stolen").exists());
    // In a tree a link stays a link.
    rpod!(t, "cp", "l:/tree", "tree").run().ok();
    assert_eq!(std::fs::read_link(t.home().join("tree/abs"))?, secret);
    // At the end of a path it is followed, inside.
    rpod!(t, "cp", "l:/to-file", "got").run().ok();
    assert_eq!(std::fs::read_to_string(t.home().join("got"))?.trim(), "inside");
    rpod!(t, "cp", "file", "l:/to-dir/new").run().ok();
    rpod!(t, "cp", "file", "l:/to-dir").run().ok();
    rpod!(t, "cp", "file", "l:/to-file").run().ok();
    t.script("rpod cp l:/real - | tar -t | sort").run().lines_are(&["real/", "real/file", "real/new", "real/x"]);
    rpod!(t, "cp", "file", "l:/abs").run().fails(125, &["no such file"]);
    assert_eq!(std::fs::read_to_string(&secret)?, "secret of the host");
    // On the host's side, a link that is the source is followed, one that the tree has in the way is not.
    symlink("d", t.home().join("dl"))?;
    rpod!(t, "cp", "dl", "l:/through").run().ok();
    t.script("rpod cp l:/through - | tar -t | grep -c sub/g").run().lines_are(&["1"]);
    Ok(())
}

/// CVE-2018-15664: a program in the container swaps a directory for a link to the host's root while cp is at work.
fn swapped_links(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let trap = t.home().join("trap");
    std::fs::create_dir(&trap)?;
    std::fs::set_permissions(&trap, std::fs::Permissions::from_mode(0o777))?;
    std::fs::write(trap.join("w"), "host")?;
    std::fs::write(t.home().join("payload"), "payload")?;
    let swap = format!(
        "mkdir -p {0} /a /b; echo box >/a/w; ln -s {0} /b/link; mkdir -p /s; \
         while :; do mv /a /s/x; mv /b/link /a; mv /a /b/link; mv /s/x /a; done",
        trap.display()
    );
    // Where the link leads there is a directory in the container as well: following it is right there, and only there.
    rpod!(t, "run", "-d", "--name", "s", "--network", "none", image, "sh", "-c", &swap).run().ok();
    for round in 0..30 {
        // Whether it finds a directory or nothing is luck.
        rpod!(t, "cp", "payload", "s:/a/w").run();
        rpod!(t, "cp", "s:/a/w", format!("got{round}")).run();
        if let Ok(text) = std::fs::read_to_string(t.home().join(format!("got{round}"))) {
            assert_ne!(text, "host", "cp read a file of the host");
        }
        assert_eq!(std::fs::read_to_string(trap.join("w"))?, "host", "cp wrote to the host");
    }
    rpod!(t, "rm", "-f", "-t", "0", "s").run().ok();
    Ok(())
}

fn refuses(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    source(t)?;
    rpod!(t, "create", "--name", "r", image, "true").run().ok();
    rpod!(t, "cp", "file", "file2").run().fails(125, &["invalid arguments"]);
    rpod!(t, "cp", "file", "r:").run().fails(125, &["you must specify paths"]);
    rpod!(t, "cp", "nosuch", "r:/x").run().fails(125, &["nosuch", "could not be found on the host"]);
    rpod!(t, "cp", "r:/nosuch", ".").run().fails(125, &["/nosuch", "could not be found on container r"]);
    rpod!(t, "cp", "nope:/x", ".").run().fails(125, &["no such container"]);
    rpod!(t, "cp", "file", "nope:/x").run().fails(125, &["no such container"]);
    rpod!(t, "cp", "/dev/null", "r:/x").run().fails(125, &["neither a file nor a directory"]);
    rpod!(t, "cp").run().code(125);
    Ok(())
}

/// A tar that wants out.
fn hostile_tar(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name", "h", image, "true").run().ok();
    let tars = [
        ("dotdot", crate::support::Tarball::new().file("../../x", 0o644, b"x").finish()),
        ("link", crate::support::Tarball::new().symlink("l", "/etc").file("l/x", 0o644, b"x").finish()),
        ("hard", crate::support::Tarball::new().hardlink("x", "../../../etc/passwd").finish()),
    ];
    for (name, tar) in tars {
        let path = t.write(&format!("home/{name}.tar"), tar)?;
        t.script(&format!("rpod cp - h:/tmp <{}", path.display())).run().code(125);
    }
    t.script("rpod cp h:/etc - | tar -t | grep -c '/x$' || true").run().lines_are(&["0"]);
    t.script("head -c 100000 /dev/urandom | rpod cp - h:/tmp").run().code(125);
    Ok(())
}

fn many(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    t.script(
        "mkdir -p many/{1..20}; for i in {1..20}; do for j in {1..50}; do echo $i.$j >many/$i/$j; done; done; \
              dd if=/dev/zero of=many/big bs=1M count=30 status=none; ln many/big many/again",
    )
    .run()
    .ok();
    rpod!(t, "create", "--name", "m", image, "true").run().ok();
    rpod!(t, "cp", "many", "m:/many").run().ok();
    rpod!(t, "cp", "m:/many", "back").run().ok();
    t.script("diff -r many back; test $(stat -c %h back/big) = 2").run().ok();
    Ok(())
}

fn drivers(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    source(t)?;
    for driver in ["fuse-overlayfs", "copy"] {
        if super::storage::choose(t, driver).is_err() {
            continue;
        }
        rpod!(t, "create", "--name", driver, image, "cat", "/in/f").run().ok();
        rpod!(t, "cp", "d", format!("{driver}:/in")).run().ok();
        rpod!(t, "cp", format!("{driver}:/in"), driver).run().ok();
        t.script(&format!("diff -r d {driver}")).run().ok();
        rpod!(t, "start", "-a", driver).run().lines_are(&["f"]);
        rpod!(t, "diff", driver).run().prints("A /in/sub/g");
        rpod!(t, "rm", driver).run().ok();
    }
    Ok(())
}

fn odd_names(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    t.script(
        "mkdir odd; cd odd; for n in $'new\\nline' $'b\\xffd' -rf ' space ' $'tab\\t' '\\' \
         \"$(printf %0255d 0)\"; do echo \"$n\" >\"./$n\"; ln -s -- \"$n\" \"to-${n:0:99}\"; done",
    )
    .run()
    .ok();
    rpod!(t, "create", "--name", "o", image, "true").run().ok();
    rpod!(t, "cp", "odd", "o:/odd").run().ok();
    rpod!(t, "cp", "o:/odd", "back").run().ok();
    t.script("diff -r --no-dereference odd back; test $(find back -type f -print0 | tr -cd '\\0' | wc -c) = 7")
        .run()
        .ok();
    rpod!(t, "cp", "odd/new\nline", "o:/odd/-rf").run().ok();
    t.script("rpod cp o:/odd/-rf - | tar -xO").run().lines_are(&["new", "line"]);
    Ok(())
}

/// Named pipes are copied, sockets are of use to nobody, devices cannot be made.
fn special_files(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    t.script("mkdir sp; mkfifo -m 640 sp/pipe; echo f >sp/f").run().ok();
    let _listener = std::os::unix::net::UnixListener::bind(t.home().join("sp/s"))?;
    rpod!(t, "run", "-d", "--name", "s", "--network", "none", image, "sleep", "1000").run().ok();
    rpod!(t, "cp", "sp", "s:/sp").run().ok();
    rpod!(t, "exec", "s", "sh", "-c", "cd /sp; stat -c '%n %F %a' *")
        .run()
        .lines_are(&["f regular file 644", "pipe fifo 640"]);
    rpod!(t, "cp", "s:/sp", "back").run().ok();
    t.script("test -p back/pipe && ! test -e back/s && cat back/f").run().lines_are(&["f"]);
    let out = rpod!(t, "cp", "s:/dev", "dev").run();
    out.ok();
    assert!(out.stderr.contains("dev/null is a device and was not copied"), "{out}");
    // A named pipe is a named pipe there too, and nobody who waits at it is woken.
    let waits = rpod!(t, "exec", "-d", "s", "sh", "-c", "echo woken >/sp/pipe; touch /woken").run();
    waits.ok();
    until("the writer waits", Duration::from_secs(20), || {
        rpod!(t, "exec", "s", "sh", "-c", "grep -l wait_for_partner /proc/[0-9]*/wchan")
            .run()
            .stdout
            .contains("proc")
            .then_some(())
    });
    rpod!(t, "cp", "s:/sp/pipe", "one").run().ok();
    rpod!(t, "cp", "sp/pipe", "s:/two").run().ok();
    rpod!(t, "cp", "s:/sp/pipe", "s:/three").run().ok();
    t.script(
        "stat -c '%F %a' one; rpod cp s:/sp/pipe - | tar -tv | cut -c 1-10; rpod exec s stat -c '%F %a' /two /three",
    )
    .run()
    .lines_are(&["fifo 640", "prw-r-----", "fifo 640", "fifo 640"]);
    rpod!(t, "exec", "s", "test", "-e", "/woken").run().code(1);
    rpod!(t, "cp", "s:/dev/null", ".").run().fails(125, &["neither a file nor a directory"]);
    rpod!(t, "rm", "-f", "-t", "0", "s").run().ok();
    Ok(())
}

/// Files with holes keep them, both ways and out of tars that have them; a tar of ours is one that everybody reads.
fn holes(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    t.script(
        "truncate -s 200M holes; printf middle | dd of=holes bs=1M seek=100 conv=notrunc status=none; \
         truncate -s 5M hole; tar -cS --format=gnu holes >gnu.tar; tar -cS --format=pax holes >pax.tar",
    )
    .run()
    .ok();
    rpod!(t, "create", "--name", "h", image, "true").run().ok();
    rpod!(t, "cp", "holes", "h:/holes").run().ok();
    rpod!(t, "cp", "hole", "h:/hole").run().ok();
    rpod!(t, "cp", "h:/holes", "back").run().ok();
    rpod!(t, "cp", "h:/hole", "back2").run().ok();
    t.script("cmp holes back && cmp hole back2 && test $(du -k back | cut -f1) -lt 1000").run().ok();
    for tar in ["gnu", "pax"] {
        t.script(&format!("rm -f back; rpod cp - h:/tmp <{tar}.tar && rpod cp h:/tmp/holes back && cmp holes back"))
            .run()
            .ok();
        t.script("test $(du -k back | cut -f1) -lt 1000").run().ok();
    }
    t.script("rpod cp h:/hole - | busybox tar -xO | cmp - hole").run().ok();
    Ok(())
}

/// Whatever happens to a file while it is copied, the copy ends, and is what the file was up to some point.
fn changing_files(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    t.script("mkdir d").run().ok();
    rpod!(t, "create", "--name", "c", image, "true").run().ok();
    let change = "seq 100000 >seq; while :; do cat seq >>d/grows; cat seq seq seq >d/shrinks; : >d/shrinks; \
                  echo >d/comes; rm d/comes; done";
    let changing = t.script(change).spawn();
    until("the files are there", std::time::Duration::from_secs(30), || {
        (t.home().join("d/shrinks").exists()).then_some(())
    });
    for round in 0..8 {
        rpod!(t, "cp", "d", format!("c:/d{round}")).run().ok();
        rpod!(t, "cp", format!("c:/d{round}"), format!("back{round}")).run().ok();
        t.script(&format!("cmp -n $(stat -c %s back{round}/grows) back{round}/grows d/grows")).run().ok();
    }
    drop(changing);
    Ok(())
}

/// What does not fit is told, and nothing of it passes for the file.
fn full_disk(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    t.script("head -c 3000000 /dev/urandom >big; echo small >small; mkdir d; cp big small d").run().ok();
    let mount = ["--tmpfs", "/mem:size=1m"];
    t.rpod([&["run", "-d", "--name", "f", "--network", "none"][..], &mount, &[image, "sleep", "1000"]].concat())
        .run()
        .ok();
    rpod!(t, "cp", "big", "f:/mem").run().fails(125, &["cannot write big: No space left on device"]);
    t.script("tar -c big | rpod cp - f:/mem").run().fails(125, &["cannot write big: No space left on device"]);
    rpod!(t, "exec", "f", "ls", "-A", "/mem").run().lines_are(&[]);
    rpod!(t, "cp", "small", "f:/mem/small").run().ok();
    rpod!(t, "cp", "d", "f:/mem").run().fails(125, &["cannot write d/big: No space left on device"]);
    rpod!(t, "cp", "d", "f:/tmp").run().ok();
    t.script("rpod cp f:/tmp/d - >/dev/full").run().fails(125, &["No space left on device"]);
    rpod!(t, "rm", "-f", "-t", "0", "f").run().ok();
    Ok(())
}

/// A copy that was broken off keeps nobody from the container.
fn interrupted(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name", "i", image, "true").run().ok();
    t.script(
        "head -c 3000000 /dev/urandom >big; tar -c big >big.tar; mkfifo slow; rpod cp - i:/tmp <slow & exec 3>slow; \
         head -c 2000000 big.tar >&3; kill $!; wait $! || test $? = 143",
    )
    .run()
    .ok();
    rpod!(t, "cp", "big", "i:/tmp/big").run().ok();
    t.script("rpod cp i:/tmp/big - | tar -xO | cmp - big").run().ok();
    rpod!(t, "rm", "i").run().ok();
    Ok(())
}
