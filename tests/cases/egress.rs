//! Egress policies: what leaves, what is refused, and what is said about it.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::bridges::{busybox, look_up, sleeper};
use crate::support::{
    ClientHost, DnsServer, Need, Outcome, Running, Sandbox, Trial, User, for_each_user, need, rpod, trial, wait_until,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("egress::policies", policies);
    trials.push(trial("egress::forgers", User::Sub, forgers));
    trials.push(trial("egress::refusals", User::Sub, refusals));
    trials
}

/// A host outside that says "hi" on ports 7001 and 7002.
struct Outside {
    host: ClientHost,
    _servers: Vec<Running>,
}

impl Outside {
    fn new() -> Result<Self, crate::support::Stop> {
        let host = ClientHost::new()?;
        let serve = |port: &str| {
            host.program("busybox", ["nc", "-ll", "-p", port, "-e", "echo", "hi"])
                .limit(Duration::from_secs(600))
                .spawn()
        };
        let servers = vec![serve("7001"), serve("7002")];
        Ok(Self { host, _servers: servers })
    }
}

fn reach(t: &Sandbox, from: &str, to: &str, port: u16) -> bool {
    rpod!(t, "exec", from, "sh", "-c", format!("nc -w 2 {to} {port} </dev/null")).run().stdout == "hi\n"
}

fn policies(t: &Sandbox) -> Outcome {
    busybox(t)?;
    let outside = Outside::new()?;
    let ip = outside.host.address();
    let octets = ip.parse::<Ipv4Addr>()?.octets();
    let resolver = format!("127.0.78.{}", octets[3]);
    let _resolver = DnsServer::at(&resolver, octets)?;
    let six = outside.host.address6();
    let policy = format!("allow=allowed.example:7001,*.wild.example,[{six}]:7001");
    rpod!(t, "network", "create", "--ipv6", "--dns", &resolver, "--egress", &policy, "n").run().ok();
    let shown = rpod!(t, "network", "inspect", "n").run().json();
    assert_eq!(shown[0]["egress"].as_array().map(Vec::len), Some(3), "{shown}");
    sleeper(t, "a", &["--network", "n"])?;
    sleeper(t, "b", &["--network", "n"])?;
    // Neighbours are not outside.
    rpod!(t, "exec", "-d", "b", "nc", "-ll", "-p", "700", "-e", "echo", "hi").run().ok();
    wait_until("b answers", || reach(t, "a", "b", 700));
    assert!(!reach(t, "a", &ip, 7001) && !reach(t, "a", &ip, 7002), "reached before its name was asked for");
    assert_eq!(look_up(t, "a", "forbidden.example"), "");
    assert_eq!(look_up(t, "a", "wild.example"), "");
    wait_until("the name opens the way", || reach(t, "a", "allowed.example", 7001));
    assert!(reach(t, "a", &ip, 7001) && !reach(t, "a", &ip, 7002), "the port does not count");
    wait_until("a wildcard opens it to every port", || reach(t, "a", "x.wild.example", 7002));
    if need([Need::Ipv6]).is_ok() {
        wait_until("IPv6", || reach(t, "a", &six, 7001));
        assert!(!reach(t, "a", &six, 7002));
    }
    let seen = rpod!(t, "network", "inspect", "n").run().json();
    let refused = seen[0]["refused"].as_array().unwrap();
    let has = |destination: &str, protocol: &str| {
        refused.iter().any(|r| r["destination"] == destination && r["protocol"] == protocol && r["container"] == "a")
    };
    assert!(has(&format!("{ip}:7002"), "tcp") && has("forbidden.example", "dns"), "{seen}");
    let noted =
        rpod!(t, "events", "--since", "10m", "--until", "0s", "--filter", "event=egress-refused", "--format", "json")
            .run();
    noted.prints(&format!("{ip}:7002")).prints("forbidden.example");
    // A container's own, on a network without one; then both.
    rpod!(t, "network", "create", "free").run().ok();
    sleeper(t, "c", &["--network", "free", "--egress", &format!("allow={ip}:7002")])?;
    wait_until("its destination", || reach(t, "c", &ip, 7002));
    assert!(!reach(t, "c", &ip, 7001));
    rpod!(t, "restart", "-t", "0", "c").run().ok();
    assert!(!reach(t, "c", &ip, 7001) && reach(t, "c", &ip, 7002));
    sleeper(t, "d", &["--network", "n", "--egress", &format!("allow={ip}:7001,allowed.example:7002")])?;
    assert!(reach(t, "d", &ip, 7001), "what both allow");
    assert!(reach(t, "a", &ip, 7002) && !reach(t, "d", &ip, 7002), "what its own does not allow");
    assert_eq!(look_up(t, "d", "x.wild.example"), "");
    rpod!(t, "network", "connect", "free", "d").run().ok();
    assert!(!reach(t, "d", &ip, 7002));
    // Nothing at all.
    sleeper(t, "e", &["--network", "free", "--egress", "allow="])?;
    assert!(!reach(t, "e", &ip, 7001));
    assert_eq!((look_up(t, "e", "c").is_empty(), look_up(t, "e", "allowed.example")), (false, String::new()));
    // What was refused is there to be asked for when nobody is left, and when somebody comes again.
    let seen = || {
        let seen = rpod!(t, "network", "inspect", "n").run().json();
        let refused = seen[0]["refused"].as_array().cloned().unwrap_or_default();
        refused.iter().any(|r| r["destination"] == "forbidden.example" && r["container"] == "a")
    };
    rpod!(t, "rm", "-af", "-t", "0").run().ok();
    wait_until("the netkeeper has ended", || t.processes_named("rpod-netkeeper").is_empty());
    assert!(seen(), "after the last container");
    sleeper(t, "a", &["--network", "n"])?;
    assert!(seen(), "with another netkeeper");
    rpod!(t, "rm", "-af", "-t", "0").run().ok();
    rpod!(t, "network", "rm", "n").run().ok();
    rpod!(t, "network", "create", "n").run().ok();
    assert!(!seen(), "of another network");
    Ok(())
}

/// Containers with every capability over their network that speak in a neighbour's name.
fn forgers(t: &Sandbox) -> Outcome {
    busybox(t)?;
    let outside = Outside::new()?;
    let ip = outside.host.address();
    rpod!(t, "network", "create", "--subnet", "10.77.0.0/24", "n").run().ok();
    sleeper(t, "free", &["--network", "n:ip=10.77.0.5"])?;
    sleeper(t, "bound", &["--network", "n:ip=10.77.0.6", "--egress", "allow=192.0.2.1", "--cap-add", "all"])?;
    wait_until("the outside answers", || reach(t, "free", &ip, 7001));
    rpod!(t, "stop", "-t", "0", "free").run().ok();
    let forge = "ip addr flush dev eth0; ip addr add 10.77.0.5/24 dev eth0; ip route add default via 10.77.0.1; \
                 ip link set eth0 address 02:42:0a:4d:00:05; arping -c 1 -U -I eth0 10.77.0.5; true";
    rpod!(t, "exec", "bound", "sh", "-c", forge).run().ok();
    assert!(!reach(t, "bound", &ip, 7001), "another address is a way out");
    rpod!(t, "start", "free").run().ok();
    wait_until("the neighbour notices nothing", || reach(t, "free", &ip, 7001));
    Ok(())
}

fn refusals(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "-d", "macvlan", "m").run().ok();
    for (words, says) in [
        ("network create --egress deny=x n", "allow="),
        ("network create --egress allow=a_b/c n", "invalid --egress"),
        ("network create --egress allow=x:0 n", "not a port"),
        ("network create -d macvlan -o parent=podman --egress allow=x n", "egress policy"),
        ("run --rm --egress allow=x localhost/busybox true", "needs a bridge network"),
        ("run --rm --network none --egress allow=x localhost/busybox true", "needs a bridge network"),
        ("run --rm --network m --egress allow=x localhost/busybox true", "cannot be told apart"),
    ] {
        t.rpod(words.split(' ')).run().fails(125, &[says]);
    }
    rpod!(
        t,
        "run",
        "-d",
        "--name",
        "a",
        "--network",
        "bridge",
        "--egress",
        "allow=x",
        "localhost/busybox",
        "sleep",
        "99"
    )
    .run()
    .ok();
    rpod!(t, "network", "connect", "m", "a").run().fails(125, &["cannot be told apart"]);
    Ok(())
}
