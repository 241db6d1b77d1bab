//! `contrib/systemd/rpod-restart.service`: a unit that systemd takes, and the life of containers between two boots.

use crate::support::{Need, Outcome, Sandbox, Trial, User, need, rpod, trial, wait_until};

const UNIT: &str = include_str!("../../contrib/systemd/rpod-restart.service");

pub fn trials() -> Vec<Trial> {
    vec![
        trial("restart_unit::starts_what_was_not_stopped", User::Sub, starts_what_was_not_stopped),
        trial("restart_unit::is_sound", User::Sub, |t| {
            need([Need::SystemdAnalyze])?;
            let unit = t.write("home/rpod-restart.service", UNIT)?;
            let out = t.script(&format!("systemd-analyze --user verify {} 2>&1 || true", unit.display())).run();
            let about: Vec<&str> = out.stdout.lines().filter(|line| line.contains("rpod-restart")).collect();
            // There are no man pages of an rpod that is not installed.
            let wrong: Vec<&&str> = about.iter().filter(|line| !line.contains("man rpod-start")).collect();
            assert!(wrong.is_empty(), "{out}");
            Ok(())
        }),
    ]
}

fn starts_what_was_not_stopped(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let commands: Vec<&str> = UNIT.lines().filter_map(|line| line.strip_prefix("ExecStart=")).collect();
    assert!(!commands.is_empty());
    for (name, policy) in [("a", "always"), ("u", "unless-stopped"), ("s", "unless-stopped"), ("n", "no")] {
        let sleep = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
        rpod!(t, "run", "-d", "--name", name, "--network=none", "--restart", policy, image, "sh", "-c", sleep)
            .run()
            .ok();
    }
    rpod!(t, "stop", "-t", "5", "s").run().ok();
    // The end of the session, as systemd brings it about.
    for name in ["a", "u", "n"] {
        let monitor = rpod!(t, "inspect", "-f", "{{.State.ConmonPid}}", name).run().ok().to_owned();
        t.script(&format!("kill -TERM {monitor}")).run().ok();
    }
    let running = || rpod!(t, "ps", "--sort", "names", "--format", "{{.Names}}").run().ok().to_owned();
    wait_until("the end of all", || running().is_empty());
    commands.iter().for_each(|command| {
        t.script(command).run().ok();
    });
    assert_eq!(running(), "a\nu");
    rpod!(t, "rm", "-fa", "-t", "0").run().ok();
    Ok(())
}
