//! system df, prune, reset, check, and a disk that is full.

use std::fs;

use crate::support::{Compression, Image, Outcome, Sandbox, Tarball, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("system::df", User::Sub, df),
        trial("system::prune", User::Sub, prune),
        trial("system::check", User::Sub, check),
        trial("system::check_containers", User::Sub, check_containers),
        trial("system::damaged", User::Sub, damaged),
        trial("system::damaged_names", User::Sub, damaged_names),
        trial("system::full_disk", User::Sub, full_disk),
        trial("system::filled_by_a_container", User::Sub, filled_by_a_container),
        trial("system::reboot", User::Sub, reboot),
        trial("system::hosts_with_one_store", User::Sub, hosts_with_one_store),
    ];
    trials.extend(for_each_user("system::reset", reset));
    trials.push(trial("system::check_of_another_root", User::Sub, check_of_another_root));
    trials
}

/// Another image on top of busybox, with `kilobytes` of its own.
fn second(t: &Sandbox, name: &str, kilobytes: usize) -> Outcome {
    let layer = Tarball::new().file(name, 0o644, vec![7; kilobytes * 1024]).finish();
    let archive =
        t.write("home/second.tar", Image::busybox()?.layer(layer, Compression::None).docker_archive(&[name]))?;
    rpod!(t, "load", "-q", "-i", &archive).run().ok();
    Ok(())
}

fn df(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    second(t, "second", 400)?;
    let raw = |t: &Sandbox| rpod!(t, "system", "df", "--format", "json").run().json();
    let before = raw(t);
    assert_eq!(
        (before[0]["Type"].as_str(), before[0]["Total"].as_u64(), before[0]["Active"].as_u64()),
        (Some("Images"), Some(2), Some(0))
    );
    // The base that both images have counts once.
    let base = fs::metadata("/bin/busybox")?.len();
    let images = before[0]["RawSize"].as_u64().unwrap();
    assert!(images > base + 400_000 && images < 2 * base, "{images}");
    assert_eq!(before[0]["RawReclaimable"], before[0]["RawSize"]);
    rpod!(
        t,
        "run",
        "--name",
        "c",
        "--network",
        "none",
        "-v",
        "v:/v",
        image,
        "sh",
        "-c",
        "dd if=/dev/zero of=/big bs=1k count=500; dd if=/dev/zero of=/v/big bs=1k count=200"
    )
    .run()
    .ok();
    let after = raw(t);
    let number = |row: usize, field: &str| after[row][field].as_u64().unwrap();
    assert!(number(1, "RawSize") >= 512_000 && number(1, "RawSize") < 700_000, "{after}");
    assert_eq!((number(2, "RawSize"), number(2, "RawReclaimable"), number(2, "Active")), (204_800, 0, 1));
    // What the container's image needs cannot be had back.
    assert!(number(0, "RawReclaimable") > 400_000 && number(0, "RawReclaimable") < 500_000, "{after}");
    let table = rpod!(t, "system", "df").run();
    table.prints("TYPE").prints("Local Volumes").prints("204.8kB");
    let verbose = rpod!(t, "system", "df", "-v").run();
    verbose
        .prints("Images space usage:")
        .prints("SHARED SIZE")
        .prints("second")
        .prints("VOLUME NAME")
        .prints("204.8kB");
    rpod!(t, "system", "df", "--format", "{{.Type}}={{.Total}}").run().lines_are(&[
        "Images=2",
        "Containers=1",
        "Local Volumes=1",
        "Build Cache=0",
    ]);
    Ok(())
}

fn prune(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    second(t, "second", 400)?;
    rpod!(t, "run", "--name", "old", "--network", "none", image, "true").run().ok();
    rpod!(t, "run", "-d", "--name", "on", "--network", "none", image, "sleep", "1000").run().ok();
    rpod!(t, "system", "prune").stdin("no\n").run().prints("WARNING! This command removes:");
    rpod!(t, "container", "exists", "old").run().code(0);
    rpod!(t, "system", "prune", "--external", "-f").run().fails(125, &["other programs"]);
    rpod!(t, "network", "create", "unused").run().ok();
    let pruned = rpod!(t, "system", "prune", "-f").run();
    pruned.prints("Deleted Containers").prints("Deleted Networks\nunused").prints("Total reclaimed space");
    rpod!(t, "container", "exists", "old").run().code(1);
    rpod!(t, "image", "exists", "second").run().code(0);
    let before = rpod!(t, "system", "df", "--format", "json").run().json()[0]["RawSize"].as_u64().unwrap();
    let out = rpod!(t, "system", "prune", "-a", "-f").run();
    out.prints("Deleted Images");
    rpod!(t, "image", "exists", "second").run().code(1);
    rpod!(t, "image", "exists", image).run().code(0);
    let after = rpod!(t, "system", "df", "--format", "json").run().json()[0]["RawSize"].as_u64().unwrap();
    let freed = out.ok().rsplit("space: ").next().unwrap().trim().trim_end_matches("kB").parse::<f64>()?;
    assert!((freed * 1000.0 - (before - after) as f64).abs() < 1000.0, "{freed} kB and {}", before - after);
    rpod!(t, "rm", "-f", "-t", "0", "on").run().ok();
    Ok(())
}

fn reset(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "on", "--network", "none", "-v", "kept:/k", "-v", "/a", image, "sleep", "1000")
        .run()
        .ok();
    rpod!(t, "exec", "on", "sh", "-c", "echo x >/k/f; mkdir -m 700 /mine").run().ok();
    rpod!(t, "secret", "create", "s", "-").stdin("x").run().ok();
    rpod!(t, "system", "reset").stdin("n\n").run().prints("WARNING!");
    rpod!(t, "container", "exists", "on").run().code(0);
    rpod!(t, "system", "reset", "-f").run().ok();
    for list in [vec!["ps", "-aq"], vec!["images", "-q"], vec!["secret", "ls", "-q"]] {
        t.rpod(list).run().lines_are(&[]);
    }
    rpod!(t, "volume", "ls", "-q").run().lines_are(&["kept"]);
    t.script("rpod volume export kept | tar -t").run().lines_are(&["f"]);
    rpod!(t, "system", "reset", "-f", "--volumes").run().ok();
    let left: Vec<_> = fs::read_dir(t.data())?.flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    // And it works again.
    let image = t.busybox()?;
    rpod!(t, "run", "--rm", "--network", "none", image, "echo", "again").run().lines_are(&["again"]);
    Ok(())
}

fn check(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    second(t, "second", 4)?;
    rpod!(t, "system", "check").run().lines_are(&[]);
    rpod!(t, "volume", "create", "lonely").run().ok();
    rpod!(t, "system", "check").run().lines_are(&["Volume lonely is used by no container"]);
    // A curious hand in a layer.
    t.script("for f in .local/share/rpod/layers/*/diff/second; do echo changed >$f; done").run().ok();
    rpod!(t, "system", "check", "--quick").run().code(0);
    rpod!(t, "system", "check").run().fails(125, &["damage detected"]).prints("Damaged layer sha256:");
    rpod!(t, "system", "check", "--repair").run().prints("Repaired");
    rpod!(t, "system", "check").run().code(0);
    // Owners and modes are part of an image.
    second(t, "second", 4)?;
    t.script("for f in .local/share/rpod/layers/*/diff/second; do chmod 4777 $f; done").run().ok();
    rpod!(t, "system", "check").run().fails(125, &["damage"]).prints("the mode of second is 4777 and not 0644");
    rpod!(t, "system", "check", "--repair").run().prints("Repaired");
    second(t, "second", 4)?;
    t.script("rpod unshare sh -c 'for f in .local/share/rpod/layers/*/diff/second; do chown 5:6 $f; done'").run().ok();
    rpod!(t, "system", "check").run().fails(125, &["damage"]).prints("second belongs to 5:6 and not to 0:0");
    rpod!(t, "system", "check", "--repair").run().prints("Repaired");
    // A crash between the last layer of a pull and its name leaves layers that nothing leads to.
    second(t, "second", 4)?;
    t.script("find .local/share/rpod/refs -path '*second*' -type f -delete").run();
    rpod!(t, "system", "check").run().code(0);
    rpod!(t, "system", "check", "--max", "0s").run().fails(125, &["damage"]).prints("Unreferenced layer sha256:");
    rpod!(t, "system", "check", "--max", "0s", "-r").run().prints("Repaired");
    rpod!(t, "system", "check", "-m", "0s").run().code(0);
    rpod!(t, "system", "check", "-m", "soon").run().fails(125, &["time: invalid duration \"soon\""]);
    // What was damaged comes again with the image.
    rpod!(t, "run", "--rm", "--network", "none", "second", "true").run().code(125);
    second(t, "second", 4)?;
    rpod!(t, "run", "--rm", "--network", "none", "second", "ls", "/second").run().lines_are(&["/second"]);
    // A disk that was full when a document was written, and a name that leads nowhere.
    t.script("for f in .local/share/rpod/blobs/sha256/*; do chmod +w $f; : >$f; break; done").run().ok();
    rpod!(t, "system", "check").run().fails(125, &["damage"]).prints("Damaged document").prints("Damaged image");
    rpod!(t, "system", "check", "-r").run().prints("Repaired");
    rpod!(t, "system", "check").run().code(0);
    rpod!(t, "images").run().ok();
    // A volume without its description keeps what it has.
    rpod!(t, "volume", "create", "v").run().ok();
    t.script(
        "v=.local/share/rpod/volumes/v; echo x >$v/_data/f; rm $v/volume.json; mkdir -p .local/share/rpod/volumes/half",
    )
    .run()
    .ok();
    rpod!(t, "system", "check", "-r").run().prints("Damaged volume half").prints("Damaged volume v").prints("Repaired");
    t.script("rpod volume export v | tar -t").run().lines_are(&["f"]);
    rpod!(t, "volume", "exists", "half").run().code(1);
    let _ = image;
    Ok(())
}

fn check_containers(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name", "broken", image, "true").run().ok();
    rpod!(t, "create", "--name", "fine", image, "true").run().ok();
    let id = rpod!(t, "inspect", "--format", "{{.Id}}", "broken").run().ok().trim().to_owned();
    // Half a container: its description is gone, or all but its directory.
    t.script(&format!("rm .local/state/rpod/hosts/*/containers/{id}/config.json; mkdir -p .local/state/rpod/hosts/x"))
        .run()
        .ok();
    rpod!(t, "system", "check", "-q").run().fails(125, &["damage"]).prints(&format!("Damaged container {id} (broken)"));
    rpod!(t, "system", "check", "-q", "-r").run().fails(125, &["--force"]);
    rpod!(t, "system", "check", "-q", "--force").run().prints("Repaired");
    rpod!(t, "ps", "-a", "--format", "{{.Names}}").run().lines_are(&["fine"]);
    Ok(())
}

/// What a power cut or a curious hand leaves stops no command about the others, is told, and can be mended or removed.
fn damaged(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let make = |name: &str| rpod!(t, "create", "--name", name, image, "true").run().ok().trim().to_owned();
    let (torn, second, third, bare) = (make("torn"), make("second"), make("third"), make("bare"));
    make("fine");
    make("nameless");
    let places = ".local/state/rpod/hosts/*";
    let script = format!(
        "cd {places}; : >containers/{torn}/record.json; : >containers/{second}/record.json; chmod 0 containers/{third}; \
         rm -r containers/{bare}/upper; rm names/nameless; touch containers/stray ~/.local/share/rpod/volumes/stray"
    );
    rpod!(t, "volume", "create", "kept").run().ok();
    t.script(&script).run().ok();

    let listed = rpod!(t, "ps", "-a", "--format", "{{.Names}}").run();
    listed.lines_are(&["bare", "fine", "nameless"]);
    for id in [&torn, &second, &third] {
        assert!(listed.stderr.contains(&format!("rpod rm -f {id}")), "{listed}");
    }
    rpod!(t, "start", "torn").run().fails(125, &["damaged", &format!("rpod rm -f {torn}")]);
    rpod!(t, "start", "-a", "fine").run().ok();
    rpod!(t, "volume", "ls", "-q").run().lines_are(&["kept"]);
    // Nobody knows what they use.
    rpod!(t, "image", "prune", "-af").run().fails(125, &["cannot tell what is in use"]);
    rpod!(t, "volume", "prune", "-af").run().fails(125, &["cannot tell what is in use"]);

    let check = rpod!(t, "system", "check", "-q").run();
    check.fails(125, &["damage detected"]);
    for text in [
        &format!("Damaged container {torn}:\n cannot read"),
        &format!("Damaged container {bare} (bare):\n the directory of its changes is missing"),
        "Lost name nameless:",
        "containers/stray",
        "volumes/stray",
    ] {
        check.prints(text);
    }
    rpod!(t, "system", "check", "-q", "--repair").run().fails(125, &["damage is left: 4 containers"]);
    rpod!(t, "start", "-a", "nameless").run().ok();
    rpod!(t, "rm", "-f", "torn").run().lines_are(&["torn"]);
    rpod!(t, "rm", "-f", &second[..12]).run().lines_are(&[&second[..12]]);
    rpod!(t, "system", "check", "-q", "--force").run().prints("Repaired");
    rpod!(t, "ps", "-a", "--format", "{{.Names}}").run().lines_are(&["fine", "nameless"]);
    make("torn");
    rpod!(t, "rm", "-fa").run().ok();
    rpod!(t, "image", "prune", "-af").run().ok();
    rpod!(t, "volume", "ls", "-q").run().lines_are(&["kept"]);
    Ok(())
}

/// A name that cannot be read stops nothing but what clears away what it may need.
fn damaged_names(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    second(t, "second", 400)?;
    second(t, "third", 4)?;
    rpod!(t, "tag", image, "kept:1").run().ok();
    rpod!(t, "run", "--name", "c", "--network", "none", image, "true").run().ok();
    t.script(
        "cd .local/share/rpod/refs/docker.io/library; echo xx >second:latest; : >empty:1; ln -s nowhere link:1; \
         mkfifo pipe:1; mkdir -p dir:1/x ../../locked; chmod 0 ../../locked; chmod 0 busybox:latest; \
         for pinned in third@*; do echo sha256:12 >$pinned; done; mkdir -p ../../no; echo x >../../no/reference; \
         echo x >.nfs0001",
    )
    .run()
    .ok();

    let listed = rpod!(t, "images", "--format", "{{.Repository}}:{{.Tag}}").run();
    listed.lines_are(&["docker.io/library/second:<none>", "docker.io/library/third:latest", "localhost/kept:1"]);
    for name in ["second:latest", "empty:1", "link:1", "pipe:1", "dir:1", "busybox:latest"] {
        assert!(listed.stderr.contains(&format!("refs/docker.io/library/{name}")), "{name}: {listed}");
    }
    assert!(listed.stderr.contains("refs/locked") && !listed.stderr.contains("reference"), "{listed}");
    rpod!(t, "system", "df").run().ok();
    rpod!(t, "info").run().ok();
    rpod!(t, "run", "--rm", "--network", "none", "kept:1", "true").run().ok();
    let broken = rpod!(t, "run", "--rm", "--network", "none", "--pull", "never", image, "true").run();
    broken.fails(125, &["cannot read", "rpod system check --repair"]);
    // Nobody knows what they need, so nothing loses its name for nothing.
    rpod!(t, "image", "prune", "-af").run().fails(125, &["cannot tell what is in use", "rpod system check --repair"]);
    let pruned = rpod!(t, "system", "prune", "-af").run();
    pruned.fails(125, &["cannot tell what is in use"]).prints("Deleted Containers").prints("Total reclaimed space");
    // What a person names goes, and the damaged name as well; the room is freed later.
    let removed = rpod!(t, "rmi", "third").run();
    removed.prints("Untagged: docker.io/library/third:latest").prints("Deleted: ");
    assert!(removed.stderr.contains("Warning: what was removed still takes room"), "{removed}");
    rpod!(t, "rmi", "empty:1").run().prints("Untagged: docker.io/library/empty:1");
    rpod!(t, "image", "exists", "third").run().code(1);

    let layers = || fs::read_dir(t.data().join("layers")).unwrap().flatten().filter(|e| e.path().is_dir()).count();
    assert_eq!(layers(), 3);
    let check = rpod!(t, "system", "check", "-q").run();
    check.fails(125, &["damage detected"]).prints("Damaged name docker.io/library/second:latest:\n cannot read");
    check.prints("Damaged name locked:").prints("Not of rpod, and left alone: ").prints("no/reference");
    rpod!(t, "system", "check", "-q", "--repair").run().prints("Repaired");
    assert_eq!(
        rpod!(t, "images", "--format", "{{.Repository}}:{{.Tag}}").run().ok().lines().collect::<Vec<_>>(),
        ["docker.io/library/second:<none>", "docker.io/library/busybox:latest", "localhost/kept:1"]
    );
    rpod!(t, "image", "prune", "-f").run().ok();
    // The one that lost its tag is still known by its digest.
    assert_eq!(layers(), 2);
    rpod!(t, "run", "--rm", "--network", "none", image, "true").run().ok();
    // What is loaded or tagged anew takes the place of a damaged name.
    t.script("echo xx >.local/share/rpod/refs/localhost/kept:1").run().ok();
    rpod!(t, "tag", image, "kept:1").run().ok();
    rpod!(t, "run", "--rm", "--network", "none", "kept:1", "true").run().ok();
    Ok(())
}

/// Everything of rpod's on a file system that has no room left.
fn full_disk(t: &Sandbox) -> Outcome {
    let archive =
        t.write("home/busybox.tar", Image::busybox()?.docker_archive(&["docker.io/library/busybox:latest"]))?;
    let script = format!(
        "mkdir -p disk; mount -t tmpfs -o size=6m,mode=700 tmpfs disk\n\
         export RPOD_ROOT=$PWD/disk/data RPOD_STATE=$PWD/disk/state RPOD_RUNTIME=$PWD/disk/run\n\
         rpod load -q -i {} >/dev/null\n\
         rpod run --name c --network none busybox echo said >/dev/null\n\
         rpod run -d --name on --network none busybox sleep 1000 >/dev/null\n\
         dd if=/dev/zero of=disk/filler bs=4k 2>/dev/null || true; echo >>disk/filler 2>/dev/null || true\n\
         if rpod run --name n --network none busybox true 2>err; then echo it should have failed; fi\n\
         grep -o 'No space left on device' err | head -1\n\
         rpod pause on 2>/dev/null || echo refused\n\
         awk '/^State/ {{ print $2 }}' /proc/$(rpod inspect -f '{{{{.State.Pid}}}}' on)/status\n\
         rpod ps -a --format '{{{{.Names}}}}' | sort\n\
         rpod logs c\n\
         rpod rm c\n\
         rpod rm -f -t 0 on\n\
         rpod ps -aq | wc -l\n\
         rm disk/filler\n\
         rpod run --rm --network none busybox echo again",
        archive.display()
    );
    let out = rpod!(t, "unshare", "bash", "-euo", "pipefail", "-c", &script).run();
    out.lines_are(&["No space left on device", "refused", "S", "c", "on", "said", "c", "on", "0", "again"]);
    Ok(())
}

/// A container fills the disk and ends, and its monitor cannot write that down.
fn filled_by_a_container(t: &Sandbox) -> Outcome {
    let archive =
        t.write("home/busybox.tar", Image::busybox()?.docker_archive(&["docker.io/library/busybox:latest"]))?;
    let script = format!(
        "mkdir -p disk; mount -t tmpfs -o size=6m,mode=700 tmpfs disk\n\
         export RPOD_ROOT=$PWD/disk/data RPOD_STATE=$PWD/disk/state\n\
         rpod load -q -i {} >/dev/null\n\
         rpod run -d --name w --network none busybox sh -c 'cat /dev/zero >/fill; exit 3' >/dev/null 2>&1\n\
         rpod wait w\n\
         rpod ps -a --format '{{{{.Names}}}} {{{{.State}}}}'\n\
         rpod volume create v 2>/dev/null || rpod volume ls -q\n\
         rpod rm w\n\
         rpod ps -aq\n\
         rpod run --rm --network none busybox echo again",
        archive.display()
    );
    let out = rpod!(t, "unshare", "bash", "-euo", "pipefail", "-c", &script).run();
    out.lines_are(&["3", "w exited", "w", "again"]);
    Ok(())
}

/// After a reboot nothing of the runtime directory is there, and no process of any container.
fn reboot(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "on", "--network", "none", image, "sleep", "1000").run().ok();
    let anonymous = ["-v", "/own", "-v", "named:/named"];
    t.rpod(
        [&["run", "-d", "--rm", "--name", "gone", "--network", "none"], &anonymous[..], &[image, "sleep", "1000"]]
            .concat(),
    )
    .run()
    .ok();
    // One that stays has a volume of the other's too.
    rpod!(t, "run", "-d", "--rm", "--name", "lent", "--network", "none", "-v", "/lent", image, "sleep", "1000")
        .run()
        .ok();
    rpod!(t, "create", "--name", "borrower", "--volumes-from", "lent", image, "ls", "/lent").run().ok();
    let lent = rpod!(t, "inspect", "-f", "{{(index .Mounts 0).Name}}", "lent").run().ok().to_owned();
    let pids = rpod!(t, "inspect", "--format", "{{.State.Pid}} {{.State.ConmonPid}}", "on", "gone", "lent")
        .run()
        .ok()
        .to_owned();
    for pid in pids.split_ascii_whitespace().rev() {
        t.program("kill", ["-9", pid]).run();
    }
    fs::remove_dir_all(t.dir().join("run/rpod"))?;
    rpod!(t, "ps", "-a", "--format", "{{.Names}} {{.State}}").run().lines_are(&["on exited", "borrower created"]);
    // What has no name of its own goes with the container that it was made for.
    let mut volumes = [lent.as_str(), "named"];
    volumes.sort_unstable();
    rpod!(t, "volume", "ls", "-q").run().lines_are(&volumes);
    rpod!(t, "start", "-a", "borrower").run().ok();
    rpod!(t, "rm", "-v", "borrower").run().ok();
    rpod!(t, "volume", "ls", "-q").run().lines_are(&["named"]);
    // Nor does it stay when no container comes of it.
    rpod!(t, "create", "-v", "/own", "--requires", "nosuch", image, "true").run().fails(125, &["nosuch"]);
    rpod!(t, "volume", "ls", "-q").run().lines_are(&["named"]);
    rpod!(t, "start", "on").run().ok();
    rpod!(t, "rm", "-f", "-t", "0", "on").run().ok();
    Ok(())
}

/// Two hosts with one home: neither takes away what the other one's containers use.
fn hosts_with_one_store(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    if !crate::support::is_root() {
        return crate::support::skip("needs root, to be another host");
    }
    let machine = t.write("machine-id", "0123456789abcdef0123456789abcdef\n")?;
    let far = |state: &str, words: &[&str]| {
        let dir = t.dir().display();
        let script = format!(
            "mount --bind {} /etc/machine-id; {state} export RPOD_RUNTIME={dir}/far-run; exec {} {} \"$@\"",
            machine.display(),
            t.become_user(),
            t.binary().display()
        );
        t.program_as_root("unshare", [&["-m", "bash", "-c", &script, "rpod"], words].concat()).run()
    };
    rpod!(t, "tag", image, "localhost/other").run().ok();
    rpod!(t, "run", "-d", "--name", "va", "--network", "none", "-v", "vol1:/v", image, "sleep", "1000").run().ok();
    rpod!(t, "create", "--name", "ve", "-v", "/own", "--rm", image, "true").run().ok();
    // The second host's own containers are not the first one's. Its state is in the shared home, or on its own disk: then only
    // the store tells.
    let elsewhere = format!("export RPOD_STATE={}/far-state;", t.dir().display());
    for state in ["", &elsewhere] {
        far(state, &["ps", "-aq"]).lines_are(&[]);
        let host = far(state, &["create", "--name", "b", "-v", "vol2:/v", image, "true"]);
        host.ok();
        rpod!(t, "volume", "rm", "-f", "vol2").run().fails(2, &["volume vol2 is in use by container b"]);
        rpod!(t, "rmi", "-f", "localhost/other", image).run().fails(2, &["is in use by container b", "on host 0123"]);
        rpod!(t, "system", "reset", "-f").run().fails(125, &["is in use by container b"]);
        rpod!(t, "tag", image, "localhost/other").run().ok();
        if state.is_empty() {
            far(state, &["volume", "rm", "-f", "vol1"]).fails(2, &["volume vol1 is in use by container v"]);
            far(state, &["rmi", "-f", "localhost/other", image]).fails(2, &["is in use by container v"]);
            far(state, &["rm", "b"]).ok();
            far(state, &["system", "prune", "-af", "--volumes"]).ok();
        } else {
            far(state, &["rm", "b"]).ok();
        }
        rpod!(t, "exec", "va", "ls", "/v").run().ok();
        rpod!(t, "volume", "rm", "vol2").run();
    }
    // One made since the first has known of the second is known to it wherever its state is.
    rpod!(t, "run", "-d", "--rm", "--name", "vr", "--network", "none", "-v", "vol3:/v", image, "sleep", "1000")
        .run()
        .ok();
    far(&elsewhere, &["volume", "rm", "vol3"]).fails(2, &["in use by container vr"]);
    rpod!(t, "rm", "-af", "-t", "0").run().ok();
    far(&elsewhere, &["volume", "rm", "vol3"]).ok();
    let uses = fs::read_dir(t.data().join("uses"))?.flatten().map(|host| fs::read_dir(host.path()).unwrap().count());
    assert_eq!(uses.collect::<Vec<_>>(), [0, 0]);
    Ok(())
}

/// With the images somewhere else every container looks damaged; those that run are none of that.
fn check_of_another_root(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "on", "--network", "none", image, "sleep", "1000").run().ok();
    rpod!(t, "create", "--name", "off", "--network", "none", image, "true").run().ok();
    let elsewhere = t.home().join("elsewhere");
    let check = |words: &[&str]| {
        let root = format!("--root={}", elsewhere.display());
        t.rpod([&[root.as_str(), "system", "check"], words].concat()).run()
    };
    check(&[]).fails(125, &["damage detected", "containers want their images back"]).prints("its layer");
    check(&["--repair"]).fails(125, &["2 containers cannot be used", "elsewhere"]);
    check(&["--force"]).fails(125, &["1 containers cannot be used"]).prints("Removed container off");
    rpod!(t, "exec", "on", "true").run().ok();
    rpod!(t, "system", "check").run().ok();
    Ok(())
}
