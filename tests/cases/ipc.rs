//! `--ipc`: who has whose /dev/shm.

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("ipc::shared_memory", shared_memory);
    trials.push(trial("ipc::modes", User::Sub, modes));
    trials.push(trial("ipc::hostile_place", User::Sub, hostile_place));
    trials
}

fn shared_memory(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "echo a >/dev/shm/a; exec sleep 1000";
    rpod!(t, "run", "-d", "--name", "a", "--network", "none", "--shm-size", "2m", image, "sh", "-c", script).run().ok();
    let read =
        "until [ -e /dev/shm/a ]; do sleep 0.01; done; cat /dev/shm/a; df -k /dev/shm | tail -1 | awk '{print $2}'
        grep -c ' /dev/shm tmpfs rw,nosuid,nodev,noexec' /proc/mounts; echo b >/dev/shm/b";
    let join = |from: &str, script: &str| {
        let from = format!("container:{from}");
        rpod!(t, "run", "--rm", "--network", "none", "--ipc", from, image, "sh", "-c", script).run()
    };
    join("a", read).lines_are(&["a", "2048", "1"]);
    rpod!(t, "exec", "a", "cat", "/dev/shm/b").run().lines_are(&["b"]);
    // One joins what another has joined, also after a restart; it outlives the one that it came from.
    rpod!(t, "run", "-d", "--name", "b", "--network", "none", "--ipc", "container:a", image, "sleep", "1000")
        .run()
        .ok();
    join("b", "cat /dev/shm/b").lines_are(&["b"]);
    rpod!(t, "restart", "-t", "0", "b").run().ok();
    rpod!(t, "stop", "-t", "0", "a").run().ok();
    rpod!(t, "exec", "b", "cat", "/dev/shm/b").run().lines_are(&["b"]);
    rpod!(t, "stop", "-t", "0", "b").run().ok();
    rpod!(t, "start", "b").run().code(125);
    Ok(())
}

fn modes(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    for (mode, shown) in [("", "shareable"), ("shareable", "shareable"), ("private", "private"), ("none", "none")] {
        rpod!(t, "run", "-d", "--name", "c", "--network", "none", "--ipc", mode, image, "sleep", "1000").run().ok();
        rpod!(t, "inspect", "-f", "{{.HostConfig.IpcMode}}", "c").run().lines_are(&[shown]);
        let count = if mode == "none" { "0" } else { "1" };
        t.script("rpod exec c grep -c ' /dev/shm ' /proc/mounts; true").run().lines_are(&[count]);
        let joined = rpod!(t, "run", "--rm", "--network", "none", "--ipc", "container:c", image, "true").run();
        match shown {
            "shareable" => drop(joined.ok()),
            _ => drop(joined.fails(125, &["non-shareable IPC (hint: use IpcMode:shareable for the donor container)"])),
        }
        rpod!(t, "rm", "-f", "-t", "0", "c").run().ok();
    }
    for mode in ["host", "none", "container:c"] {
        rpod!(t, "run", "--rm", "--ipc", mode, "--shm-size", "1m", image, "true")
            .run()
            .fails(125, &["invalid config provided: cannot set shmsize when running in the"]);
    }
    rpod!(t, "run", "--rm", "--ipc", "container:none", image, "true").run().fails(125, &["no such container"]);
    // What is asked for goes first.
    rpod!(t, "run", "-d", "--name", "c", "--network", "none", image, "sleep", "1000").run().ok();
    let size = "df -k /dev/shm | tail -1 | awk '{print $2}'";
    rpod!(
        t,
        "run",
        "--rm",
        "--network",
        "none",
        "--ipc",
        "container:c",
        "--tmpfs",
        "/dev/shm:size=1m",
        image,
        "sh",
        "-c",
        size
    )
    .run()
    .lines_are(&["1024"]);
    Ok(())
}

/// A container cannot have something else shared than a directory of its own.
fn hostile_place(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let hide = "umount /dev/shm; rmdir /dev/shm; ln -s /proc/1/root/etc /dev/shm; sleep 1000";
    rpod!(t, "run", "-d", "--name", "c", "--network", "none", "--privileged", image, "sh", "-c", hide).run().ok();
    crate::support::wait_until("the link", || !rpod!(t, "exec", "c", "readlink", "/dev/shm").run().stdout.is_empty());
    rpod!(t, "run", "--rm", "--network", "none", "--ipc", "container:c", image, "true")
        .run()
        .fails(125, &["cannot share the /dev/shm"]);
    Ok(())
}
