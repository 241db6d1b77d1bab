//! Namespaces of the host and of other containers.

use crate::support::{Need, Sandbox, Trial, User, for_each_user, need, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("namespaces::of_a_container", |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "-d", "--name=one", "--network=none", "--hostname=first", image, "sleep", "1000").run().ok();
        let of = |kind: &str| {
            rpod!(t, "exec", "one", "readlink", format!("/proc/self/ns/{kind}")).run().ok().trim().to_owned()
        };
        for kind in ["pid", "ipc", "uts", "net", "user", "cgroup"] {
            let option = match kind {
                "net" => "--network=container:one".to_owned(),
                "user" => "--userns=container:one".to_owned(),
                "cgroup" => "--cgroupns=container:one".to_owned(),
                kind => format!("--{kind}=container:one"),
            };
            let network = if kind == "net" { "--rm" } else { "--network=none" };
            let link = format!("/proc/self/ns/{kind}");
            let script = format!("readlink {link}; readlink /proc/self/ns/user");
            let out = rpod!(t, "run", "--rm", network, option, image, "sh", "-c", script).run();
            out.lines_are(&[&of(kind), &of("user")]);
        }
        let all = ["--pid=container:one", "--ipc=container:one", "--uts=container:one", "--network=container:one"];
        let args: Vec<&str> =
            ["run", "-d", "--name=two"].into_iter().chain(all).chain([image, "sleep", "900"]).collect();
        t.rpod(args).run().ok();
        let seen = rpod!(t, "exec", "two", "sh", "-c", "hostname; ps -o args | grep '^sleep'").run();
        seen.lines_are(&["first", "sleep 1000", "sleep 900"]);
        rpod!(t, "rm", "-f", "-t", "0", "one").run().fails(125, &["has dependent containers", "--depend"]);
        rpod!(t, "exec", "one", "true").run().ok();
        // What it joined ends, and it with that.
        rpod!(t, "stop", "-t", "0", "one").run().ok();
        rpod!(t, "wait", "two").run().lines_are(&["137"]);
        rpod!(t, "start", "two").run().code(125);
        rpod!(t, "rm", "--depend", "one").run().ok();
        rpod!(t, "ps", "-aq").run().lines_are(&[]);
        Ok(())
    });
    trials.push(trial("namespaces::at_a_path", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "-d", "--name=one", "--network=none", "--hostname=first", image, "sleep", "1000").run().ok();
        let pid = rpod!(t, "inspect", "--format", "{{.State.Pid}}", "one").run().ok().trim().to_owned();
        for option in ["--uts", "--network", "--pid", "--ipc"] {
            let kind = if option == "--network" { "net" } else { option.trim_start_matches('-') };
            let network = if kind == "net" { "--rm" } else { "--network=none" };
            let path = format!("{option}=ns:/proc/{pid}/ns/{kind}");
            let link = format!("/proc/self/ns/{kind}");
            let there = rpod!(t, "exec", "one", "readlink", &link).run().ok().trim().to_owned();
            rpod!(t, "run", "--rm", network, path, image, "readlink", &link).run().lines_are(&[&there]);
        }
        let path = format!("--userns=ns:/proc/{pid}/ns/user");
        let there = rpod!(t, "exec", "one", "readlink", "/proc/self/ns/user").run().ok().trim().to_owned();
        rpod!(t, "run", "--rm", "--network=none", path, image, "readlink", "/proc/self/ns/user")
            .run()
            .lines_are(&[&there]);
        // The host's own belong to nobody who runs rpod without root.
        rpod!(t, "run", "--rm", "--network=none", "--uts=ns:/proc/self/ns/uts", image, "true")
            .run()
            .fails(125, &["may not enter"]);
        Ok(())
    }));
    trials.push(trial("namespaces::of_the_host", User::Sub, |t| {
        let image = t.busybox()?;
        for kind in ["pid", "ipc", "uts", "cgroup"] {
            let option = if kind == "cgroup" { "--cgroupns=host".to_owned() } else { format!("--{kind}=host") };
            let here = std::fs::read_link(format!("/proc/self/ns/{kind}"))?.display().to_string();
            let link = format!("/proc/self/ns/{kind}");
            rpod!(t, "run", "--rm", "--network=none", option, image, "readlink", link).run().lines_are(&[&here]);
        }
        Ok(())
    }));
    trials.extend(for_each_user("namespaces::network_of_its_own", network_of_its_own));
    trials.push(trial("namespaces::refused", User::Sub, refused));
    trials
}

/// A helper reaches the new network namespace of a process that entered another container's user namespace, and one whose
/// user namespace has no root.
fn network_of_its_own(t: &Sandbox) -> crate::support::Outcome {
    need([Need::Slirp4netns, Need::Pasta])?;
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name=one", "--network=none", image, "sleep", "1000").run().ok();
    let script = "ls /sys/class/net | grep -v lo";
    for network in ["slirp4netns", "pasta"] {
        for namespace in ["--pid=container:one", "--userns=keep-id"] {
            let network = format!("--network={network}");
            let out = rpod!(t, "run", "--rm", &network, namespace, image, "sh", "-c", script).run();
            assert_eq!(out.ok().lines().count(), 1, "{network} {namespace}");
        }
    }
    Ok(())
}

fn refused(t: &Sandbox) -> crate::support::Outcome {
    let image = t.busybox()?;
    rpod!(t, "create", "--name=still", "--network=none", image, "true").run().ok();
    rpod!(t, "run", "-d", "--name=a", "--network=none", image, "sleep", "1000").run().ok();
    rpod!(t, "run", "-d", "--name=b", "--network=none", image, "sleep", "1000").run().ok();
    for (options, code, words) in [
        (&["--pid=container:nosuch"][..], 125, "no container with name or ID \"nosuch\" found"),
        (&["--pid=container:"], 125, "unrecognized namespace mode"),
        (&["--ipc=bogus"], 125, "unrecognized namespace mode bogus passed"),
        (&["--uts=ns:/nosuch"], 125, "/nosuch"),
        (&["--pid=container:still"], 125, "does not run"),
        (&["--pid=container:a", "--ipc=container:b"], 125, "different user namespaces"),
        (&["--pid=container:a", "--userns=keep-id"], 125, "shares a namespace"),
        (&["--pid=container:a", "--init"], 125, "PID namespace isn't private"),
        (&["--uts=host", "--hostname=x"], 125, "cannot set hostname"),
        (&["--uts=host", "--domainname=x"], 125, "cannot set a domain name"),
    ] {
        let args = ["run", "--rm", "--network=none"].into_iter().chain(options.iter().copied()).chain([image, "true"]);
        t.rpod(args).run().fails(code, &[words]);
    }
    Ok(())
}
