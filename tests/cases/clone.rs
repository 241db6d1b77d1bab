//! `rpod container clone` and `update`: containers made from others, and changed.

use serde_json::Value;

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("clone::is_another", is_another);
    trials.push(trial("clone::volumes_and_secrets", User::Sub, volumes_and_secrets));
    trials.push(trial("clone::of_other_ids", User::Sub, of_other_ids));
    trials.push(trial("clone::copied_with_an_image_mount", User::Sub, copied_with_an_image_mount));
    trials.push(trial("clone::destroy", User::Sub, destroy));
    trials.push(trial("clone::refused", User::Sub, refused));
    trials.push(trial("update::limits", User::Sub, limits));
    trials.extend(for_each_user("update::restart", restart));
    trials.push(trial("update::health", User::Sub, health));
    trials.push(trial("update::refused", User::Sub, update_refused));
    trials.push(trial("update::by_many", User::Sub, by_many));
    trials
}

fn inspect(t: &Sandbox, name: &str, format: &str) -> String {
    rpod!(t, "inspect", "--format", format, name).run().ok().trim_end().to_owned()
}

fn is_another(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "echo $A $(cat /etc/hostname) $HOSTNAME $(cat /made 2>/dev/null); echo x >/made; exec sleep 1000";
    rpod!(t, "run", "-d", "--name", "a", "-e", "A=b", "--label", "x=y", "-p", "80", image, "sh", "-c", script)
        .run()
        .ok();
    wait_until("it has begun", || !rpod!(t, "logs", "a").run().ok().is_empty());
    let out = rpod!(t, "container", "clone", "a").run();
    let id = out.ok().to_owned();
    assert!(out.stderr.contains("are not published by a-clone"), "{out}");
    assert_eq!(inspect(t, "a-clone", "{{.Id}} {{.State.Status}} {{.Config.Labels.x}}"), format!("{id} created y"));
    rpod!(t, "start", "a-clone").run().ok();
    let short = &id[..12];
    wait_until("it has begun", || !rpod!(t, "logs", "a-clone").run().ok().is_empty());
    rpod!(t, "logs", "a-clone").run().lines_are(&[&format!("b {short} {short}")]);
    // Names go on from there.
    rpod!(t, "container", "clone", "a").run().ok();
    rpod!(t, "container", "clone", "a-clone").run().ok();
    rpod!(t, "container", "clone", "a", "named").run().ok();
    rpod!(t, "container", "clone", "--name", "flag", "--run", "--memory", "100m", "a").run().ok();
    let names = rpod!(t, "ps", "-a", "--format", "{{.Names}} {{.State}}", "--sort", "names").run();
    names.lines_are(&[
        "a running",
        "a-clone running",
        "a-clone1 created",
        "a-clone2 created",
        "flag running",
        "named created",
    ]);
    assert_eq!(inspect(t, "flag", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}"), "104857600 209715200");
    // The original stays what it was.
    assert_eq!(inspect(t, "a", "{{.HostConfig.Memory}} {{.State.Status}}"), "0 running");
    rpod!(t, "exec", "a", "cat", "/made").run().lines_are(&["x"]);
    Ok(())
}

fn volumes_and_secrets(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "secret", "create", "s", "-").stdin("hidden").run().ok();
    let script = "cat /run/secrets/s; ls /anon /named; touch /anon/a /named/n";
    rpod!(
        t,
        "run",
        "--name",
        "a",
        "--secret",
        "s,uid=1000",
        "-u",
        "1000:0",
        "-v",
        "/anon",
        "-v",
        "keep:/named",
        image,
        "sh",
        "-c",
        format!("{script} 2>&1")
    )
    .run()
    .ok();
    rpod!(t, "container", "clone", "a", "b").run().ok();
    rpod!(t, "secret", "rm", "s").run();
    let anonymous = "{{range .Mounts}}{{if eq .Destination \"/anon\"}}{{.Name}}{{end}}{{end}}";
    let (own, other) = (inspect(t, "a", anonymous), inspect(t, "b", anonymous));
    assert!(own.len() == 64 && other.len() == 64 && own != other, "{own} {other}");
    let out = rpod!(t, "start", "-a", "b").run();
    out.prints("hidden").prints("n");
    // Each takes its own with it.
    rpod!(t, "rm", "-v", "a").run().ok();
    rpod!(t, "volume", "exists", &other).run().code(0);
    rpod!(t, "start", "-a", "b").run().prints("hidden");
    rpod!(t, "rm", "-v", "b").run().ok();
    rpod!(t, "volume", "ls", "-q").run().lines_are(&["keep"]);
    Ok(())
}

/// Where no union mount works, the root is a copy and the image that is mounted in it as well.
fn copied_with_an_image_mount(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let copied = |words: &[&str]| t.rpod([&["--storage-driver", "copy"], words].concat());
    let mount = format!("type=image,src={image},dst=/i,rw=true");
    let script = "cat /i/etc/passwd | head -1; echo x >>/i/seen; wc -l </i/seen; echo x >>/seen; wc -l </seen";
    copied(&["run", "--name", "a", "--network=none", "--mount", &mount, image, "sh", "-c", script]).run().lines_are(&[
        "root:x:0:0:root:/root:/bin/sh",
        "1",
        "1",
    ]);
    copied(&["container", "clone", "a", "b"]).run().ok();
    // Neither its own changes nor those to its copy of the image come along.
    copied(&["start", "-a", "b"]).run().lines_are(&["root:x:0:0:root:/root:/bin/sh", "1", "1"]);
    copied(&["rm", "a"]).run().ok();
    copied(&["start", "-a", "b"]).run().prints("root:x:0:0");
    Ok(())
}

fn of_other_ids(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(
        t,
        "create",
        "--name",
        "k",
        "--userns",
        "keep-id",
        image,
        "sh",
        "-c",
        "id -u; ls -ldn /etc | awk '{print $3}'"
    )
    .run()
    .ok();
    let own = rpod!(t, "start", "-a", "k").run().ok().to_owned();
    rpod!(t, "container", "clone", "k", "k2").run().ok();
    assert_eq!(rpod!(t, "start", "-a", "k2").run().ok(), own);
    rpod!(t, "create", "--name", "auto", "--userns", "auto:size=1024", image, "true").run().ok();
    rpod!(t, "container", "clone", "auto").run().fails(125, &["chosen for it alone"]);
    let root = t.mkdir("root")?;
    t.program("sh", ["-c", &format!("mkdir -p {0}/bin && cp /bin/busybox {0}/bin/sh", root.display())]).run();
    rpod!(
        t,
        "create",
        "--name",
        "r",
        "--rootfs",
        format!("{}:O", root.display()),
        "/bin/sh",
        "-c",
        "echo >/x; echo made"
    )
    .run()
    .ok();
    rpod!(t, "container", "clone", "--run", "r", "r2").run().ok();
    rpod!(t, "wait", "r2").run().lines_are(&["0"]);
    rpod!(t, "logs", "r2").run().lines_are(&["made"]);
    assert!(!root.join("x").exists());
    Ok(())
}

fn destroy(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "tag", image, "other:1").run().ok();
    rpod!(t, "run", "-d", "--name", "a", "--stop-timeout", "0", image, "sleep", "1000").run().ok();
    rpod!(t, "container", "clone", "--destroy", "a", "b").run().fails(125, &["as it is running"]);
    rpod!(t, "container", "clone", "--destroy", "-f", "a", "c", "other:1").run().ok();
    rpod!(t, "ps", "-a", "--format", "{{.Names}} {{.Image}}", "--sort", "names")
        .run()
        .lines_are(&[&format!("b {}", "docker.io/library/busybox:latest"), "c localhost/other:1"]);
    // The image stays while the clone has it.
    rpod!(t, "rmi", "other:1").run();
    rpod!(t, "start", "c").run().ok();
    Ok(())
}

fn refused(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name", "a", image, "true").run().ok();
    rpod!(t, "create", "--name", "b", image, "true").run().ok();
    for (words, why) in [
        (&[][..], "accepts between 1 and 3 arg(s), received 0"),
        (&["a", "b", "c", "d"], "accepts between 1 and 3 arg(s), received 4"),
        (&["nosuch"], "no container with name or ID \"nosuch\" found"),
        (&["a", "b"], "the container name \"b\" is already in use"),
        (&["a", "x/y"], "names must match"),
        (&["-f", "a"], "cannot set --force without --destroy"),
        (&["--pod", "p", "a"], "pods come with verbs of their own"),
        (&["--cpus", "-1", "a"], "invalid value for cpus"),
    ] {
        t.rpod(["container", "clone"].iter().chain(words)).run().fails(125, &[why]);
    }
    rpod!(t, "ps", "-aq").run().ok();
    assert_eq!(rpod!(t, "ps", "-aq").run().ok().lines().count(), 2);
    Ok(())
}

fn limits(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let id = rpod!(t, "create", "--name", "c", image, "sleep", "1000").run().ok().to_owned();
    let shown = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.CpuQuota}} {{.HostConfig.PidsLimit}}";
    rpod!(t, "update", "--memory", "100m", "--pids-limit", "7", "c").run().lines_are(&[&id]);
    rpod!(t, "container", "update", "--cpus", "0.5", "c").run().lines_are(&[&id]);
    assert_eq!(inspect(t, "c", shown), "104857600 209715200 50000 7");
    rpod!(t, "update", "--memory-swap", "-1", "c").run().ok();
    assert_eq!(inspect(t, "c", shown), "104857600 -1 50000 7");
    rpod!(t, "update", "c").run().lines_are(&[&id]);
    assert_eq!(inspect(t, "c", shown), "104857600 -1 50000 7");
    // With what it has now it can still be started.
    rpod!(t, "start", "c").run().ok();
    let out = rpod!(t, "update", "--memory", "200m", "c").run();
    assert_eq!(out.ok(), id);
    assert!(inspect(t, "c", shown).starts_with("209715200 419430400"));
    let cgroup = inspect(t, "c", "{{.State.CgroupPath}}");
    // Where no cgroup is this user's, that is said.
    assert!(!cgroup.is_empty() || out.stderr.contains("has no cgroup of its own"), "{out}");
    Ok(())
}

fn restart(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    // While it runs: its monitor hears of it.
    let script = "while [ ! -e /go ]; do sleep 0.02; done; rm /go; exit 3";
    rpod!(t, "run", "-d", "--name", "r", image, "sh", "-c", script).run().ok();
    rpod!(t, "update", "--restart", "on-failure:1", "r").run().ok();
    // Which the container's end may kill.
    let go = || {
        let out = rpod!(t, "exec", "r", "touch", "/go").run();
        assert!(matches!(out.code, Some(0 | 137)), "{out}");
    };
    assert_eq!(
        inspect(t, "r", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"),
        "on-failure 1"
    );
    go();
    wait_until("it was started again", || inspect(t, "r", "{{.RestartCount}} {{.State.Status}}") == "1 running");
    rpod!(t, "update", "--restart", "no", "r").run().ok();
    go();
    rpod!(t, "wait", "r").run().lines_are(&["3"]);
    assert_eq!(inspect(t, "r", "{{.State.Status}}"), "exited");
    // What it is called in its monitor's events follows.
    rpod!(t, "start", "r").run().ok();
    rpod!(t, "rename", "r", "renamed").run().ok();
    rpod!(t, "stop", "-t", "0", "renamed").run().ok();
    let died = rpod!(t, "events", "--stream=false", "--filter", "event=died", "--format", "{{.Name}}").run();
    assert_eq!(died.ok().lines().last(), Some("renamed"), "{died}");
    Ok(())
}

fn health(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "h", image, "sleep", "1000").run().ok();
    rpod!(t, "update", "--health-interval", "1s", "h").run().fails(125, &["no health check"]);
    rpod!(t, "update", "--health-cmd", "true", "--health-interval", "100ms", "h").run().ok();
    rpod!(t, "wait", "--condition", "healthy", "h").run().code(0);
    rpod!(t, "ps", "--format", "{{.Status}}").run().prints("(healthy)");
    rpod!(t, "update", "--health-cmd", "false", "--health-retries", "1", "h").run().ok();
    rpod!(t, "wait", "--condition", "unhealthy", "h").run().code(0);
    let check: Value = rpod!(t, "inspect", "--format", "{{json .Config.Healthcheck}}", "h").run().json();
    assert_eq!((&check["Interval"], &check["Retries"]), (&100_000_000.into(), &1.into()));
    rpod!(t, "update", "--health-cmd", "false", "--no-healthcheck", "h").run().fails(125, &["cannot specify both"]);
    rpod!(t, "update", "--health-on-failure", "kill", "h").run().ok();
    rpod!(t, "wait", "h").run().lines_are(&["137"]);
    rpod!(t, "update", "--no-healthcheck", "h").run().ok();
    rpod!(t, "start", "h").run().ok();
    let status = rpod!(t, "ps", "--format", "{{.Status}}").run();
    assert!(!status.ok().contains('('), "{status}");
    Ok(())
}

fn update_refused(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--rm", "--name", "c", image, "true").run().ok();
    for (words, why) in [
        (&["--memory", "1m"][..], "accepts 1 arg(s), received 0"),
        (&["a", "b"], "accepts 1 arg(s), received 2"),
        (&["nosuch"], "no container with name or ID \"nosuch\" found"),
        (&["--restart", "sometimes", "c"], "\"sometimes\" is not a valid restart policy"),
        (&["--restart", "always", "c"], "the --rm option conflicts with --restart"),
        (&["--memory", "x", "c"], "invalid value for memory"),
        (&["--memory-swap", "5", "c"], "you should always set the memory limit"),
        (&["--env", "a=b", "c"], "unknown flag: --env"),
        (&["--health-retries", "0", "--health-cmd", "x", "c"], "healthcheck-retries must be greater than 0"),
    ] {
        t.rpod(["update"].iter().chain(words)).run().fails(125, &[why]);
    }
    Ok(())
}

/// Nothing of two changes at once is lost, and a start in between has one or the other.
fn by_many(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name", "m", image, "sleep", "1000").run().ok();
    let commands = [
        &["update", "--memory", "64m", "m"][..],
        &["update", "--pids-limit", "99", "m"],
        &["update", "--restart", "always", "m"],
        &["update", "--health-cmd", "true", "m"],
        &["start", "m"],
        &["update", "--cpu-shares", "77", "m"],
    ];
    let running: Vec<_> = commands.iter().map(|words| t.rpod(*words).spawn()).collect();
    for running in running {
        let out = running.finish();
        assert_eq!(out.code, Some(0), "{out}");
    }
    let format = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.CpuShares}} {{json .Config.Healthcheck.Test}}";
    assert_eq!(inspect(t, "m", format), "67108864 99 always 77 [\"CMD-SHELL\",\"true\"]");
    rpod!(t, "stop", "-t", "0", "m").run().ok();
    assert_eq!(inspect(t, "m", "{{.State.Status}}"), "exited");
    Ok(())
}
