//! `--restart` and `--timeout`: who is started again, when not any more, and what is left when the monitor is killed.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial, until, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("restart::on_failure", on_failure);
    trials.extend(for_each_user("restart::stop_ends_it", stop_ends_it));
    trials.extend(for_each_user("restart::monitor_is_killed", monitor_is_killed));
    trials.push(trial("restart::clients_stay", User::Sub, clients_stay));
    trials.push(trial("restart::refused", User::Sub, refused));
    trials.push(trial("restart::after_a_reboot", User::Sub, after_a_reboot));
    trials.push(trial("restart::files_and_ports_stay", User::Sub, files_and_ports_stay));
    trials.extend(for_each_user("restart::timeout", |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "--name", "t", "--timeout", "1", image, "sleep", "1000").run().code(255);
        rpod!(t, "inspect", "-f", "{{.Config.Timeout}}", "t").run().lines_are(&["1"]);
        Ok(())
    }));
    trials
}

pub fn state(t: &Sandbox, name: &str) -> Value {
    rpod!(t, "inspect", "--format", "{{json .State}}", name).run().json()
}

fn status(t: &Sandbox, name: &str) -> String {
    state(t, name)["Status"].as_str().unwrap_or_default().to_owned()
}

fn count(t: &Sandbox, name: &str) -> u32 {
    rpod!(t, "inspect", "--format", "{{.RestartCount}}", name).run().ok().parse().unwrap()
}

fn on_failure(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "f", "--restart", "on-failure:2", image, "sh", "-c", "echo lap; exit 3").run().ok();
    rpod!(t, "wait", "f").run().lines_are(&["3"]);
    rpod!(t, "logs", "f").run().lines_are(&["lap", "lap", "lap"]);
    assert_eq!((count(t, "f"), status(t, "f").as_str()), (2, "exited"));
    rpod!(
        t,
        "inspect",
        "-f",
        "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}",
        "f"
    )
    .run()
    .lines_are(&["on-failure 2"]);
    let format = "{{.Status}}";
    let events = rpod!(t, "events", "--stream=false", "--filter", "container=f", "--format", format).run();
    let words: Vec<&str> = events.ok().lines().collect();
    let lap = ["init", "start", "died"];
    let expected = [&["create"][..], &lap, &["restart"], &lap, &["restart"], &lap, &["cleanup"]].concat();
    // The caller notes that it created the container while the monitor is at work.
    assert_eq!(words.iter().filter(|w| **w != "create").collect::<Vec<_>>(), expected[1..].iter().collect::<Vec<_>>());
    // A good end is an end.
    rpod!(t, "run", "--name", "g", "--restart", "on-failure", image, "true").run().ok();
    // With --rm it goes after its last end.
    let lap =
        rpod!(t, "run", "--rm", "--name", "h", "--restart", "on-failure:1", image, "sh", "-c", "echo lap; exit 3")
            .run();
    lap.code(3).lines_are(&["lap", "lap"]);
    rpod!(t, "container", "exists", "h").run().code(1);
    rpod!(t, "run", "--rm", "--restart", "always", image, "true").run().fails(125, &["--rm option conflicts"]);
    assert_eq!((count(t, "g"), status(t, "g").as_str()), (0, "exited"));
    // Started by hand, it counts anew.
    rpod!(t, "start", "-a", "f").run().code(3);
    assert_eq!(count(t, "f"), 2);
    Ok(())
}

fn stop_ends_it(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    // While it runs, and while it waits to be started again.
    for (n, command) in [["sleep", "1000"], ["sh", "-c"]].into_iter().enumerate() {
        let name = format!("c{n}");
        let mut words = vec!["run", "-d", "--name", &name, "--restart", "always", image];
        words.extend(command);
        if n == 1 {
            words.push("exit 4");
        }
        for verb in [&["stop", "-t", "0"][..], &["kill"], &["rm", "-f", "-t", "0"]] {
            t.rpod(words.iter().copied()).run().ok();
            if n == 1 {
                wait_until("it waits", || status(t, &name) == "restarting");
                let row = rpod!(t, "ps", "--format", "{{.Status}}").run();
                assert!(row.ok().starts_with("Restarting (4) "), "{row}");
                rpod!(t, "exec", &name, "true").run().code(255);
            }
            t.rpod(verb.iter().copied().chain([name.as_str()])).run().lines_are(&[&name]);
            if verb[0] != "rm" {
                assert_eq!(status(t, &name), "exited");
                std::thread::sleep(Duration::from_millis(150));
                assert_eq!(status(t, &name), "exited");
                rpod!(t, "rm", &name).run().ok();
            }
        }
    }
    assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
    // The program itself may end on SIGTERM: that is no reason to start it again.
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done";
    rpod!(t, "run", "-d", "--name", "nice", "--restart", "always", image, "sh", "-c", script).run().ok();
    wait_until("it is up", || rpod!(t, "logs", "nice").run().ok() == "up");
    rpod!(t, "stop", "nice").run().ok();
    assert_eq!((count(t, "nice"), state(t, "nice")["ExitCode"].as_u64()), (0, Some(0)));
    Ok(())
}

fn monitor_is_killed(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    for script in ["sleep 1000", "exit 5"] {
        rpod!(t, "run", "-d", "--name", "m", "--restart", "always", image, "sh", "-c", script).run().ok();
        if script == "exit 5" {
            wait_until("it waits", || status(t, "m") == "restarting" && count(t, "m") > 1);
        }
        let monitor = state(t, "m")["ConmonPid"].to_string();
        t.program("kill", ["-9", &monitor]).run().ok();
        wait_until("everything of it is gone", || t.processes().is_empty());
        assert_eq!(status(t, "m"), "exited");
        rpod!(t, "start", "m").run().ok();
        assert!(state(t, "m")["ConmonPid"].as_u64() > Some(0));
        rpod!(t, "rm", "-f", "-t", "0", "m").run().ok();
    }
    Ok(())
}

/// Whoever is attached stays so, and learns the last exit code.
fn clients_stay(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "echo lap; [ -e /twice ] && exit 7; [ -e /once ] && touch /twice; touch /once; exit 1";
    let out = rpod!(t, "run", "--name", "c", "--restart", "on-failure:2", image, "sh", "-c", script).run();
    out.code(7).lines_are(&["lap", "lap", "lap"]);
    let follower = rpod!(
        t,
        "run",
        "-d",
        "--name",
        "d",
        "--restart",
        "on-failure:1",
        image,
        "sh",
        "-c",
        "sleep 0.2; echo x; exit 1"
    );
    follower.run().ok();
    rpod!(t, "logs", "-f", "d").run().lines_are(&["x", "x"]);
    Ok(())
}

fn refused(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "--rm", "--restart", "always", image, "true").run().fails(125, &["--rm", "--restart"]);
    rpod!(t, "create", "--restart", "sometimes", image, "true").run().fails(125, &["valid restart policy"]);
    rpod!(t, "ps", "--filter", "restart-policy=sometimes").run().fails(125, &["valid restart policy"]);
    // A program that is not there is not tried again: the first start failed.
    rpod!(t, "run", "-d", "--restart", "always", image, "nosuch").run().fails(127, &["nosuch"]);
    Ok(())
}

/// After a reboot no monitor lives, and a unit of the user's asks for those that are to be there.
fn after_a_reboot(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    for (name, policy) in [("a", "always"), ("u", "unless-stopped"), ("s", "unless-stopped"), ("n", "no")] {
        rpod!(t, "run", "-d", "--name", name, "--restart", policy, image, "sleep", "1000").run().ok();
    }
    rpod!(t, "stop", "-t", "0", "s").run().ok();
    for name in ["a", "u", "n"] {
        let monitor = state(t, name)["ConmonPid"].to_string();
        t.program("kill", ["-9", &monitor]).run().ok();
    }
    wait_until("all are gone", || t.processes().is_empty());
    std::fs::remove_dir_all(t.dir().join("run/rpod"))?;
    let names = |filter: &str| {
        let list = rpod!(t, "ps", "-a", "--filter", filter, "--format", "{{.Names}}").run().ok().to_owned();
        list.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names("restart-policy=unless-stopped"), ["u", "s"]);
    assert_eq!(names("should-start-on-boot=true"), ["a", "u"]);
    rpod!(t, "start", "--all", "--filter", "restart-policy=always").run().ok();
    assert_eq!(names("status=running"), ["a"]);
    rpod!(t, "start", "--filter", "should-start-on-boot=true").run().ok();
    assert_eq!(names("status=running"), ["a", "u"]);
    rpod!(t, "rm", "-fa", "-t", "0").run().ok();
    Ok(())
}

fn files_and_ports_stay(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "echo x >>/laps; sleep 0.2; [ $(wc -l </laps) = 3 ] && exit 0; exit 1";
    let run = rpod!(
        t,
        "run",
        "-d",
        "--name",
        "p",
        "--restart",
        "on-failure",
        "-p",
        "127.0.0.1::80",
        image,
        "sh",
        "-c",
        script
    );
    run.run().ok();
    let first = rpod!(t, "port", "p").run().ok().to_owned();
    let last = until("the third lap", Duration::from_secs(20), || {
        let port = rpod!(t, "port", "p").run().ok().to_owned();
        (count(t, "p") == 2).then_some(port)
    });
    assert_eq!(first, last);
    rpod!(t, "wait", "p").run().lines_are(&["0"]);
    Ok(())
}
