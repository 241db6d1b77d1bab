//! `events`: what is noted, how it is shown, and that it is still there afterwards.

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial, until};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("events::life_of_a_container", life_of_a_container);
    trials.push(trial("events::filters_and_formats", User::Sub, filters_and_formats));
    trials.push(trial("events::networks", User::Sub, networks));
    trials.push(trial("events::stream", User::Sub, stream));
    trials
}

fn past(t: &Sandbox, args: &[&str]) -> String {
    let words = ["events", "--stream=false", "--format", "{{.Type}} {{.Status}} {{.Name}}"];
    t.rpod(words.iter().chain(args).copied()).run().ok().to_owned()
}

fn life_of_a_container(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name", "c", "--label", "a=b", image, "true").run().ok();
    rpod!(t, "rm", "c").run().ok();
    let events = past(t, &["--filter", "type=container"]);
    assert_eq!(events, "container create c\ncontainer remove c");
    Ok(())
}

fn filters_and_formats(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "tag", image, "other:1").run().ok();
    rpod!(t, "rmi", "other:1").run().ok();
    assert!(past(t, &["--filter", "event=tag", "--filter", "type=image"]).starts_with("image tag "));
    assert_eq!(past(t, &["--filter", "event=tag", "--filter", "type=volume"]), "");
    let lines = rpod!(t, "events", "--stream=false", "--format", "json").run().ok().to_owned();
    for line in lines.lines() {
        let event: serde_json::Value = serde_json::from_str(line)?;
        assert!(event["timeNano"].as_i64().is_some_and(|time| time > 0) && event["Type"].is_string(), "{line}");
    }
    assert_eq!(past(t, &["--until", "1h"]), "");
    assert_eq!(past(t, &["--since", "1h"]).lines().count(), lines.lines().count());
    rpod!(t, "events", "--filter", "foo=bar").run().fails(125, &["foo=bar is an invalid filter"]);
    rpod!(t, "events", "--since", "yesterday").run().fails(125, &["--since"]);
    // What somebody else wrote into the log is not shown, and is in nobody's way.
    let logs = t.script("find ~ -path '*events/log'").run().ok().to_owned();
    t.script(&format!("printf 'garbage\\n{{\\n\\377\\n{{\"Type\":\"bad\"}}\\n' >>{logs}")).run().ok();
    assert_eq!(past(t, &[]).lines().count(), lines.lines().count());
    Ok(())
}

fn networks(t: &Sandbox) -> Outcome {
    rpod!(t, "network", "create", "one").run().ok();
    rpod!(t, "network", "create", "two").run().ok();
    rpod!(t, "network", "rm", "one").run().ok();
    rpod!(t, "network", "prune", "-f").run().ok();
    let args = ["events", "--stream=false", "--filter", "type=network", "--format", "{{.Status}} {{.Network}}"];
    t.rpod(args).run().lines_are(&["create one", "create two", "remove one", "remove two"]);
    Ok(())
}

fn stream(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name", "before", image, "true").run().ok();
    let watching = rpod!(t, "events", "--filter", "event=create", "--format", "{{.Name}}").spawn();
    // It is there once it has a watch on the log.
    until("the watch", std::time::Duration::from_secs(10), || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", watching.pid())).ok()?;
        fds.flatten()
            .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|l| l.to_string_lossy().contains("inotify")))
            .then_some(())
    });
    rpod!(t, "create", "--name", "after", image, "true").run().ok();
    watching.expect("after");
    watching.signal(rustix::process::Signal::TERM);
    let out = watching.wait();
    assert!(!out.to_string().contains("before"), "{out}");
    Ok(())
}
