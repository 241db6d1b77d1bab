//! `rpod rename` and `container prune`.

use crate::support::{Outcome, Sandbox, Trial, User, rpod, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("change::rename", User::Sub, rename),
        trial("change::rename_by_many", User::Sub, |t| {
            let image = t.busybox()?;
            for name in ["a", "b", "c", "d"] {
                rpod!(t, "create", "--name", name, image, "true").run().ok();
            }
            let all: Vec<_> = ["a", "b", "c", "d"].map(|name| rpod!(t, "rename", name, "one").spawn()).into();
            let codes: Vec<_> = all.into_iter().map(|running| running.finish().code).collect();
            assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
            let names = rpod!(t, "ps", "-a", "--format", "{{.Names}}", "--sort", "names").run();
            assert_eq!(names.ok().lines().count(), 4, "{names}");
            assert_eq!(names.ok().lines().filter(|name| *name == "one").count(), 1, "{names}");
            // The name that was given up can be taken.
            let free = ["a", "b", "c", "d"].into_iter().find(|n| !names.ok().lines().any(|l| l == *n)).unwrap();
            rpod!(t, "create", "--name", free, image, "true").run().ok();
            Ok(())
        }),
        trial("change::prune", User::Sub, prune),
    ]
}

fn rename(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--rm", "--name", "web", image, "sleep", "1000").run().ok();
    rpod!(t, "create", "--name", "other", image, "true").run().ok();
    // Also while it runs; with --rm its record is elsewhere.
    assert_eq!(rpod!(t, "rename", "web", "web2").run().ok(), "");
    rpod!(t, "inspect", "--format", "{{.Name}}", "web2").run().lines_are(&["web2"]);
    rpod!(t, "inspect", "--type", "container", "web").run().code(125);
    rpod!(t, "container", "rename", "web2", "web2").run().ok();
    rpod!(t, "rename", "web2", "other").run().fails(125, &["already in use"]);
    rpod!(t, "rename", "nosuch", "x").run().fails(125, &["no container with name or ID \"nosuch\" found"]);
    rpod!(t, "rename", "web2", "a/b").run().fails(125, &["names must match"]);
    rpod!(t, "rename", "web2").run().fails(125, &["accepts 2 arg(s), received 1"]);
    rpod!(t, "exec", "web2", "true").run().ok();
    rpod!(t, "events", "--stream=false", "--filter", "event=rename", "--format", "{{.Name}}").run().prints("web2");
    // Both the old name and, when it has ended and is gone, the new one are free.
    rpod!(t, "create", "--name", "web", image, "true").run().ok();
    rpod!(t, "kill", "web2").run().ok();
    rpod!(t, "create", "--name", "web2", image, "true").run().ok();
    let hosts = std::fs::read_dir(t.home().join(".local/state/rpod/hosts"))?.flatten();
    let names: usize = hosts.map(|host| std::fs::read_dir(host.path().join("names")).map_or(0, Iterator::count)).sum();
    assert_eq!(names, 3);
    Ok(())
}

fn prune(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "up", image, "sleep", "1000").run().ok();
    let old = rpod!(t, "create", "--name", "old", "--label", "k=v", image, "true").run().ok().to_owned();
    rpod!(t, "run", "--name", "done", image, "true").run().ok();
    // Without a yes nothing goes.
    let asked = rpod!(t, "container", "prune").stdin("n\n").run();
    asked.prints("WARNING! This will remove all non running containers.").prints("[y/N]");
    assert_eq!(rpod!(t, "ps", "-aq").run().ok().lines().count(), 3);
    rpod!(t, "container", "prune", "-f", "--filter", "until=1h").run().lines_are(&[]);
    rpod!(t, "container", "prune", "-f", "--filter", "label=k=v").run().lines_are(&[&old]);
    rpod!(t, "container", "prune", "-f", "--filter", "name=done").run().fails(125, &["name is an invalid filter"]);
    rpod!(t, "container", "prune").stdin("y\n").run().ok();
    rpod!(t, "ps", "-a", "--format", "{{.Names}}").run().lines_are(&["up"]);
    Ok(())
}
