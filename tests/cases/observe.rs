//! `rpod top` and `stats`: processes and numbers from outside, whatever the image has in it.

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("observe::top", top);
    trials.extend(for_each_user("observe::stats", stats));
    trials.push(trial("observe::top_of_host_processes_and_exec", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "-d", "--name", "h", "--pid", "host", image, "sleep", "999").run().ok();
        // That of the container, not the host's.
        rpod!(t, "top", "h", "args").run().lines_are(&["COMMAND", "sleep 999"]);
        rpod!(t, "run", "-d", "--name", "e", image, "sleep", "1000").run().ok();
        let mut exec = rpod!(t, "exec", "-i", "e", "cat").spawn();
        wait_until("cat is there", || rpod!(t, "top", "e", "ppid", "args").run().stdout.contains("cat"));
        // Its parent is not in the container.
        assert!(rpod!(t, "top", "e", "ppid", "comm").run().ok().lines().any(|l| l.split_whitespace().eq(["0", "cat"])));
        exec.close_stdin();
        exec.wait().code(0);
        Ok(())
    }));
    trials.push(trial("observe::stats_goes_on", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "-d", "--name", "s", image, "sleep", "1000").run().ok();
        let mut running = rpod!(t, "stats", "--interval", "1", "--format", "{{.Name}}", "s").spawn();
        wait_until("two looks", || running.stdout().lines().count() >= 2);
        assert!(!running.has_ended());
        Ok(())
    }));
    trials
}

fn top(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "sleep 1000 & exec sleep 999";
    rpod!(t, "run", "-d", "--name", "web", "--cap-drop=all", "--cap-add=chown", image, "sh", "-c", script).run().ok();
    wait_until("both sleep", || rpod!(t, "top", "web", "args").run().stdout.contains("sleep 999"));
    let out = rpod!(t, "top", "web").run();
    let lines: Vec<Vec<&str>> = out.ok().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND"], "{out}");
    assert_eq!((lines[1][0], lines[1][1], lines[1][2]), ("root", "1", "0"), "{out}");
    assert_eq!(lines[1][7..], ["sleep", "999"], "{out}");
    assert_eq!((lines[2][2], &lines[2][7..]), ("1", &["sleep", "1000"][..]), "{out}");
    rpod!(t, "top", "web", "pid", "seccomp", "capeff", "state").run().lines_are(&[
        "PID         SECCOMP     EFFECTIVE CAPS  STATE",
        "1           filter      CHOWN           S",
        "2           filter      CHOWN           S",
    ]);
    let hpid = rpod!(t, "inspect", "--format", "{{.State.Pid}}", "web").run().ok().to_owned();
    rpod!(t, "top", "web", "hpid,huid").run().prints(&hpid).prints(&t.uid().to_string());
    // As Docker's users write it.
    let rows = |words: &[&str]| {
        let out = t.rpod([&["top", "web"], words].concat()).run();
        out.ok().lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(rows(&["-eo", "pid,comm"]), ["PID COMMAND", "1 sleep", "2 sleep"]);
    assert!(rows(&["aux"])[0].starts_with("USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"));
    assert!(rows(&["-ef"])[1].starts_with("root 1 0 "), "{:?}", rows(&["-ef"]));
    rpod!(t, "top", "-l", "pid").run().lines_are(&["PID", "1", "2"]);
    rpod!(t, "top", "web", "nonsense").run().fails(125, &["nonsense", "descriptors are"]);
    rpod!(t, "top").run().fails(125, &["you must provide the name or id of a running container"]);
    rpod!(t, "top", "nosuch").run().fails(125, &["no container with name or ID \"nosuch\" found"]);
    rpod!(t, "kill", "web").run().ok();
    rpod!(t, "top", "web").run().fails(125, &["top can only be used on running containers"]);
    Ok(())
}

fn stats(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let burn = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo burnt; sleep 1000 & exec sleep 999";
    rpod!(t, "run", "-d", "--name", "busy", "--network", "none", image, "sh", "-c", burn).run().ok();
    rpod!(t, "create", "--name", "made", image, "true").run().ok();
    wait_until("it has worked", || rpod!(t, "logs", "busy").run().stdout.contains("burnt"));
    let out = rpod!(t, "stats", "--no-stream").run();
    let titles: Vec<&str> = out.ok().lines().next().unwrap_or_default().split("  ").map(str::trim).collect();
    let titles: Vec<&str> = titles.into_iter().filter(|title| !title.is_empty()).collect();
    let wanted =
        ["ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET IO", "BLOCK IO", "PIDS", "CPU TIME", "AVG CPU %"];
    assert_eq!(titles, wanted, "{out}");
    assert_eq!(out.ok().lines().count(), 2, "{out}");
    let list = rpod!(t, "stats", "--no-stream", "--format", "json").run().json();
    let row = &list[0];
    assert_eq!((&row["name"], &row["pids"]), (&"busy".into(), &"2".into()), "{row}");
    for field in ["id", "cpu_time", "cpu_percent", "avg_cpu", "mem_usage", "mem_percent", "net_io", "block_io"] {
        assert!(row[field].is_string(), "no {field} in {row}");
    }
    assert!(row["cpu_time"] != "0s" && !row["mem_usage"].as_str().unwrap_or("0B").starts_with("0B"), "{row}");
    let all = rpod!(t, "stats", "--no-stream", "-a", "--format", "{{.Name}} {{.PIDs}}").run();
    all.lines_are(&["busy 2", "made 0"]);
    let long = rpod!(t, "stats", "--no-stream", "--no-trunc", "--format", "{{.ID}}", "busy").run();
    assert_eq!(long.ok().len(), 64);
    rpod!(t, "stats", "--no-stream", "nosuch").run().fails(125, &["unable to get list of containers", "nosuch"]);
    rpod!(t, "stats", "--interval", "0").run().fails(125, &["invalid interval"]);
    Ok(())
}
