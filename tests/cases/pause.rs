//! `pause` and `unpause`: everything inside stands still, and what may be done meanwhile.

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("pause::stands_still", stands_still);
    trials.extend(for_each_user("pause::ended_while_paused", ended_while_paused));
    trials.push(trial("pause::refused", User::Sub, refused));
    trials
}

fn status(t: &Sandbox, name: &str) -> String {
    rpod!(t, "inspect", "--format", "{{.State.Status}} {{.State.Paused}}", name).run().ok().to_owned()
}

/// Counts up in a file.
fn counter(t: &Sandbox, name: &str, flags: &[&str]) -> Outcome {
    let image = t.busybox()?;
    let script = "(while :; do echo x >>/b; sleep 0.02; done) & while :; do echo x >>/a; sleep 0.02; done";
    let all = [&["run", "-d", "--network=none", "--name", name], flags, &[image, "sh", "-c", script]].concat();
    t.rpod(all).run().ok();
    Ok(())
}

/// How far the two loops have come, read from the host's side: nothing inside can be asked.
fn counts(t: &Sandbox) -> Vec<u64> {
    let upper = t.script("ls -d ~/.local/state/rpod/hosts/*/containers/*/upper").run().ok().to_owned();
    ["a", "b"].map(|file| std::fs::metadata(format!("{upper}/{file}")).map_or(0, |meta| meta.len())).to_vec()
}

fn stands_still(t: &Sandbox) -> Outcome {
    counter(t, "p", &[])?;
    wait_until("both loops run", || counts(t).iter().all(|count| *count > 4));
    rpod!(t, "pause", "p").run().lines_are(&["p"]);
    assert_eq!(status(t, "p"), "paused true");
    let before = counts(t);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(counts(t), before);
    rpod!(t, "ps", "--format", "{{.Names}} {{.Status}}").run().lines_are(&["p Paused"]);
    rpod!(t, "ps", "-q", "--filter", "status=paused", "--format", "{{.Names}}").run().lines_are(&["p"]);
    rpod!(t, "exec", "p", "true").run().fails(255, &["running"]);
    rpod!(t, "pause", "p").run().fails(125, &["is already paused"]);
    rpod!(t, "rm", "p").run().fails(2, &["paused"]);
    rpod!(t, "unpause", "--all").run().code(0);
    assert_eq!(status(t, "p"), "running false");
    wait_until("both loops go on", || counts(t).iter().zip(&before).all(|(now, then)| now > then));
    rpod!(t, "pause", "-a").run().code(0);
    rpod!(t, "unpause", "p").run().lines_are(&["p"]);
    let events = rpod!(t, "events", "--stream=false", "--filter", "container=p", "--format", "{{.Status}}").run();
    assert_eq!(events.ok().lines().filter(|line| line.ends_with("pause")).count(), 4, "{events}");
    Ok(())
}

fn ended_while_paused(t: &Sandbox) -> Outcome {
    for verb in [&["kill"][..], &["stop", "-t", "0"], &["rm", "-f", "-t", "0"]] {
        counter(t, "p", &["--restart", if verb[0] == "stop" { "always" } else { "no" }])?;
        rpod!(t, "pause", "p").run().ok();
        t.rpod(verb.iter().copied().chain(["p"])).run().ok();
        if verb[0] != "rm" {
            assert_eq!(status(t, "p"), "exited false");
            rpod!(t, "rm", "p").run().ok();
        }
    }
    // A killed monitor takes a paused container with it.
    counter(t, "p", &[])?;
    rpod!(t, "pause", "p").run().ok();
    let monitor = rpod!(t, "inspect", "--format", "{{.State.ConmonPid}}", "p").run().ok().to_owned();
    t.program("kill", ["-9", &monitor]).run().ok();
    wait_until("everything of it is gone", || t.processes().is_empty());
    assert_eq!(status(t, "p"), "exited false");
    Ok(())
}

fn refused(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name", "c", image, "true").run().ok();
    rpod!(t, "pause", "c").run().fails(125, &["is not running, can't pause"]);
    rpod!(t, "unpause", "c").run().fails(125, &["is not paused, can't unpause"]);
    rpod!(t, "pause").run().fails(125, &["at least one name or id"]);
    rpod!(t, "pause", "nosuch").run().fails(125, &["nosuch"]);
    rpod!(t, "run", "-d", "--name", "h", "--pid=host", image, "sleep", "1000").run().ok();
    let out = rpod!(t, "pause", "h").run();
    // Frozen where there is a cgroup for it, else refused: SIGSTOP would hit others.
    assert!(out.code == Some(0) || out.stderr.contains("shares its PID namespace"), "{out}");
    Ok(())
}
