//! Shells that do not agree about the runtime directory, and a directory that goes away: no container is taken for dead.

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("runtime_dir::of_another_shell", of_another_shell);
    trials.push(trial("runtime_dir::taken_away", User::Sub, taken_away));
    trials.push(trial("runtime_dir::of_bridges", User::Sub, of_bridges));
    trials.push(trial("runtime_dir::chosen_by_hand", User::Sub, chosen_by_hand));
    trials
}

/// Counts to a file, once in 20 ms: an interruption or a second one would be seen.
const COUNT: &str = "trap exit TERM; i=0; while :; do i=$((i+1)); echo $i >>/count; sleep 0.02; done";

fn started(t: &Sandbox, name: &str) -> String {
    rpod!(t, "inspect", "-f", "{{.State.StartedAt}} {{.State.Pid}} {{.State.Status}}", name).run().ok().to_owned()
}

fn of_another_shell(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "c", "--network=none", image, "sh", "-c", COUNT).run().ok();
    rpod!(t, "run", "-d", "--rm", "--name", "gone", "--network=none", image, "sleep", "1000").run().ok();
    let before = started(t, "c");
    for (variable, value) in [("TMPDIR", t.mkdir("home/job")?), ("XDG_RUNTIME_DIR", t.mkdir("home/session")?)] {
        let shell =
            |words: &[&str]| t.rpod(words.iter().copied()).env_remove("XDG_RUNTIME_DIR").env(variable, &value).run();
        shell(&["ps", "--format", "{{.Names}} {{.State}}"]).lines_are(&["c running", "gone running"]);
        shell(&["exec", "c", "test", "-s", "/count"]).ok();
        shell(&["run", "--name", "gone", image, "true"]).fails(125, &["already in use"]);
        shell(&["start", "c"]).ok();
        assert_eq!(started(t, "c"), before);
    }
    rpod!(t, "stop", "c").env_remove("XDG_RUNTIME_DIR").env("TMPDIR", t.home()).run().ok();
    rpod!(t, "wait", "c").run().lines_are(&["0"]);
    rpod!(t, "rm", "-f", "-t", "0", "c", "gone").run().ok();
    Ok(())
}

/// As a logout does it, and cleaners of temporary files.
fn taken_away(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "c", "--restart=always", "--network=none", image, "sh", "-c", COUNT).run().ok();
    rpod!(t, "run", "-d", "--rm", "--name", "gone", "--network=none", image, "sleep", "1000").run().ok();
    let before = started(t, "c");
    for script in
        ["find $XDG_RUNTIME_DIR/rpod -type f -delete", "rm -rf $XDG_RUNTIME_DIR/rpod", "rm -rf $XDG_RUNTIME_DIR"]
    {
        t.script(script).run().ok();
        // Several look at once.
        t.script("mkdir -p -m 700 $XDG_RUNTIME_DIR; for i in 1 2 3; do rpod ps >/dev/null & done; wait").run().ok();
        rpod!(t, "ps", "--format", "{{.Names}} {{.State}}").run().lines_are(&["c running", "gone running"]);
        assert_eq!(started(t, "c"), before, "{script}");
        rpod!(t, "exec", "c", "test", "-s", "/count").run().ok();
        let attached = rpod!(t, "attach", "--no-stdin", "--sig-proxy=false", "gone").spawn();
        rpod!(t, "rename", "gone", "other").run().ok();
        rpod!(t, "rename", "other", "gone").run().ok();
        drop(attached);
    }
    rpod!(t, "pause", "c").run().ok();
    rpod!(t, "unpause", "c").run().ok();
    t.script("rm -rf $XDG_RUNTIME_DIR/rpod").run().ok();
    rpod!(t, "restart", "-t", "2", "c").run().ok();
    assert_ne!(started(t, "c"), before);
    t.script("rm -rf $XDG_RUNTIME_DIR/rpod").run().ok();
    rpod!(t, "rm", "-f", "-t", "1", "c", "gone").run().ok();
    rpod!(t, "ps", "-aq").run().lines_are(&[]);
    // One whose terminal is somebody else's is not listed any more; it goes on, and ends as a whole.
    let running =
        rpod!(t, "run", "--rm", "--name", "f", "--network=none", image, "sh", "-c", "echo up; read x; ls /bin/sh")
            .spawn();
    running.expect("up");
    t.script("rm -rf $XDG_RUNTIME_DIR/rpod").run().ok();
    rpod!(t, "ps", "-aq").run().lines_are(&[]);
    rpod!(t, "system", "check").run();
    running.finish().code(0).prints("/bin/sh");
    Ok(())
}

fn of_bridges(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "network", "create", "n").run().ok();
    rpod!(t, "run", "-d", "--name", "server", "--network=n", image, "sleep", "1000").run().ok();
    let address =
        || rpod!(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "server").run();
    let before = address().ok().to_owned();
    t.script("rm -rf $XDG_RUNTIME_DIR/rpod").run().ok();
    rpod!(t, "ps", "--format", "{{.Names}}").run().lines_are(&["server"]);
    assert_eq!(address().ok(), before);
    // Both are on one network again, through one netkeeper.
    crate::support::wait_until("the containers find each other", || {
        rpod!(t, "run", "--rm", "--network=n", image, "nslookup", "server").run().stdout.contains(&before)
    });
    rpod!(t, "rm", "-f", "-t", "0", "server").run().ok();
    Ok(())
}

/// Who asks for a directory gets it; a container of another one is seen, and not touched.
fn chosen_by_hand(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let by_hand = |words: &[&str]| t.rpod(words.iter().copied()).env("RPOD_RUNTIME", t.home().join("mine")).run();
    by_hand(&["run", "-d", "--name", "c", "--network=none", image, "sleep", "1000"]).ok();
    let before = started(t, "c");
    assert!(before.ends_with(" running"), "{before}");
    by_hand(&["ps", "--format", "{{.Names}} {{.State}}"]).lines_are(&["c running"]);
    assert_eq!(started(t, "c"), before);
    rpod!(t, "--runroot", t.home().join("another"), "rm", "-f", "-t", "0", "c").run().ok();
    rpod!(t, "ps", "-aq").run().lines_are(&[]);
    Ok(())
}
