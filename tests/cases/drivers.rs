//! macvlan and ipvlan networks.

use super::bridges::{KEEPER, busybox, keeper, kill, look_up, sleeper};
use super::ports;
use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, skip, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("drivers::macvlan", macvlan);
    trials.push(trial("drivers::shared_segment", User::Sub, shared_segment));
    trials.push(trial("drivers::ipvlan", User::Sub, ipvlan));
    trials
}

/// Whether a container answers on port 700 to another one.
fn reach(t: &Sandbox, from: &str, to: &str) -> bool {
    let script = format!("nc -w 1 {to} 700 </dev/null");
    rpod!(t, "exec", from, "sh", "-c", script).run().stdout == "hi\n"
}

fn listen(t: &Sandbox, container: &str) {
    rpod!(t, "exec", "-d", container, "nc", "-ll", "-p", "700", "-e", "echo", "hi").run().ok();
}

fn macvlan(t: &Sandbox) -> Outcome {
    busybox(t)?;
    for mode in ["bridge", "private", "vepa", "passthru"] {
        let opt = format!("mode={mode}");
        let six = ["--ipv6", "--subnet", "10.77.0.0/24", "--subnet", "fd77::/64"];
        t.rpod([&["network", "create", "-d", "macvlan", "-o", &opt], &six[..], &["m"]].concat()).run().ok();
        sleeper(t, "a", &["--network", "m:ip=10.77.0.5,mac=02:00:00:00:00:0a"])?;
        sleeper(t, "b", &["--network", "m:ip=10.77.0.6"])?;
        assert_eq!(look_up(t, "a", "b"), "10.77.0.6 fd77::3");
        rpod!(t, "exec", "a", "ip", "addr", "show", "eth0").run().prints("02:00:00:00:00:0a").prints("10.77.0.5/24");
        listen(t, "b");
        let separate = mode == "private";
        if separate {
            wait_until("b listens", || reach(t, "b", "10.77.0.6"));
            assert!(!reach(t, "a", "10.77.0.6") && !reach(t, "a", "fd77::3"), "private neighbours reach each other");
        } else {
            wait_until("b answers", || reach(t, "a", "b") && reach(t, "a", "fd77::3"));
        }
        if mode == "bridge" {
            let old = keeper(t);
            kill(old);
            wait_until("another netkeeper", || t.processes_named(KEEPER).iter().any(|process| process.pid != old));
            wait_until("b answers again", || reach(t, "a", "b"));
            rpod!(t, "network", "create", "--subnet", "10.78.0.0/24", "n").run().ok();
            rpod!(t, "network", "connect", "n", "a").run().ok();
            rpod!(t, "network", "disconnect", "m", "a").run().ok();
            rpod!(t, "exec", "a", "ip", "addr", "show", "eth0").run().code(1);
            assert!(!reach(t, "a", "10.77.0.6"), "networks are not apart");
            rpod!(t, "network", "connect", "--ip", "10.77.0.9", "m", "a").run().ok();
            wait_until("b answers again", || reach(t, "a", "10.77.0.6"));
            ports::on(t, "m")?;
        }
        rpod!(t, "rm", "-af", "-t", "0").run().ok();
        rpod!(t, "network", "rm", "m").run().ok();
    }
    wait_until("the netkeeper ends", || t.processes().is_empty());
    Ok(())
}

/// macvlan beside a bridge: one segment, one set of addresses.
fn shared_segment(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "--subnet", "10.77.0.0/29", "n").run().ok();
    rpod!(t, "network", "create", "-d", "macvlan", "-o", "parent=n", "m").run().ok();
    let shown = rpod!(t, "network", "inspect", "n", "m").run().json();
    assert_eq!(shown[0]["subnets"], shown[1]["subnets"]);
    assert_eq!((&shown[1]["driver"], &shown[1]["options"]["parent"]), (&"macvlan".into(), &"n".into()));
    sleeper(t, "a", &["--network", "n"])?;
    sleeper(t, "b", &["--network", "m"])?;
    sleeper(t, "c", &["--network", "m"])?;
    rpod!(t, "exec", "b", "ip", "-4", "addr").run().prints("10.77.0.3/29");
    listen(t, "b");
    wait_until("b answers", || reach(t, "a", "10.77.0.3") && reach(t, "c", "10.77.0.3"));
    // Names are of a network, not of a segment.
    assert_eq!((look_up(t, "c", "b"), look_up(t, "a", "b")), ("10.77.0.3".into(), String::new()));
    let taken = rpod!(t, "run", "--rm", "--network", "n:ip=10.77.0.3", "localhost/busybox", "true").run();
    taken.fails(125, &["10.77.0.3", "already"]);
    Ok(())
}

fn ipvlan(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "-d", "ipvlan", "--ipv6", "i").run().ok();
    let first = rpod!(t, "run", "-d", "--name", "a", "--network", "i", "localhost/busybox", "sleep", "1000").run();
    if first.stderr.contains("CONFIG_IPVLAN") {
        return skip("the kernel has no ipvlan");
    }
    first.ok();
    sleeper(t, "b", &["--network", "i"])?;
    listen(t, "b");
    wait_until("b answers", || reach(t, "a", "b"));
    let mac = |container: &str| rpod!(t, "exec", container, "cat", "/sys/class/net/eth0/address").run().stdout;
    assert_eq!(mac("a"), mac("b"));
    let with_mac = rpod!(t, "run", "--rm", "--network", "i:mac=02:00:00:00:00:0a", "localhost/busybox", "true").run();
    with_mac.fails(125, &["one MAC address"]);
    Ok(())
}
