//! `rpod init`: a container that is made and waits, and `container cleanup`, which unmakes it.

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("init::waits_for_start", waits_for_start);
    trials.push(trial("init::ended_before_its_start", User::Sub, ended_before_its_start));
    trials.push(trial("init::attached_start", User::Sub, attached_start));
    trials.push(trial("init::failures", User::Sub, failures));
    trials.push(trial("init::monitor_is_killed", User::Sub, monitor_is_killed));
    trials.push(trial("init::cleanup", User::Sub, cleanup));
    trials
}

fn status(t: &Sandbox, name: &str) -> String {
    let format = "{{.State.Status}} {{.State.Running}} {{if .State.Pid}}pid{{end}}";
    rpod!(t, "inspect", "--format", format, name).run().ok().trim_end().to_owned()
}

fn events(t: &Sandbox, name: &str) -> Vec<String> {
    let filter = format!("container={name}");
    let out = rpod!(t, "events", "--stream=false", "--filter", filter, "--format", "{{.Status}}").run();
    out.ok().lines().map(str::to_owned).collect()
}

fn waits_for_start(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "echo begun; exec sleep 1000";
    rpod!(t, "create", "--name", "i", "--timeout", "600", image, "sh", "-c", script).run().ok();
    rpod!(t, "init", "i").run().lines_are(&["i"]);
    assert_eq!(status(t, "i"), "initialized false pid");
    rpod!(t, "ps", "--format", "{{.Names}}").run().lines_are(&[]);
    rpod!(t, "ps", "-a", "--format", "{{.Names}} {{.Status}} {{.State}}")
        .run()
        .lines_are(&["i Initialized initialized"]);
    rpod!(t, "ps", "-a", "--filter", "status=initialized", "--format", "{{.Names}}").run().lines_are(&["i"]);
    rpod!(t, "logs", "i").run().lines_are(&[]);
    for (words, code, why) in [
        (&["init", "i"][..], 125, "has already been created in runtime"),
        (&["container", "init", "i"], 125, "has already been created in runtime"),
        (&["exec", "i", "true"], 255, "running"),
        (&["pause", "i"], 125, "is not running, can't pause"),
        (&["top", "i"], 125, "can only be used on running containers"),
        (&["kill", "i"], 125, "is in state initialized"),
        (&["attach", "i"], 125, "running containers"),
        (&["cp", "i:/etc/hosts", "."], 125, "before its start"),
    ] {
        t.rpod(words).run().fails(code, &[why]);
    }
    rpod!(t, "start", "i").run().lines_are(&["i"]);
    assert_eq!(status(t, "i"), "running true pid");
    rpod!(t, "exec", "i", "true").run().ok();
    rpod!(t, "start", "i").run().lines_are(&["i"]);
    rpod!(t, "stop", "-t", "0", "i").run().ok();
    rpod!(t, "logs", "i").run().lines_are(&["begun"]);
    let happened = events(t, "i");
    assert_eq!(happened[..3], ["create", "init", "start"], "{happened:?}");
    // Once more, after an end.
    rpod!(t, "init", "-l").run().ok();
    rpod!(t, "restart", "-t", "0", "i").run().ok();
    assert_eq!(status(t, "i"), "running true pid");
    Ok(())
}

fn ended_before_its_start(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    for flags in [&[][..], &["--restart", "always"], &["--rm"]] {
        for end in [&["stop"][..], &["rm"], &["rm", "-f"]] {
            let create = [&["create", "--name", "i", "--stop-timeout", "1000"], flags, &[image, "sleep", "1000"]];
            t.rpod(create.concat()).run().ok();
            rpod!(t, "init", "i").run().ok();
            t.rpod([end, &["i"]].concat()).run().lines_are(&["i"]);
            if end[0] == "stop" && flags != ["--rm"] {
                assert_eq!(status(t, "i"), "exited false");
                rpod!(t, "rm", "i").run().ok();
            }
            rpod!(t, "ps", "-aq").run().lines_are(&[]);
        }
    }
    Ok(())
}

fn attached_start(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "-i", "--name", "i", image, "sh", "-c", "cat; exit 7").run().ok();
    rpod!(t, "init", "--all").run().ok();
    rpod!(t, "start", "-a", "-i", "i").stdin("typed\n").run().code(7).lines_are(&["typed"]);
    Ok(())
}

fn failures(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "init").run().fails(125, &["you must provide at least one name or id"]);
    rpod!(t, "init", "nosuch").run().fails(125, &["no container with name or ID \"nosuch\" found"]);
    rpod!(t, "init", "-a", "x").run().fails(125, &["no arguments are needed with --all"]);
    // What goes wrong while it is made is told now, what only its program can do wrong at the start.
    rpod!(t, "create", "--name", "w", "-w", "/etc/passwd/x", image, "true").run();
    rpod!(t, "create", "--name", "n", image, "nosuchprogram").run().ok();
    rpod!(t, "init", "n").run().ok();
    rpod!(t, "start", "n").run().fails(125, &["nosuchprogram", "not found"]);
    rpod!(t, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "n").run().lines_are(&["exited 127"]);
    Ok(())
}

fn monitor_is_killed(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name", "i", image, "sleep", "1000").run().ok();
    rpod!(t, "init", "i").run().ok();
    let monitor = rpod!(t, "inspect", "--format", "{{.State.ConmonPid}}", "i").run().ok().to_owned();
    t.program("kill", ["-9", &monitor]).run().ok();
    crate::support::wait_until("everything of it is gone", || t.processes().is_empty());
    assert_eq!(status(t, "i"), "exited false");
    rpod!(t, "start", "i").run().ok();
    Ok(())
}

fn cleanup(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name", "i", image, "sleep", "1000").run().ok();
    rpod!(t, "init", "i").run().ok();
    rpod!(t, "container", "cleanup", "i").run().lines_are(&["i"]);
    assert_eq!(status(t, "i"), "created false");
    rpod!(t, "container", "cleanup", "nosuch").run().lines_are(&[]);
    rpod!(t, "container", "cleanup").run().fails(125, &["you must provide at least one name or id"]);
    rpod!(t, "container", "cleanup", "-a", "i").run().fails(125, &["no arguments are needed with --all"]);
    rpod!(t, "container", "cleanup", "--exec", "x", "i").run().lines_are(&[]);
    rpod!(t, "start", "i").run().ok();
    rpod!(t, "container", "cleanup", "--all").run().ok();
    assert_eq!(status(t, "i"), "running true pid");
    rpod!(t, "container", "cleanup", "--rm", "i").run().fails(125, &["failed to clean up and remove", "running"]);
    rpod!(t, "stop", "-t", "0", "i").run().ok();
    rpod!(t, "container", "cleanup", "--rmi", "i").run().fails(125, &["image is in use by a container"]);
    rpod!(t, "container", "cleanup", "--rm", "--rmi", "-l").run().ok();
    rpod!(t, "ps", "-aq").run().lines_are(&[]);
    rpod!(t, "images", "-q").run().lines_are(&[]);
    Ok(())
}
