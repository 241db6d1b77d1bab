//! Containers with every capability on a network, and what they do to containers on another one: nothing.

use std::time::Duration;

use super::bridges::{busybox, look_up, sleeper};
use crate::support::{Outcome, Sandbox, Trial, User, rpod, trial, until, wait_until};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("hostile_networks::forged_neighbours", User::Sub, forged_neighbours),
        trial("hostile_networks::spoofed_sources", User::Sub, spoofed_sources),
        trial("hostile_networks::floods", User::Sub, floods),
        trial("hostile_networks::claims", User::Sub, claims),
        trial("hostile_networks::names", User::Sub, names),
    ]
}

/// a and b on one network, with evil on another.
fn world(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "--subnet", "10.77.1.0/24", "one").run().ok();
    rpod!(t, "network", "create", "--subnet", "10.77.2.0/24", "two").run().ok();
    sleeper(t, "a", &["--network", "one:ip=10.77.1.2"])?;
    sleeper(t, "b", &["--network", "one:ip=10.77.1.3", "--cap-add", "net_raw"])?;
    sleeper(t, "evil", &["--network", "two:ip=10.77.2.2", "--cap-add", "all"])
}

fn evil(t: &Sandbox, script: &str) {
    rpod!(t, "exec", "evil", "sh", "-c", format!("{script}\ntrue")).run().ok();
}

/// How many ICMP messages a has received (proc(5), /proc/net/snmp).
fn received(t: &Sandbox) -> u32 {
    let counters = rpod!(t, "exec", "a", "cat", "/proc/net/snmp").run();
    let counters = counters.ok().lines().filter_map(|line| line.strip_prefix("Icmp: "));
    counters.filter_map(|line| line.split(' ').next()?.parse().ok()).next().unwrap()
}

/// It takes the gateway's and a neighbour's addresses of another network; those there notice nothing.
fn forged_neighbours(t: &Sandbox) -> Outcome {
    world(t)?;
    let before = look_up(t, "a", "b");
    let script = "ip addr add 10.77.1.1/24 dev eth0; ip addr add 10.77.1.2/24 dev eth0; ip addr add 10.0.2.2/24 dev eth0; \
                  arping -c 2 -U -I eth0 10.77.1.1; arping -c 2 -U -I eth0 10.0.2.2; \
                  ip link set eth0 address 02:42:0a:4d:01:02; true";
    rpod!(t, "exec", "evil", "sh", "-c", script).run().ok();
    // Asked in a neighbour's name, name service answers nobody.
    let forged = "ip route add 10.77.1.1 dev eth0; nslookup b 10.77.1.1";
    let out = rpod!(t, "exec", "evil", "sh", "-c", forged).run();
    assert!(!out.stdout.contains("10.77.1.3"), "{out}");
    assert_eq!(look_up(t, "a", "b"), before);
    rpod!(t, "exec", "-d", "b", "nc", "-ll", "-p", "700", "-e", "echo", "hi").run().ok();
    wait_until("an answer", || rpod!(t, "exec", "a", "sh", "-c", "nc -w 3 b 700 </dev/null").run().stdout == "hi\n");
    Ok(())
}

/// Packets in the name of a neighbour, of the gateway, of the uplink and of nobody, by the gateway and by the wire.
fn spoofed_sources(t: &Sandbox) -> Outcome {
    world(t)?;
    for source in ["10.77.1.3", "10.77.1.1", "10.0.2.2", "192.0.2.7"] {
        let spoof =
            "ip route replace 10.77.1.0/24 WAY src SOURCE; ping -c 2 -W 1 10.77.1.2; ".replace("SOURCE", source);
        let ways = ["via 10.77.2.1", "dev eth0"].map(|way| spoof.replace("WAY", way)).concat();
        evil(t, &format!("ip addr add {source}/32 dev eth0; {ways}"));
    }
    assert_eq!(received(t), 0);
    rpod!(t, "exec", "b", "ping", "-c", "2", "-W", "5", "10.77.1.2").run().ok();
    assert_eq!(received(t), 2);
    Ok(())
}

/// Questions, connections and broadcasts without end; others are answered.
fn floods(t: &Sandbox) -> Outcome {
    world(t)?;
    rpod!(t, "exec", "-d", "b", "nc", "-ll", "-p", "700", "-e", "echo", "hi").run().ok();
    evil(
        t,
        "for n in $(seq 200); do sleep 1000 | nc 10.77.2.1 53 & done; \
         (while :; do arping -c 100 -w 1 -U -I eth0 10.77.1.1 >/dev/null; done) & \
         for n in 1 2 3; do (while :; do nslookup $RANDOM.nosuch.invalid 10.77.2.1 >/dev/null 2>&1; done) & done",
    );
    for _ in 0..20 {
        until("b is found", Duration::from_secs(20), || (look_up(t, "a", "b") == "10.77.1.3").then_some(()));
        let ask = || rpod!(t, "exec", "a", "sh", "-c", "nc -w 3 b 700 </dev/null").run().stdout == "hi\n";
        until("b answers", Duration::from_secs(20), || ask().then_some(()));
    }
    // A connection to name service of somebody else's is not one too many.
    let over_tcp = "printf '\\0\\35\\1\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\1b\\3dns\\6podman\\0\\0\\1\\0\\1' | nc -w 5 10.77.1.1 53 | wc -c";
    let answer = || rpod!(t, "exec", "a", "sh", "-c", over_tcp).run().stdout;
    until("name service answers over TCP", Duration::from_secs(20), || (answer().trim() != "0").then_some(()));
    Ok(())
}

/// An alias belongs to all who claim it; an address to the first, also while it rests on another host's word.
fn claims(t: &Sandbox) -> Outcome {
    world(t)?;
    sleeper(t, "c", &["--network", "one:ip=10.77.1.4,alias=b"])?;
    assert_eq!(look_up(t, "a", "b"), "10.77.1.3 10.77.1.4");
    let taken = rpod!(t, "run", "--rm", "--network", "one:ip=10.77.1.4", "localhost/busybox", "true").run();
    taken.fails(125, &["10.77.1.4", "already"]);
    rpod!(t, "rm", "-f", "-t", "0", "c").run().ok();
    wait_until("the alias is b's again", || look_up(t, "a", "b") == "10.77.1.3");
    rpod!(t, "run", "--rm", "--network", "one:ip=10.77.1.4", "localhost/busybox", "true").run().ok();
    Ok(())
}

/// What can be no name, no network and no address is refused before anything is made.
fn names(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "--subnet", "10.77.0.0/24", "n1").run().ok();
    let long = "a".repeat(64);
    for alias in ["a/b", "a b", "a..b", "ä", "-\n", "", long.as_str()] {
        let network = format!("n1:alias={alias}");
        rpod!(t, "run", "--rm", "--network", network, "localhost/busybox", "true").run().fails(125, &["alias"]);
        rpod!(t, "create", "--network", "n1", "--network-alias", alias, "localhost/busybox")
            .run()
            .fails(125, &["alias"]);
        rpod!(t, "network", "connect", "--alias", alias, "n1", "nosuch").run().code(125);
    }
    for name in ["../n", "a/b", ".", "-n", "a\nb", "host", "none", "container"] {
        rpod!(t, "network", "create", "--", name).run().code(125);
    }
    for subnet in [
        "10.77.0.128/25",
        "0.0.0.0/0",
        "127.0.0.0/8",
        "224.0.0.0/8",
        "10.1.0.0/31",
        "fe80::/64",
        "1.2.3.4",
        "::/0",
        "x/y",
    ] {
        rpod!(t, "network", "create", "--subnet", subnet, "n2").run().code(125);
    }
    rpod!(t, "network", "ls", "-q").run().lines_are(&["n1", "podman"]);
    rpod!(t, "ps", "-aq").run().lines_are(&[]);
    Ok(())
}
