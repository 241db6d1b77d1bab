//! `--systemd` and `--shm-size-systemd`.

use crate::support::{Image, Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("systemd::always", always);
    trials.push(trial("systemd::when", User::Sub, when));
    trials
}

fn always(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "for d in /run /run/lock /tmp /var/log/journal; do grep -c \" $d tmpfs rw,nosuid,nodev\" /proc/mounts; done
        grep -c ' /sys/fs/cgroup cgroup2 rw,' /proc/mounts; echo ${#container_uuid} $container; test -e /run/.containerenv";
    rpod!(t, "run", "--rm", "--network", "none", "--systemd=always", "--name", "s", image, "sh", "-c", script)
        .run()
        .lines_are(&["1", "1", "1", "1", "1", "32 rpod"]);
    let sized = "for d in /run /run/lock /tmp /var/log/journal; do df -k $d | tail -1 | awk '{print $2}'; done";
    let size = ["--systemd", "always", "--shm-size-systemd", "3m"];
    rpod!(t, "run", "--rm", "--network", "none", size[0], size[1], size[2], size[3], image, "sh", "-c", sized)
        .run()
        .lines_are(&["3072"; 4]);
    // Also below a read-only root; and what was asked for comes first.
    let write = "touch /tmp/a /run/lock/a /var/log/journal/a && ls /run; echo $container_uuid";
    rpod!(
        t,
        "run",
        "--rm",
        "--network",
        "none",
        "--read-only",
        "--systemd=always",
        "-v",
        "mine:/run",
        "-e",
        "container_uuid=x",
        image,
        "sh",
        "-c",
        write
    )
    .run()
    .lines_are(&["lock", "x"]);
    Ok(())
}

fn when(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let mode = |flags: &[&str], image: &str, words: &[&str]| {
        let args = [&["create", "--name", "c"], flags, &[image], words].concat();
        t.rpod(args).run().ok();
        let shown = rpod!(t, "inspect", "-f", "{{.Config.SystemdMode}} {{.Config.StopSignal}}", "c").run();
        rpod!(t, "rm", "c").run().ok();
        shown.ok().trim().to_owned()
    };
    let (on, off) = ("true SIGRTMIN+3", "false SIGTERM");
    for (words, expected) in [
        (&["/sbin/init"][..], on),
        (&["/usr/lib/systemd/systemd", "--show-status=false"], on),
        (&["/bin/sh", "-c", "systemd"], on),
        (&["init"], off),
        (&["sh", "-c", "/sbin/init"], off),
    ] {
        assert_eq!(mode(&[], image, words), expected, "{words:?}");
    }
    assert_eq!(mode(&["--entrypoint", "/sbin/init"], image, &[]), on);
    assert_eq!(mode(&["--systemd=false"], image, &["/sbin/init"]), off);
    assert_eq!(mode(&["--systemd=ALWAYS", "--stop-signal", "9"], image, &["true"]), "true SIGKILL");
    assert_eq!(mode(&["--init"], image, &["/sbin/init"]), off);
    let own = Image::busybox()?.config("StopSignal", "SIGUSR1".into());
    let archive = t.write("home/own.tar", own.docker_archive(&["localhost/own"]))?;
    rpod!(t, "load", "-i", &archive).run().ok();
    assert_eq!(mode(&["--systemd", "always"], "localhost/own", &["true"]), "true SIGUSR1");
    for (flags, says) in [
        (&["--systemd=yes"][..], "--systemd values must be one of \"true, false, always\""),
        (&["--shm-size-systemd", "x"], "unable to translate --shm-size-systemd"),
        (&["--systemd=always", "--init"], "cannot use container-init binary with systemd=always"),
    ] {
        t.rpod([&["create"], flags, &[image, "true"]].concat()).run().fails(125, &[says]);
    }
    Ok(())
}
