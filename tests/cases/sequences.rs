//! Random verbs by several processes on few names: nothing hangs, nothing is lost, nothing is left behind. The numbers are
//! the same in every run; `RPOD_TEST_STEPS` makes them thousands.

use std::time::Duration;

use crate::support::{Outcome, Sandbox, Trial, User, rpod, trial};

const NAMES: [&str; 3] = ["a", "b", "c"];
const PROCESSES: usize = 4;

pub fn trials() -> Vec<Trial> {
    vec![trial("sequences::verbs_on_few_names", User::Sub, verbs_on_few_names)]
}

fn steps() -> usize {
    std::env::var("RPOD_TEST_STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(160)
}

/// A verb on a name, chosen by a number.
fn words(number: u64, image: &str) -> Vec<String> {
    let name = NAMES[(number >> 8) as usize % NAMES.len()];
    let other = NAMES[(number >> 16) as usize % NAMES.len()];
    let line = match number % 30 {
        0 | 1 => format!("create --name {name} {image} sleep 50"),
        2 => format!("run -d --rm --network none --name {name} {image} sleep 50"),
        3 => format!("run -d --network none --name {name} --replace --stop-timeout 0 {image} sleep 50"),
        4 | 5 => format!("start {name}"),
        6 => format!("stop -t 0 {name}"),
        7 => format!("rm -f -t 0 {name}"),
        8 => format!("rm {name}"),
        9 => format!("rename {name} {other}"),
        10 => format!("exec {name} true"),
        11 => format!("restart -t 0 {name}"),
        12 => "ps -a --format {{.Names}}".to_owned(),
        13 => format!("init {name}"),
        14 => format!("update --memory 100m --restart on-failure:1 {name}"),
        15 => format!("container clone {name} {other}"),
        16 => format!("container cleanup {name}"),
        17 => format!("pause {name}"),
        18 | 19 => format!("unpause {name}"),
        20 => format!("cp {name}:/etc/passwd {other}:/tmp/copied"),
        21 => format!("commit -q {name} made:{other}"),
        22 => format!("run -d --network one --name {name} --replace --stop-timeout 0 {image} sleep 50"),
        23 => format!("network connect two {name}"),
        24 => format!("network disconnect two {name}"),
        25 => format!("exec -d {name} sleep 1"),
        26 => format!("diff {name}"),
        27 => format!("run --rm --network none --name {name} {image} true"),
        28 => "container prune -f".to_owned(),
        _ => format!("kill {name}"),
    };
    line.split(' ').map(str::to_owned).collect()
}

/// xorshift64: a sequence per process, without a dependency.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state)
    })
}

fn verbs_on_few_names(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    for network in ["one", "two"] {
        rpod!(t, "network", "create", network).run().ok();
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PROCESSES)
            .map(|worker| {
                scope.spawn(move || {
                    for number in numbers(worker as u64 + 1).take(steps() / PROCESSES) {
                        let words = words(number, image);
                        // A verb may refuse (names are taken, containers gone); it may not hang, crash or say nonsense.
                        let out = t.rpod(words).limit(Duration::from_secs(60)).run();
                        assert!(out.signal.is_none() && out.code != Some(101), "{out}");
                        // What exec runs dies with its container.
                        assert!(matches!(out.code, Some(0 | 137)) || out.stderr.contains("Error: "), "{out}");
                        for bad in ["not what rpod wrote", "is missing: the container cannot be started", "panicked"] {
                            assert!(!out.stderr.contains(bad), "{out}");
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                panic!("{text}");
            }
        }
    });
    // Every container has one name, and is what it says: it can be inspected, started or is running, and removed.
    let list = rpod!(t, "ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}").run();
    let rows: Vec<Vec<&str>> = list.ok().lines().map(|line| line.split(' ').collect()).collect();
    let mut names: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows.len(), "a name stands for two containers: {list}");
    for row in &rows {
        rpod!(t, "inspect", "--type", "container", "--format", "{{.Id}}", row[1]).run().lines_are(&[row[0]]);
        if row[2] == "running" {
            rpod!(t, "exec", row[1], "true").run().ok();
        } else if row[2] == "paused" {
            rpod!(t, "unpause", row[1]).run().ok();
        } else {
            rpod!(t, "start", row[1]).run().ok();
        }
        rpod!(t, "rm", "-f", "-t", "0", row[1]).run().ok();
    }
    assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
    // The names are free again, also those that a rename gave up.
    for name in NAMES {
        rpod!(t, "create", "--name", name, image, "true").run().ok();
    }
    Ok(())
}
