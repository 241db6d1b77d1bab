//! Logs: complete, rotated, followed.

use std::time::Duration;

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial, until};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(for_each_user("logs::both_streams_survive", |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "-d", "--name", "l", image, "sh", "-c", "echo out; echo err >&2; printf partial").run().ok();
        rpod!(t, "wait", "l").run().ok();
        let out = rpod!(t, "logs", "l").run();
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\npartial", "err\n"), "{out}");
        // A second start adds.
        rpod!(t, "start", "l").run().ok();
        rpod!(t, "wait", "l").run().ok();
        assert_eq!(rpod!(t, "logs", "l").run().stdout.matches("out").count(), 2);
        Ok(())
    }));
    trials.push(trial("logs::tail_since_until_timestamps", User::Sub, tail_since_until));
    trials.push(trial("logs::follow", User::Sub, follow));
    trials.push(trial("logs::rotate", User::Sub, rotate));
    trials.push(trial("logs::rotation_is_followed", User::Sub, rotation_is_followed));
    trials.push(trial("logs::limited_files", User::Sub, |t| {
        let image = t.busybox()?;
        // A login host's limit on file sizes, in KiB, ends neither the monitor nor the program.
        let script = format!(
            "ulimit -f 100; rpod run --name limited --network none {image} sh -c \
             'head -c 300000 /dev/zero | tr \"\\0\" x; echo; echo done' >/dev/null"
        );
        t.script(&script).run().says("output is missing in the log");
        let state = rpod!(t, "inspect", "-f", "{{.State.ExitCode}} {{.State.Error}}", "limited").run();
        assert!(state.ok().starts_with("0 output is missing in the log"), "{state}");
        t.script("rpod logs limited >/dev/full").run().fails(125, &["cannot write to standard output"]);
        t.script("rpod export limited >/dev/full").run().fails(125, &["cannot write", "No space left"]);
        Ok(())
    }));
    trials.push(trial("logs::drivers", User::Sub, |t| {
        let image = t.busybox()?;
        for driver in ["k8s-file", "json-file"] {
            rpod!(
                t,
                "run",
                "--name",
                driver,
                "--log-driver",
                driver,
                image,
                "sh",
                "-c",
                "echo '\"quoted\" ünï'; echo two"
            )
            .run()
            .ok();
            rpod!(t, "logs", driver).run().lines_are(&["\"quoted\" ünï", "two"]);
            rpod!(t, "inspect", "--format", "{{.HostConfig.LogConfig.Type}}", driver).run().lines_are(&[driver]);
        }
        rpod!(t, "run", "--name", "none", "--log-driver", "none", image, "echo", "x").run().lines_are(&["x"]);
        rpod!(t, "logs", "none").run().fails(125, &["none"]);
        Ok(())
    }));
    trials.push(trial("logs::a_line_of_a_megabyte_and_binary", User::Sub, |t| {
        let image = t.busybox()?;
        let script = "head -c 1048576 /dev/zero | tr '\\0' x; echo; printf '\\377\\376\\0end\\n'";
        rpod!(t, "run", "-d", "--name", "big", image, "sh", "-c", script).run().ok();
        rpod!(t, "wait", "big").run().ok();
        let out = rpod!(t, "logs", "big").run();
        assert_eq!(out.stdout_bytes.len(), 1_048_576 + 1 + 7, "{} bytes", out.stdout_bytes.len());
        assert!(out.stdout_bytes.ends_with(b"\xff\xfe\0end\n"));
        Ok(())
    }));
    trials.push(trial("logs::slow_client_does_not_stop_the_container", User::Sub, |t| {
        // Nobody reads the client's pipe; the container must go on and the log be complete.
        let image = t.busybox()?;
        let script = format!("rpod run --name slow {image} sh -c 'seq 200000; echo end >/end' | sleep 3");
        let running = t.script(&script).spawn();
        until("the log is complete", Duration::from_secs(30), || {
            let out = rpod!(t, "logs", "--tail", "1", "slow").run();
            (out.stdout == "200000\n").then_some(())
        });
        drop(running);
        Ok(())
    }));
    trials.extend(for_each_user("logs::details", |t| {
        let image = t.busybox()?;
        for driver in ["json-file", "k8s-file"] {
            let flags =
                ["--log-driver", driver, "--log-opt", "labels=b,a,none", "--log-opt", "env=X,Y", "--log-opt", "tag=t"];
            let labels = ["--label", "a=1 2", "--label", "b=x&y", "--label", "c=no", "-e", "X=e", "-e", "Y=/"];
            let all = [&["run", "--name", driver][..], &flags, &labels, &[image, "echo", "line"]].concat();
            t.rpod(all).run().ok();
            let out = rpod!(t, "logs", "--details", driver).run();
            assert_eq!(out.ok(), "X=e,Y=%2F,a=1+2,b=x%26y,tag=t line");
            rpod!(t, "logs", driver).run().lines_are(&["line"]);
        }
        rpod!(t, "run", "--name", "plain", image, "echo", "line").run().ok();
        assert_eq!(rpod!(t, "logs", "--details", "plain").run().stdout, " line\n");
        let file = rpod!(t, "inspect", "-f", "{{.HostConfig.LogConfig.Path}}", "json-file").run().ok().to_owned();
        let line: serde_json::Value = serde_json::from_str(std::fs::read_to_string(file)?.trim())?;
        assert_eq!(line["attrs"]["b"], "x&y");
        Ok(())
    }));
    trials
}

fn tail_since_until(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "for i in 1 2 3; do echo line$i; sleep 1.1; done";
    rpod!(t, "run", "-d", "--name", "l", image, "sh", "-c", script).run().ok();
    rpod!(t, "wait", "l").run().ok();
    rpod!(t, "logs", "--tail", "2", "l").run().lines_are(&["line2", "line3"]);
    rpod!(t, "logs", "--tail", "0", "l").run().lines_are(&[]);
    let stamped = rpod!(t, "logs", "-t", "l").run();
    let stamps: Vec<String> = stamped.ok().lines().map(|line| line.split_once(' ').unwrap().0.to_owned()).collect();
    assert!(stamps.len() == 3 && stamps.iter().all(|s| s.parse::<jiff::Timestamp>().is_ok()), "{stamped}");
    rpod!(t, "logs", "--since", &stamps[1], "l").run().lines_are(&["line2", "line3"]);
    rpod!(t, "logs", "--until", &stamps[1], "l").run().prints("line1");
    assert!(!rpod!(t, "logs", "--until", &stamps[1], "l").run().stdout.contains("line3"));
    rpod!(t, "logs", "--since", "1h", "l").run().lines_are(&["line1", "line2", "line3"]);
    rpod!(t, "logs", "--until", "1h", "l").run().lines_are(&[]);
    rpod!(t, "logs", "--since", "yesterdayish", "l").run().fails(125, &["yesterdayish"]);
    rpod!(t, "logs", "--tail", "some", "l").run().code(125);
    Ok(())
}

fn follow(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "echo first; while [ ! -e /go ]; do sleep 0.05; done; echo second; exit 3";
    rpod!(t, "run", "-d", "--name", "f", image, "sh", "-c", script).run().ok();
    let following = rpod!(t, "logs", "-f", "f").spawn();
    following.expect("first");
    rpod!(t, "exec", "f", "touch", "/go").run().ok();
    following.expect("second");
    // It ends with the container, with its own success.
    following.wait().lines_are(&["first", "second"]).code(0);
    rpod!(t, "logs", "-f", "f").run().lines_are(&["first", "second"]);
    Ok(())
}

fn rotate(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(
        t,
        "run",
        "-d",
        "--name",
        "r",
        "--log-opt",
        "max-size=20kb",
        "--log-opt",
        "max-file=3",
        image,
        "seq",
        "20000"
    )
    .run()
    .ok();
    rpod!(t, "wait", "r").run().ok();
    let path = rpod!(t, "inspect", "--format", "{{.HostConfig.LogConfig.Path}}", "r").run().ok().to_owned();
    let dir = std::path::Path::new(&path).parent().unwrap();
    let sizes: Vec<u64> = std::fs::read_dir(dir)?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("ctr.log"))
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    assert!(sizes.len() <= 3 && sizes.iter().all(|size| *size <= 22 * 1024), "{sizes:?}");
    // What is kept is the end, without a gap.
    let out = rpod!(t, "logs", "r").run();
    let numbers: Vec<u32> = out.ok().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers.last(), Some(&20000), "{}", numbers.len());
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap in the log");
    // Followed through a rotation, nothing is lost.
    let script = "sleep 0.5; seq 20000";
    rpod!(
        t,
        "run",
        "-d",
        "--name",
        "f",
        "--log-opt",
        "max-size=50kb",
        "--log-opt",
        "max-file=40",
        image,
        "sh",
        "-c",
        script
    )
    .run()
    .ok();
    let followed = rpod!(t, "logs", "-f", "f").run();
    assert_eq!(followed.ok().lines().count(), 20000);
    rpod!(t, "inspect", "-f", "{{.HostConfig.LogConfig.Size}}", "f").run().lines_are(&["50kB"]);
    rpod!(t, "run", "--rm", "--log-opt", "max-size=big", image, "true").run().fails(125, &["max-size"]);
    rpod!(t, "run", "--rm", "--log-opt", "nosuch=1", image, "true").run().fails(125, &["nosuch"]);
    Ok(())
}

/// A reader that follows misses no line while the log is rotated under it as fast as the container can write.
fn rotation_is_followed(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "echo ready; while [ ! -e /go ]; do sleep 0.05; done; seq 100000";
    let log = ["--log-opt", "max-size=50kb", "--log-opt", "max-file=1000"];
    t.rpod([&["run", "-d", "--name", "f"][..], &log, &[image, "sh", "-c", script]].concat()).run().ok();
    let following = rpod!(t, "logs", "-f", "f").spawn();
    following.expect("ready");
    rpod!(t, "exec", "f", "touch", "/go").run().ok();
    let out = following.wait();
    let expected: Vec<String> =
        std::iter::once("ready".to_owned()).chain((1..=100_000).map(|n| n.to_string())).collect();
    assert!(out.stdout.lines().eq(&expected), "{} lines", out.stdout.lines().count());
    rpod!(t, "create", "--log-opt", "max-file=1001", image, "true").run().fails(125, &["1 to 1000"]);
    Ok(())
}
