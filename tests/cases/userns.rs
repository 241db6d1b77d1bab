//! Whose ids are in the container: the whole subordinate range, one id, root's own.

use crate::support::{Need, Outcome, Sandbox, Trial, User, for_each_user, need, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("userns::full_map", User::Sub, |t| {
            let image = t.busybox()?;
            let map = rpod!(t, "run", "--rm", image, "cat", "/proc/self/uid_map").run().ok().to_owned();
            let rows: Vec<Vec<u64>> =
                map.lines().map(|line| line.split_whitespace().map(|n| n.parse().unwrap()).collect()).collect();
            assert_eq!(rows[0], [0, u64::from(t.uid()), 1], "{map}");
            assert!(rows[1][0] == 1 && rows[1][2] >= 65536, "{map}");
            Ok(())
        }),
        trial("userns::single_id_map_says_so_once", User::NoSub, |t| {
            let image = t.busybox()?;
            let out = rpod!(t, "run", "--rm", image, "sh", "-c", "cat /proc/self/uid_map | tr -s ' '; id -u").run();
            out.lines_are(&[&format!(" 0 {} 1", t.uid()), "0"]);
            Ok(())
        }),
        trial("userns::setgroups_and_chown", User::Sub, |t| {
            let image = t.busybox()?;
            let script = "touch /f && chown 1000:44 /f && stat -c %u:%g /f";
            rpod!(t, "run", "--rm", image, "sh", "-c", script).run().lines_are(&["1000:44"]);
            Ok(())
        }),
        trial("userns::containers_are_apart", User::Sub, |t| {
            // A process in one container cannot see or signal another's.
            let image = t.busybox()?;
            rpod!(t, "run", "-d", "--name", "a", image, "sleep", "1000").run().ok();
            let out = rpod!(t, "run", "--rm", image, "sh", "-c", "ps -o args | grep -c '^sleep 1000'; true").run();
            assert_eq!(out.ok(), "0");
            Ok(())
        }),
    ];
    trials.extend(for_each_user("userns::keep_id", keep_id));
    for driver in ["overlay", "fuse-overlayfs", "copy"] {
        trials.push(trial(format!("userns::keep_id_with::{driver}"), User::Sub, move |t| {
            if driver == "fuse-overlayfs" {
                need([Need::FuseOverlayfs])?;
            }
            let image = t.busybox()?;
            t.use_driver(driver);
            let script = "id -u; stat -c %u:%g / /bin /bin/busybox";
            let own = t.uid().to_string();
            for _ in 0..2 {
                let out =
                    rpod!(t, "run", "--rm", "--network=none", "--userns=keep-id", image, "sh", "-c", script).run();
                out.lines_are(&[&own, "0:0", "0:0", "0:0"]);
            }
            let script =
                "touch /x && chown 7:8 /x && stat -c %u:%g /x && rm -r /bin/true /home && echo >/home && ls -d /home";
            rpod!(t, "run", "--rm", "--network=none", "--userns=keep-id", "-u0", image, "sh", "-c", script)
                .run()
                .lines_are(&["7:8", "/home"]);
            // The copy is the image's; a container does not write to it, and it goes with the image.
            rpod!(t, "run", "--rm", "--network=none", "--userns=keep-id", image, "true").run().ok();
            let mapped = t.data().join("mapped");
            let copies = || std::fs::read_dir(&mapped).map(|dir| dir.count()).unwrap_or(0);
            assert_eq!(copies(), usize::from(driver != "copy"));
            rpod!(t, "rmi", image).run().ok();
            assert_eq!(copies(), 0);
            Ok(())
        }));
    }
    trials.push(trial("userns::maps", User::Sub, maps));
    trials.push(trial("userns::auto", User::Sub, auto));
    trials.push(trial("userns::joined_without_this_user", User::Sub, joined_without_this_user));
    trials.push(trial("userns::files_of_nobody", User::Sub, files_of_nobody));
    trials.push(trial("userns::refused", User::Sub, |t| {
        let image = t.busybox()?;
        for (option, words) in [
            ("--uidmap=x", "initializing ID mappings: UID setting is malformed"),
            ("--gidmap=0:1:2:3", "initializing ID mappings: GID setting is malformed"),
            ("--uidmap=0:99999999:5", "potentially insufficient UIDs or GIDs"),
            ("--uidmap=1:1:5", "container ID 0 cannot be mapped to a host ID"),
            ("--uidmap=0:@1:1", "parent ID UID 1 is not mapped/delegated"),
            ("--subuidname=nosuch", "no subuid ranges found for user \"nosuch\""),
            ("--userns=auto:size=9999999", "not enough unused UIDs"),
            ("--userns=container:nosuch", "looking up container to share user namespace with"),
        ] {
            rpod!(t, "run", "--rm", "--network=none", option, image, "true").run().fails(125, &[words]);
        }
        Ok(())
    }));
    trials.push(trial("userns::without_a_range", User::NoSub, |t| {
        let image = t.busybox()?;
        for mode in ["nomap", "auto"] {
            let option = format!("--userns={mode}");
            rpod!(t, "run", "--rm", "--network=none", option, image, "true")
                .run()
                .fails(125, &["needs subordinate ids"]);
        }
        Ok(())
    }));
    trials.extend(for_each_user("userns::unshare", |t| {
        let out = rpod!(t, "unshare", "id", "-u").run();
        assert_eq!(out.ok(), "0");
        rpod!(t, "unshare", "sh", "-c", "exit 9").run().code(9);
        rpod!(t, "unshare", "nosuchprogram").run().code(127);
        let map = rpod!(t, "unshare", "cat", "/proc/self/uid_map").run();
        assert_eq!(map.ok().lines().count() > 1, t.user() == User::Sub, "{map}");
        Ok(())
    }));
    trials
}

/// The user keeps its own id, has a name, and owns what it writes to the host.
fn keep_id(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let (uid, name) = (t.uid(), format!("rpod-{}", t.user()));
    let dir = t.mkdir("shared")?;
    let volume = format!("{}:/shared", dir.display());
    let script = "id -u; id -g; id -un; touch /shared/file; stat -c %u:%g /shared/file; pwd";
    let run = |options: &[&str], script: &str| {
        let args = ["run", "--rm", "--network=none", "-v", &volume].into_iter().chain(options.iter().copied());
        t.rpod(args.chain([image, "sh", "-c", script])).run()
    };
    let own = uid.to_string();
    run(&["--userns=keep-id"], script).lines_are(&[&own, &own, &name, &format!("{uid}:{uid}"), "/"]);
    let out = run(&["--userns=keep-id:uid=1234,gid=567"], script);
    // With other ids it is a user of the container's, as in Podman.
    out.lines_are(&["1234", "567", "1234", "1234:567", "/"]);
    let out = run(&["--userns=keep-id", "-u", "0"], "id -u; touch /shared/by-root");
    out.lines_are(&["0"]);
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(dir.join("file"))?.uid(), uid);
    // Without other ids root is the user after all.
    let by_root = std::fs::metadata(dir.join("by-root")).map(|meta| meta.uid()).unwrap_or(0);
    assert_eq!(by_root == uid, t.user() == User::NoSub, "{by_root}");
    // As that user again: exec, and a start that comes later.
    rpod!(t, "create", "--name=kept", "--network=none", "--userns=keep-id", image, "sleep", "1000").run().ok();
    rpod!(t, "start", "kept").run().ok();
    rpod!(t, "exec", "kept", "id", "-un").run().lines_are(&[&name]);
    Ok(())
}

fn maps(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let uid = t.uid();
    let map = |options: &[&str], file: &str| {
        let args = ["run", "--rm", "--network=none"].into_iter().chain(options.iter().copied());
        let text = t.rpod(args.chain([image, "cat", file])).run().ok().to_owned();
        text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let whole = map(&[], "/proc/self/uid_map");
    let first: u32 = whole[1].split(' ').nth(1).unwrap_or_default().parse()?;
    let (uids, gids) = ("/proc/self/uid_map", "/proc/self/gid_map");
    assert_eq!(map(&["--uidmap=0:1:2000"], uids), [format!("0 {first} 2000")]);
    assert_eq!(map(&["--uidmap=0:1:2000"], gids), [format!("0 {first} 2000")]);
    assert_eq!(map(&["--uidmap=0:0:2000"], uids), [format!("0 {uid} 1"), format!("1 {first} 1999")]);
    let extended = map(&["--uidmap=+5:0:1"], uids);
    assert_eq!(extended[..2], [format!("0 {first} 5"), format!("5 {uid} 1")]);
    assert_eq!(map(&["--uidmap=u+5:0"], gids), whole);
    let host = format!("--uidmap=0:@{}:3000", first + 7);
    assert_eq!(map(&[&host], uids), [format!("0 {} 3000", first + 7)]);
    let nomap = map(&["--userns=nomap"], uids);
    assert!(nomap.len() == 1 && nomap[0].starts_with(&format!("0 {first} ")), "{nomap:?}");
    // Where the user has no id at all, everything works as well.
    let script = "id -u; stat -c %u /bin; touch /etc/x; stat -c %u /etc/x; cat /etc/hostname >/dev/null && echo named";
    let volume = format!("{}:/shared", t.mkdir("shared")?.display());
    for mode in ["--userns=nomap", "--userns=auto"] {
        rpod!(t, "run", "--rm", "--network=none", mode, "-v", &volume, image, "sh", "-c", script)
            .run()
            .lines_are(&["0", "0", "0", "named"]);
    }
    Ok(())
}

/// No two of them share an id, and ids come back.
/// Containers share the namespaces of one in which the user that starts them has no id.
fn joined_without_this_user(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    for userns in ["--userns=auto", "--userns=nomap", "--uidmap=0:1:2000"] {
        rpod!(t, "run", "-d", "--name", "n", "--network=none", userns, image, "sleep", "100").run().ok();
        for shared in ["--network", "--pid", "--ipc", "--uts", "--userns"] {
            let (own, shared) =
                (if shared == "--network" { "--env=A=b" } else { "--network=none" }, format!("{shared}=container:n"));
            let script = "touch /made && stat -c %u /made /etc/passwd; cat /proc/self/uid_map | wc -l";
            let out = rpod!(t, "run", "--rm", own, shared, image, "sh", "-c", script).run();
            out.lines_are(&["0", "0", "1"]);
        }
        rpod!(t, "rm", "-f", "-t", "0", "n").run().ok();
    }
    Ok(())
}

/// A file whose owner the container has no id for.
fn files_of_nobody(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "stat -c %u:%g /home/alice/note /etc/passwd; cat /home/alice/note 2>/dev/null || echo refused";
    let run = |flag: &str| rpod!(t, "run", "--rm", "--network=none", flag, image, "sh", "-c", script).run();
    run("--uidmap=0:1:100").lines_are(&["65534:65534", "0:0", "refused"]);
    run("--userns=keep-id:size=100").ok();
    Ok(())
}

fn auto(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let start = |name: &str, mode: &str| {
        let mode = format!("--userns={mode}");
        rpod!(t, "run", "-d", "--name", name, "--network=none", mode, image, "sleep", "1000").run().ok();
        let map = rpod!(t, "exec", name, "cat", "/proc/self/uid_map").run().ok().to_owned();
        let numbers: Vec<u32> = map.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        (numbers[1], numbers[2])
    };
    let (a, b) = (start("a", "auto"), start("b", "auto:size=3000"));
    assert_eq!((a.1, b.1), (1024, 3000));
    assert!(a.0 + a.1 <= b.0 || b.0 + b.1 <= a.0, "{a:?} {b:?}");
    assert!(rpod!(t, "exec", "a", "cat", "/proc/self/uid_map").run().ok().lines().count() == 1);
    rpod!(t, "rm", "-f", "-t", "0", "a").run().ok();
    assert_eq!(start("c", "auto"), a);
    Ok(())
}
