//! Health checks: by the monitor and by hand, what follows from them, and what is shown.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Image, Outcome, Sandbox, Trial, User, for_each_user, rpod, trial, until, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("health::becomes_healthy_and_unhealthy", becomes_healthy_and_unhealthy);
    trials.extend(for_each_user("health::by_hand", by_hand));
    trials.push(trial("health::of_the_image", User::Sub, of_the_image));
    trials.push(trial("health::start_period_and_start_up", User::Sub, start_period_and_start_up));
    trials.extend(for_each_user("health::on_failure", on_failure));
    trials.push(trial("health::timeout", User::Sub, timeout));
    trials.push(trial("health::log", User::Sub, log));
    trials.extend(for_each_user("health::monitor_or_check_is_killed", monitor_or_check_is_killed));
    trials
}

fn health(t: &Sandbox, name: &str) -> Value {
    rpod!(t, "inspect", "--format", "{{json .State.Health}}", name).run().json()
}

fn is(t: &Sandbox, name: &str, status: &str) -> bool {
    health(t, name)["Status"] == status
}

/// A container in the background that is checked with `command`.
fn run(t: &Sandbox, name: &str, flags: &[&str], command: &str) -> Outcome {
    let image = t.busybox()?;
    let all = [
        &["run", "-d", "--network=none", "--name", name, "--stop-timeout", "1", "--health-cmd", command],
        flags,
        &[image, "sleep", "1000"],
    ];
    t.rpod(all.concat()).run().ok();
    Ok(())
}

fn becomes_healthy_and_unhealthy(t: &Sandbox) -> Outcome {
    run(t, "h", &["--health-interval", "200ms", "--health-retries", "2"], "test -e /well && echo fine")?;
    wait_until("unhealthy", || is(t, "h", "unhealthy"));
    rpod!(t, "exec", "h", "touch", "/well").run().ok();
    rpod!(t, "wait", "--condition", "healthy", "h").run().lines_are(&["-1"]);
    let row = |filter: &str| rpod!(t, "ps", "--filter", filter, "--format", "{{.Names}} {{.Status}}").run();
    let shown = row("health=healthy");
    assert!(shown.ok().starts_with("h Up ") && shown.ok().ends_with(" (healthy)"), "{shown}");
    assert_eq!(row("health=unhealthy").ok(), "");
    rpod!(t, "exec", "h", "rm", "/well").run().ok();
    rpod!(t, "wait", "--condition", "unhealthy", "h").run().lines_are(&["-1"]);
    let health = health(t, "h");
    assert!(health["FailingStreak"].as_u64() >= Some(2), "{health}");
    let attempts = health["Log"].as_array().unwrap();
    assert!(attempts.len() <= 5 && attempts.last().unwrap()["ExitCode"] == 1, "{health}");
    let format = "{{.HealthStatus}}";
    let events = rpod!(t, "events", "--stream=false", "--filter", "event=health_status", "--format", format).run();
    for status in ["starting", "healthy", "unhealthy"] {
        assert!(events.ok().lines().any(|line| line == status), "{events}");
    }
    rpod!(t, "stop", "-t", "0", "h").run().ok();
    assert!(rpod!(t, "ps", "-a", "--format", "{{.Status}}").run().ok().ends_with(" ago"));
    rpod!(t, "wait", "--condition", "healthy", "h").run().fails(125, &["does not run"]);
    Ok(())
}

fn by_hand(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    run(t, "h", &["--health-interval", "disable"], "echo $((6*7)); echo err >&2; test -e /well")?;
    assert_eq!(health(t, "h"), json!({"Status": "starting", "FailingStreak": 0, "Log": null}));
    rpod!(t, "healthcheck", "run", "h").run().code(1).lines_are(&["unhealthy"]);
    let report = health(t, "h");
    assert_eq!((&report["Status"], &report["FailingStreak"]), (&json!("starting"), &json!(1)));
    assert_eq!((&report["Log"][0]["ExitCode"], &report["Log"][0]["Output"]), (&json!(1), &json!("42\nerr\n")));
    rpod!(t, "exec", "h", "touch", "/well").run().ok();
    rpod!(t, "healthcheck", "run", "h").run().code(0).lines_are(&[]);
    assert!(is(t, "h", "healthy"));
    // The container's user and environment.
    run(t, "u", &["--health-interval=disable", "-u", "7", "-e", "A=b"], "echo $(id -u) $A")?;
    rpod!(t, "healthcheck", "run", "u").run().ok();
    assert_eq!(health(t, "u")["Log"][0]["Output"], "7 b\n");
    let config = rpod!(t, "inspect", "--format", "{{json .Config}}", "h").run().json();
    assert_eq!(config["Healthcheck"]["Retries"], 3);
    assert_eq!(config["Healthcheck"]["Timeout"], 30_000_000_000_u64);
    assert_eq!(config["Healthcheck"].get("Interval"), None);
    assert_eq!(config["HealthcheckOnFailureAction"], "none");
    // A command that is not there, and none at all.
    run(t, "n", &["--health-interval=disable"], "CMD nosuch")?;
    rpod!(t, "healthcheck", "run", "n").run().code(1);
    assert_eq!(health(t, "n")["Log"][0]["ExitCode"], 127);
    rpod!(t, "run", "-d", "--name", "none", image, "sleep", "1000").run().ok();
    rpod!(t, "healthcheck", "run", "none").run().fails(125, &["has no defined healthcheck"]);
    rpod!(t, "stop", "-t", "0", "none").run().ok();
    rpod!(t, "healthcheck", "run", "none").run().fails(125, &["is not running"]);
    rpod!(t, "healthcheck", "run", "nosuch").run().fails(125, &["nosuch"]);
    rpod!(t, "stop", "-t", "0", "h").run().ok();
    rpod!(t, "healthcheck", "run", "h").run().fails(125, &["is not running"]);
    let flags = ["--health-on-failure", "kill"];
    rpod!(t, "create", flags[0], flags[1], image, "true").run().fails(125, &["without a health check"]);
    Ok(())
}

fn of_the_image(t: &Sandbox) -> Outcome {
    let check = json!({"Test": ["CMD-SHELL", "test -e /well"], "Interval": 100_000_000, "Retries": 1});
    let image = Image::busybox()?.config("Healthcheck", check);
    let archive = t.write("home/h.tar", image.docker_archive(&["localhost/checked"]))?;
    rpod!(t, "load", "-q", "-i", &archive).run().ok();
    rpod!(t, "run", "-d", "--name", "i", "localhost/checked", "sleep", "1000").run().ok();
    wait_until("unhealthy", || is(t, "i", "unhealthy"));
    rpod!(t, "run", "-d", "--name", "o", "--health-cmd", "true", "localhost/checked", "sleep", "1000").run().ok();
    wait_until("healthy", || is(t, "o", "healthy"));
    for flag in ["--no-healthcheck", "--health-cmd=none"] {
        rpod!(t, "run", "--name", "n", flag, "localhost/checked", "true").run().ok();
        let row = rpod!(t, "inspect", "--format", "{{json .Config}}", "n").run().json();
        assert_eq!(row.get("Healthcheck"), None);
        rpod!(t, "rm", "n").run().ok();
    }
    Ok(())
}

fn start_period_and_start_up(t: &Sandbox) -> Outcome {
    let quick = ["--health-interval", "100ms", "--health-retries", "1"];
    run(t, "p", &[&quick[..], &["--health-start-period", "1h"]].concat(), "test -e /well")?;
    wait_until("it was checked", || health(t, "p")["Log"].as_array().is_some_and(|log| log.len() > 2));
    assert_eq!((is(t, "p", "starting"), health(t, "p")["FailingStreak"].as_u64()), (true, Some(0)));
    rpod!(t, "exec", "p", "touch", "/well").run().ok();
    wait_until("healthy", || is(t, "p", "healthy"));
    rpod!(t, "exec", "p", "rm", "/well").run().ok();
    wait_until("unhealthy", || is(t, "p", "unhealthy"));
    // The regular check waits for the other one.
    let startup = ["--health-startup-cmd", "test -e /up", "--health-startup-interval", "100ms"];
    run(t, "s", &[&quick[..], &startup].concat(), "false")?;
    wait_until("it was checked", || health(t, "s")["Log"].as_array().is_some_and(|log| log.len() > 2));
    assert!(is(t, "s", "starting"));
    rpod!(t, "exec", "s", "touch", "/up").run().ok();
    wait_until("unhealthy", || is(t, "s", "unhealthy"));
    // Too many failures begin the whole container anew.
    run(t, "r", &[&quick[..], &startup, &["--health-startup-retries", "2"]].concat(), "true")?;
    let count = || rpod!(t, "inspect", "--format", "{{.RestartCount}}", "r").run().ok().to_owned();
    until("it was started again", Duration::from_secs(20), || (count() != "0").then_some(()));
    rpod!(t, "rm", "-f", "-t", "0", "r").run().ok();
    Ok(())
}

fn on_failure(t: &Sandbox) -> Outcome {
    let quick = ["--health-interval", "100ms", "--health-retries", "1", "--health-on-failure"];
    let state =
        |name: &str| rpod!(t, "inspect", "--format", "{{.State.Status}} {{.RestartCount}}", name).run().ok().to_owned();
    run(t, "k", &[&quick[..], &["kill"]].concat(), "false")?;
    rpod!(t, "wait", "k").run().lines_are(&["137"]);
    run(t, "s", &[&quick[..], &["stop", "--restart", "always"]].concat(), "false")?;
    rpod!(t, "wait", "s").run();
    assert_eq!(state("s"), "exited 0");
    run(t, "r", &[&quick[..], &["restart"]].concat(), "test -e /well || ! touch /well")?;
    until("it was started again", Duration::from_secs(20), || (state("r") == "running 1").then_some(()));
    // Its files are still there, so it is healthy now.
    wait_until("healthy", || is(t, "r", "healthy"));
    rpod!(t, "stop", "-t", "0", "r").run().ok();
    assert_eq!(state("r"), "exited 1");
    Ok(())
}

fn timeout(t: &Sandbox) -> Outcome {
    run(t, "h", &["--health-interval=disable", "--health-timeout", "300ms"], "echo waiting; sleep 1000")?;
    rpod!(t, "healthcheck", "run", "h").run().fails(125, &["healthcheck command exceeded timeout of 0.3s"]);
    let report = health(t, "h");
    assert_eq!((&report["Log"][0]["ExitCode"], &report["Log"][0]["Output"]), (&json!(-1), &json!("waiting\n")));
    assert_eq!(report["FailingStreak"], 1);
    Ok(())
}

fn log(t: &Sandbox) -> Outcome {
    let dir = t.mkdir("home/health")?;
    let flags = ["--health-interval=disable", "--health-max-log-count=2", "--health-max-log-size=3"];
    let to = ["--health-log-destination", dir.to_str().unwrap()];
    run(t, "d", &[&flags[..], &to].concat(), "echo a long text")?;
    for _ in 0..3 {
        rpod!(t, "healthcheck", "run", "d").run().ok();
    }
    let report = health(t, "d");
    assert_eq!((report["Log"].as_array().unwrap().len(), &report["Log"][0]["Output"]), (2, &json!("a l")));
    let id = rpod!(t, "inspect", "--format", "{{.Id}}", "d").run().ok().to_owned();
    let file = std::fs::read_to_string(dir.join(format!("{id}-healthcheck.log")))?;
    assert_eq!(serde_json::from_str::<Value>(&file)?["Log"], report["Log"]);
    run(t, "e", &["--health-interval=disable", "--health-log-destination=events_logger"], "echo noted")?;
    rpod!(t, "healthcheck", "run", "e").run().ok();
    rpod!(t, "events", "--stream=false", "--filter", "container=e").run().prints("health_log=noted");
    Ok(())
}

/// While a check runs: the check goes with its monitor, and a killed check is only a failed one.
fn monitor_or_check_is_killed(t: &Sandbox) -> Outcome {
    run(t, "h", &["--health-interval", "100ms"], "touch /checking; sleep 1000")?;
    let monitor: u32 = rpod!(t, "inspect", "--format", "{{.State.ConmonPid}}", "h").run().ok().parse()?;
    let children = || -> Vec<u32> {
        let list = std::fs::read_to_string(format!("/proc/{monitor}/task/{monitor}/children")).unwrap_or_default();
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    };
    let checking = || rpod!(t, "exec", "h", "rm", "/checking").run().code == Some(0);
    wait_until("a check runs", checking);
    let check = children().into_iter().find(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "rpod-monitor")
    });
    t.program("kill", ["-9", &check.unwrap().to_string()]).run().ok();
    wait_until("the next check runs", checking);
    assert_eq!(rpod!(t, "inspect", "--format", "{{.State.Status}}", "h").run().ok(), "running");
    t.program("kill", ["-9", &monitor.to_string()]).run().ok();
    wait_until("everything of it is gone", || t.processes().is_empty());
    assert_eq!(rpod!(t, "inspect", "--format", "{{.State.Status}}", "h").run().ok(), "exited");
    // Stopping does not wait for a check.
    rpod!(t, "start", "h").run().ok();
    wait_until("a check runs", checking);
    rpod!(t, "stop", "-t", "0", "h").run().ok();
    assert!(t.leftovers(Duration::from_secs(5)).is_empty());
    Ok(())
}
