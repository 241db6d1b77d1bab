//! `rpod exec`: into the running container's namespaces, with its limits and none of the host's.

use rustix::process::Signal;

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(for_each_user("exec::exit_codes_and_streams", |t| {
        up(t, &[])?;
        rpod!(t, "exec", "c", "sh", "-c", "echo out; echo err >&2; exit 9")
            .run()
            .code(9)
            .lines_are(&["out"])
            .says("err");
        rpod!(t, "exec", "c", "nosuch").run().fails(127, &["nosuch"]);
        rpod!(t, "exec", "c", "/etc").run().fails(126, &["/etc"]);
        rpod!(t, "exec", "c", "sh", "-c", "kill -9 $$").run().code(137);
        rpod!(t, "exec", "c").run().code(125);
        let out = rpod!(t, "exec", "-i", "c", "wc", "-c").stdin(vec![b'x'; 1_000_000]).run();
        assert_eq!(out.ok(), "1000000");
        Ok(())
    }));
    trials.push(trial("exec::user_env_workdir", User::Sub, user_env_workdir));
    trials.extend(for_each_user("exec::same_confinement", same_confinement));
    trials.push(trial("exec::detached", User::Sub, |t| {
        up(t, &[])?;
        rpod!(t, "exec", "-d", "c", "sh", "-c", "sleep 0.2; echo done >/made").run().ok();
        wait_until("the file", || rpod!(t, "exec", "c", "cat", "/made").run().stdout == "done\n");
        Ok(())
    }));
    trials.extend(for_each_user("exec::background_session", background_session));
    trials.push(trial("exec::known_while_it_runs", User::Sub, |t| {
        up(t, &[])?;
        let ids = |t: &Sandbox| rpod!(t, "inspect", "--format", "{{len .ExecIDs}}", "c").run().ok().to_owned();
        let mut running = rpod!(t, "exec", "-i", "c", "sh", "-c", "echo up; cat").spawn();
        running.expect("up");
        wait_until("it is known", || ids(t) == "1");
        running.close_stdin();
        running.finish().code(0);
        assert_eq!((ids(t).as_str(), sessions(t).len()), ("0", 0));
        // Its command is killed, and it with it.
        let running = rpod!(t, "exec", "c", "sleep", "1000").spawn();
        wait_until("it is known", || ids(t) == "1");
        running.signal(Signal::KILL);
        running.finish();
        wait_until("it is not known any more", || ids(t) == "0");
        Ok(())
    }));
    trials.extend(for_each_user("exec::detach_keys", detach_keys));
    trials.push(trial("exec::keeper_is_killed", User::Sub, |t| {
        up(t, &[])?;
        rpod!(t, "exec", "-d", "c", "sleep", "1000").run().ok();
        let session = sessions(t)[0].clone();
        t.program("kill", ["-9", &session["Keeper"].to_string()]).run().ok();
        wait_until("its process is gone", || !std::path::Path::new(&format!("/proc/{}", session["Pid"])).exists());
        assert_eq!(rpod!(t, "inspect", "--format", "{{len .ExecIDs}}", "c").run().ok(), "0");
        rpod!(t, "exec", "c", "true").run().ok();
        Ok(())
    }));
    trials.push(trial("exec::ends_with_the_container", User::Sub, |t| {
        up(t, &[])?;
        let running = rpod!(t, "exec", "c", "sh", "-c", "echo ready; sleep 1000").spawn();
        running.expect("ready");
        rpod!(t, "kill", "c").run().ok();
        running.wait().code(137);
        rpod!(t, "exec", "c", "true").run().fails(255, &["running"]);
        Ok(())
    }));
    trials.push(trial("exec::signals_and_kill", User::Sub, |t| {
        up(t, &[])?;
        let running = rpod!(
            t,
            "exec",
            "c",
            "sh",
            "-c",
            "trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
        )
        .spawn();
        running.expect("ready");
        running.signal(Signal::TERM);
        running.wait().code(3);
        Ok(())
    }));
    trials.push(trial("exec::many_at_once", User::Sub, |t| {
        up(t, &[])?;
        let running: Vec<_> = (0..32).map(|n| rpod!(t, "exec", "c", "sh", "-c", format!("exit {n}")).spawn()).collect();
        for (n, one) in running.into_iter().enumerate() {
            one.finish().code(i32::try_from(n)?);
        }
        Ok(())
    }));
    trials
}

fn sessions(t: &Sandbox) -> Vec<serde_json::Value> {
    let container = rpod!(t, "inspect", "c").run().json();
    container[0]["ExecSessions"].as_array().cloned().unwrap_or_default()
}

/// Known while it runs and for a while after, with its exit code.
fn background_session(t: &Sandbox) -> Outcome {
    up(t, &[])?;
    let id = rpod!(t, "exec", "-d", "c", "sh", "-c", "while ! [ -e /go ]; do sleep 0.05; done; exit 5")
        .run()
        .ok()
        .to_owned();
    assert!(id.len() == 64, "{id}");
    rpod!(t, "inspect", "--format", "{{range .ExecIDs}}{{.}}{{end}}", "c").run().lines_are(&[&id]);
    assert!(sessions(t)[0]["ExitCode"].is_null() && sessions(t)[0]["Pid"].as_u64() > Some(0));
    rpod!(t, "exec", "c", "touch", "/go").run().ok();
    wait_until("its end is known", || sessions(t)[0]["ExitCode"] == 5);
    assert_eq!(rpod!(t, "inspect", "--format", "{{len .ExecIDs}}", "c").run().ok(), "0");
    rpod!(t, "exec", "-d", "c", "nosuch").run().fails(127, &["nosuch"]);
    let format = "{{.Status}} {{.ContainerExitCode}}";
    let events = rpod!(t, "events", "--stream=false", "--filter", "event=exec_died", "--format", format).run();
    assert!(events.ok().lines().any(|line| line == "exec_died 5"), "{events}");
    // The container takes what still runs with it.
    rpod!(t, "exec", "-d", "c", "sleep", "1000").run().ok();
    rpod!(t, "rm", "-f", "-t", "0", "c").run().ok();
    assert!(t.leftovers(std::time::Duration::from_secs(5)).is_empty());
    Ok(())
}

/// Left alone, the program finds its terminal as it was, and nobody waits for what it writes.
fn detach_keys(t: &Sandbox) -> Outcome {
    up(t, &[])?;
    let script = "echo ready; read x; yes | head -c 1000000; echo $x >/said; exec sleep 1000";
    let mut pty = rpod!(t, "exec", "-it", "c", "sh", "-c", script).pty(24, 80);
    pty.expect("ready");
    assert!(pty.is_raw());
    pty.send("hello\x10\x11");
    assert_eq!(pty.finish(), 0);
    assert_eq!(sessions(t).len(), 1);
    assert_eq!(rpod!(t, "inspect", "--format", "{{len .ExecIDs}}", "c").run().ok(), "1");
    // The line was not ended: the program still waits on an open terminal.
    rpod!(t, "exec", "c", "test", "-e", "/said").run().code(1);
    let mut pty = rpod!(t, "exec", "-it", "--detach-keys", "ctrl-a,x", "c", "sh").pty(24, 80);
    pty.send("echo some\"\"thing\r");
    pty.expect("something");
    pty.send("exit 6\r");
    assert_eq!(pty.finish(), 6);
    let mut pty =
        rpod!(t, "exec", "-it", "--detach-keys", "ctrl-a,x", "c", "sh", "-c", "echo up; sleep 0.5; exit 7").pty(24, 80);
    pty.expect("up");
    pty.send("\x01x");
    assert_eq!(pty.finish(), 0);
    wait_until("its end is known", || sessions(t).iter().any(|session| session["ExitCode"] == 7));
    rpod!(t, "exec", "--detach-keys", "ctrl-", "c", "true").run().fails(125, &["detach keys"]);
    // Errors are told as before.
    let mut pty = rpod!(t, "exec", "-it", "c", "nosuch").pty(24, 80);
    pty.expect("nosuch");
    assert_eq!(pty.finish(), 127);
    Ok(())
}

fn up(t: &Sandbox, options: &[&str]) -> Outcome {
    let image = t.busybox()?;
    t.rpod([&["run", "-d", "--name", "c"], options, &[image, "sleep", "1000"]].concat()).run().ok();
    Ok(())
}

fn user_env_workdir(t: &Sandbox) -> Outcome {
    up(t, &["-e", "FROM_RUN=1", "-w", "/var/www", "-u", "alice"])?;
    let show = "id -u; pwd; echo $FROM_RUN-$X; echo $HOME";
    rpod!(t, "exec", "-e", "X=2", "c", "sh", "-c", show).run().lines_are(&["1000", "/var/www", "1-2", "/home/alice"]);
    rpod!(t, "exec", "-u", "0", "-w", "/etc", "c", "sh", "-c", "id -u; pwd").run().lines_are(&["0", "/etc"]);
    rpod!(t, "exec", "-u", "1234:77", "c", "sh", "-c", "id -u; id -g").run().lines_are(&["1234", "77"]);
    rpod!(t, "exec", "-u", "nobodyhere", "c", "true").run().says("nobodyhere");
    let out = rpod!(t, "exec", "-w", "/nosuch", "c", "pwd").run();
    assert!(matches!(out.code, Some(126 | 127)) && out.stderr.contains("/nosuch"), "{out}");
    let file = t.write("home/env", "F=from-file\n")?;
    rpod!(t, "exec", "--env-file", &file, "c", "sh", "-c", "echo $F").run().lines_are(&["from-file"]);
    Ok(())
}

fn same_confinement(t: &Sandbox) -> Outcome {
    up(t, &["--network=none", "--cap-drop=chown", "-h", "inside"])?;
    let state = "hostname; grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status | cut -f2; cat /proc/self/uid_map | tr -s ' '";
    let in_exec = rpod!(t, "exec", "c", "sh", "-c", state).run();
    let in_init = rpod!(
        t,
        "run",
        "--rm",
        "--network=none",
        "--cap-drop=chown",
        "-h",
        "inside",
        "docker.io/library/busybox",
        "sh",
        "-c",
        state
    )
    .run();
    assert_eq!(in_exec.ok(), in_init.ok());
    // All of its namespaces, none of the host's; the rlimits of the container.
    let links = "for n in user mnt pid net ipc uts cgroup; do [ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] || echo other $n; done";
    rpod!(t, "exec", "c", "sh", "-c", links).run().lines_are(&[]);
    rpod!(t, "exec", "--privileged", "c", "grep", "CapEff", "/proc/self/status").run().prints("000001ffffffffff");
    Ok(())
}
