//! create start stop kill rm wait attach: the states, their exit codes, and what two at once do.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Need, Outcome, Sandbox, Trial, User, for_each_user, need, rpod, serial_trial, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(for_each_user("lifecycle::create_start_wait_rm", |t| {
        let image = t.busybox()?;
        let id = rpod!(t, "create", "--name", "c", image, "sh", "-c", "echo out; exit 6").run().ok().to_owned();
        assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        assert_eq!(status(t, "c"), "created");
        rpod!(t, "start", "c").run().lines_are(&["c"]);
        rpod!(t, "wait", "c").run().lines_are(&["6"]);
        rpod!(t, "wait", "c", "c").run().lines_are(&["6", "6"]);
        assert_eq!(status(t, "c"), "exited");
        rpod!(t, "logs", "c").run().lines_are(&["out"]);
        rpod!(t, "start", "-a", "c").run().code(6).lines_are(&["out"]);
        rpod!(t, "rm", &id[..8]).run().code(0);
        rpod!(t, "rm", "c").run().fails(1, &["c"]);
        rpod!(t, "rm", "-f", "c").run().code(0);
        Ok(())
    }));
    trials.extend(for_each_user("lifecycle::files_survive_a_restart", |t| {
        let image = t.busybox()?;
        let script = "cat /kept 2>/dev/null; echo before >/kept";
        rpod!(t, "run", "--name", "k", image, "sh", "-c", script).run().lines_are(&[]);
        rpod!(t, "start", "-a", "k").run().lines_are(&["before"]);
        Ok(())
    }));
    trials.push(trial("lifecycle::stop", User::Sub, stop));
    trials.push(trial("lifecycle::kill", User::Sub, kill));
    trials.push(trial("lifecycle::rm", User::Sub, rm));
    trials.push(trial("lifecycle::many_end_side_by_side", User::Sub, |t| {
        let image = t.busybox()?;
        // They take no notice of SIGTERM: one after another would take two seconds each.
        for n in 0..6 {
            let name = format!("c{n}");
            rpod!(
                t,
                "run",
                "-d",
                "--network=none",
                "--name",
                name,
                image,
                "sh",
                "-c",
                "trap '' TERM; while :; do sleep 0.1; done"
            )
            .run()
            .ok();
        }
        let begin = Instant::now();
        rpod!(t, "rm", "-fa", "-t", "2").run().ok();
        let removed = begin.elapsed();
        assert!(removed < Duration::from_secs(12), "{removed:?}");
        Ok(())
    }));
    trials.push(trial("lifecycle::wait", User::Sub, wait));
    trials.push(trial("lifecycle::unknown_names", User::Sub, |t| {
        for verb in ["start", "stop", "kill", "wait", "logs", "attach", "port", "inspect"] {
            rpod!(t, verb, "nosuch").run().fails(125, &["nosuch"]);
        }
        rpod!(t, "exec", "nosuch", "true").run().fails(125, &["nosuch"]);
        rpod!(t, "rm", "nosuch").run().fails(1, &["nosuch"]);
        Ok(())
    }));
    trials.push(trial("lifecycle::ambiguous_and_short_ids", User::Sub, |t| {
        let image = t.busybox()?;
        let ids: Vec<String> = (0..20).map(|_| rpod!(t, "create", image, "true").run().ok().to_owned()).collect();
        let first = &ids[0][..1];
        if ids.iter().filter(|id| id.starts_with(first)).count() > 1 {
            rpod!(t, "inspect", first).run().fails(125, &["more than one"]);
        }
        rpod!(t, "inspect", "--format", "{{.Id}}", &ids[3][..12]).run().lines_are(&[&ids[3]]);
        Ok(())
    }));
    trials.push(trial("lifecycle::detached_outlives_its_caller", User::Sub, |t| {
        let image = t.busybox()?;
        let out = t.script(&format!("rpod run -d --name d {image} sh -c 'sleep 0.4; echo late; exit 3'; exit 0")).run();
        out.ok();
        rpod!(t, "wait", "d").run().lines_are(&["3"]);
        rpod!(t, "logs", "d").run().lines_are(&["late"]);
        Ok(())
    }));
    trials.push(trial("lifecycle::foreground_signals", User::Sub, foreground_signals));
    trials.push(trial("lifecycle::cli_is_killed", User::Sub, |t| {
        let image = t.busybox()?;
        let script = "echo started; sleep 1; echo after; exit 9";
        let running = rpod!(t, "run", "--name", "orphan", image, "sh", "-c", script).spawn();
        running.expect("started");
        running.signal(Signal::KILL);
        // The monitor owns the exit code and the log.
        rpod!(t, "wait", "orphan").run().lines_are(&["9"]);
        rpod!(t, "logs", "orphan").run().lines_are(&["started", "after"]);
        Ok(())
    }));
    trials.extend(for_each_user("lifecycle::monitor_is_killed", monitor_is_killed));
    trials.extend(for_each_user("lifecycle::crun_ends_with_its_monitor", |t| {
        need([Need::Crun])?;
        let image = t.busybox()?;
        rpod!(t, "--runtime=crun", "run", "-d", "--name", "k", "--network=none", image, "sleep", "1000").run().ok();
        let monitor = rpod!(t, "inspect", "--format", "{{.State.ConmonPid}}", "k").run().ok().to_owned();
        t.program("kill", ["-9", &monitor]).run().ok();
        wait_until("everything of it is gone", || t.processes().is_empty());
        assert_eq!(status(t, "k"), "exited");
        Ok(())
    }));
    trials.push(trial("lifecycle::attach", User::Sub, attach));
    trials.push(trial("lifecycle::error_to_start_leaves_created", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "create", "--name", "bad", image, "nosuch").run().ok();
        rpod!(t, "start", "bad").run().fails(125, &["nosuch"]);
        rpod!(t, "rm", "bad").run().ok();
        rpod!(t, "run", "-d", "--rm", image, "nosuch").run().fails(127, &["nosuch"]);
        assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
        Ok(())
    }));
    trials.push(serial_trial("lifecycle::sixty_four_at_once", User::Sub, |t| {
        let image = t.busybox()?;
        let running: Vec<_> = (0..64)
            .map(|n| {
                rpod!(t, "run", "--rm", "--network=none", image, "sh", "-c", format!("echo {n}; exit {n}")).spawn()
            })
            .collect();
        for (n, one) in running.into_iter().enumerate() {
            let out = one.finish();
            out.code(i32::try_from(n)?).lines_are(&[&n.to_string()]);
        }
        assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
        Ok(())
    }));
    trials
}

fn status(t: &Sandbox, name: &str) -> String {
    rpod!(t, "inspect", "--format", "{{.State.Status}}", name).run().ok().to_owned()
}

fn stop(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let trap = |signal: &str| format!("trap 'echo got; exit 4' {signal}; echo ready; while :; do sleep 0.05; done");
    let up = |name: &str, args: &[&str], script: &str| {
        let all = [&["run", "-d", "--name", name], args, &[image, "sh", "-c", script]].concat();
        t.rpod(all).run().ok();
        wait_until("ready", || rpod!(t, "logs", name).run().stdout.contains("ready"));
    };
    up("a", &[], &trap("TERM"));
    rpod!(t, "stop", "a").run().lines_are(&["a"]);
    rpod!(t, "logs", "a").run().prints("got");
    rpod!(t, "inspect", "--format", "{{.State.ExitCode}}", "a").run().lines_are(&["4"]);
    rpod!(t, "stop", "a").run().code(0);
    up("b", &["--stop-signal", "SIGUSR1"], &trap("USR1"));
    rpod!(t, "stop", "b").run().ok();
    rpod!(t, "inspect", "--format", "{{.State.ExitCode}}", "b").run().lines_are(&["4"]);
    // Deaf: SIGKILL after the time; pid 1 ignores SIGTERM by itself.
    up("c", &["--stop-timeout", "1"], "echo ready; while :; do sleep 0.05; done");
    let begin = Instant::now();
    rpod!(t, "stop", "c").run().code(0).says("SIGKILL");
    assert!((1..8).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    rpod!(t, "inspect", "--format", "{{.State.ExitCode}}", "c").run().lines_are(&["137"]);
    up("d", &[], "echo ready; while :; do sleep 0.05; done");
    rpod!(t, "stop", "-t", "0", "d").run().code(0);
    rpod!(t, "stop", "--all").run().code(0);
    Ok(())
}

fn kill(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(
        t,
        "run",
        "-d",
        "--name",
        "k",
        image,
        "sh",
        "-c",
        "trap 'exit 3' HUP; echo ready; while :; do sleep 0.05; done"
    )
    .run()
    .ok();
    wait_until("ready", || rpod!(t, "logs", "k").run().stdout.contains("ready"));
    rpod!(t, "kill", "-s", "NOSUCH", "k").run().fails(125, &["NOSUCH"]);
    rpod!(t, "kill", "--signal", "HUP", "k").run().lines_are(&["k"]);
    rpod!(t, "wait", "k").run().lines_are(&["3"]);
    rpod!(t, "kill", "k").run().fails(125, &["exited"]);
    rpod!(t, "start", "k").run().ok();
    rpod!(t, "kill", "k").run().ok();
    rpod!(t, "wait", "k").run().lines_are(&["137"]);
    Ok(())
}

fn rm(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "r", image, "sleep", "1000").run().ok();
    rpod!(t, "rm", "r").run().fails(2, &["running"]);
    assert_eq!(status(t, "r"), "running");
    rpod!(t, "rm", "-f", "-t", "0", "r").run().lines_are(&["r"]);
    for name in ["x", "y", "z", "busy"] {
        rpod!(t, "create", "--name", name, image, "sleep", "1000").run().ok();
    }
    // All names are looked up before anything goes; after that one refusal does not keep the others.
    rpod!(t, "rm", "x", "nosuch", "y").run().fails(1, &["nosuch"]).lines_are(&[]);
    rpod!(t, "start", "busy").run().ok();
    rpod!(t, "rm", "x", "busy", "y").run().fails(2, &["running"]).lines_are(&["x", "y"]);
    rpod!(t, "rm", "-f", "-t", "0", "busy").run().ok();
    rpod!(t, "rm", "--all").run().ok();
    assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
    // Files of mapped ids and without permissions go too.
    let script = "mkdir -p /d/e && touch /d/e/f && chown -R 1000 /d && chmod 0 /d/e /d";
    rpod!(t, "run", "--name", "hard", image, "sh", "-c", script).run().ok();
    rpod!(t, "rm", "hard").run().ok();
    Ok(())
}

fn wait(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "one", image, "sh", "-c", "sleep 0.5; exit 1").run().ok();
    rpod!(t, "run", "-d", "--name", "two", image, "sh", "-c", "exit 2").run().ok();
    let waiters: Vec<_> = (0..4).map(|_| rpod!(t, "wait", "one", "two").spawn()).collect();
    for waiter in waiters {
        waiter.finish().lines_are(&["1", "2"]);
    }
    Ok(())
}

fn foreground_signals(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "trap 'echo term; exit 5' TERM; trap 'echo int' INT; echo ready; while :; do sleep 0.05; done";
    let running = rpod!(t, "run", "--rm", image, "sh", "-c", script).spawn();
    running.expect("ready");
    running.signal(Signal::INT);
    running.expect("int");
    running.signal(Signal::TERM);
    running.wait().code(5);
    // With --sig-proxy=false the client ends, the container stays.
    let running = rpod!(t, "run", "--name", "stays", "--sig-proxy=false", image, "sh", "-c", script).spawn();
    running.expect("ready");
    running.signal(Signal::TERM);
    let out = running.wait();
    assert!(out.code != Some(5), "{out}");
    assert_eq!(status(t, "stays"), "running");
    Ok(())
}

fn monitor_is_killed(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "m", image, "sleep", "1000").run().ok();
    let pid: u32 = rpod!(t, "inspect", "--format", "{{.State.Pid}}", "m").run().ok().parse()?;
    let status_file = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let monitor = status_file.lines().find_map(|l| l.strip_prefix("PPid:")).unwrap().trim();
    t.program("kill", ["-9", monitor]).run().ok();
    // The container dies with it, helpers too, and the next command says so.
    wait_until("everything of it is gone", || t.processes().is_empty());
    let row = rpod!(t, "ps", "-a", "--format", "{{.Names}} {{.State}} {{.Status}}").run();
    assert!(row.ok().starts_with("m exited Exited (137)"), "{row}");
    rpod!(t, "wait", "m").run().lines_are(&["137"]);
    let error = rpod!(t, "inspect", "--format", "{{.State.Error}}", "m").run();
    assert!(error.ok().contains("monitor"), "{error}");
    rpod!(t, "start", "m").run().ok();
    assert_eq!(status(t, "m"), "running");
    rpod!(t, "rm", "-f", "-t", "0", "m").run().ok();
    Ok(())
}

fn attach(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(
        t,
        "run",
        "-d",
        "-i",
        "--name",
        "cat",
        image,
        "sh",
        "-c",
        "while read x; do echo got-$x; [ $x = end ] && exit 8; done"
    )
    .run()
    .ok();
    let mut one = rpod!(t, "attach", "cat").spawn();
    let watcher = rpod!(t, "attach", "--no-stdin", "cat").spawn();
    // Both must be there before anything is said.
    std::thread::sleep(Duration::from_millis(300));
    one.send("hello\n");
    one.expect("got-hello");
    watcher.expect("got-hello");
    one.send("end\n");
    assert_eq!(one.wait().code, Some(8));
    assert_eq!(watcher.wait().code, Some(8));
    rpod!(t, "attach", "cat").run().fails(125, &["running"]);
    Ok(())
}
