//! Bridge networks: objects and their verbs, containers that find each other, the netkeeper's life and deaths.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::ports;
use crate::support::{
    ClientHost, Need, Outcome, Sandbox, Trial, User, for_each_user, is_root, need, rpod, skip, trial, until, wait_until,
};

pub const KEEPER: &str = "rpod-netkeeper";

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.push(trial("bridges::objects", User::Sub, objects));
    trials.push(trial("bridges::refusals", User::Sub, refusals));
    trials.extend(for_each_user("bridges::names", names));
    trials.extend(for_each_user("bridges::separation", separation));
    trials.extend(for_each_user("bridges::connect", connect));
    trials.push(trial("bridges::addresses", User::Sub, addresses));
    trials.extend(for_each_user("bridges::ports", published));
    trials.extend(for_each_user("bridges::keeper_killed", keeper_killed));
    trials.push(trial("bridges::keeper_unfindable", User::Sub, keeper_unfindable));
    trials.push(trial("bridges::uplink_killed", User::Sub, uplink_killed));
    trials.push(trial("bridges::monitors_killed", User::Sub, monitors_killed));
    trials.push(trial("bridges::many_at_once", User::Sub, many_at_once));
    trials.extend(for_each_user("bridges::joining", joining));
    for user in [User::Sub, User::NoSub] {
        trials.push(trial(format!("bridges::pasta_uplink::{user}"), user, pasta_uplink));
    }
    trials
}

/// A container that sleeps, with these options.
pub fn sleeper(t: &Sandbox, name: &str, options: &[&str]) -> Outcome {
    let all = [&["run", "-d", "--name", name], options, &["localhost/busybox", "sleep", "1000"]].concat();
    t.rpod(all).run().ok();
    Ok(())
}

pub fn busybox(t: &Sandbox) -> Outcome {
    need([Need::Slirp4netns])?;
    let image = t.busybox()?;
    rpod!(t, "tag", image, "localhost/busybox").run().ok();
    Ok(())
}

/// What `nslookup` finds, addresses only, sorted.
pub fn look_up(t: &Sandbox, container: &str, name: &str) -> String {
    let out = rpod!(t, "exec", container, "nslookup", name).run();
    // The first address is the server's.
    let mut found: Vec<&str> = out.stdout.lines().skip(2).filter_map(|line| line.strip_prefix("Address: ")).collect();
    found.sort_unstable();
    found.join(" ")
}

fn objects(t: &Sandbox) -> Outcome {
    rpod!(t, "network", "exists", "n1").run().code(1);
    rpod!(t, "network", "create", "--label", "a=b", "n1").run().lines_are(&["n1"]);
    rpod!(t, "network", "exists", "n1").run().code(0);
    rpod!(t, "network", "create", "--ignore", "n1").run().lines_are(&["n1"]);
    rpod!(
        t,
        "network",
        "create",
        "--subnet",
        "10.77.0.0/24",
        "--gateway",
        "10.77.0.254",
        "--ip-range",
        "10.77.0.128/25",
        "--internal",
        "--opt",
        "mtu=1400",
        "--route",
        "10.9.0.0/16,10.77.0.2,100",
        "--disable-dns",
        "n2"
    )
    .run()
    .ok();
    rpod!(t, "network", "create", "--ipv6", "n3").run().ok();
    let all = rpod!(t, "network", "inspect", "n1", "n2", "n3", "podman").run().json();
    assert_eq!(all[0]["labels"]["a"], "b");
    assert_eq!(all[0]["dns_enabled"], true);
    assert_eq!(all[1]["subnets"][0]["lease_range"]["start_ip"], "10.77.0.129");
    assert_eq!(all[1]["routes"][0]["metric"], 100);
    assert_eq!((&all[1]["internal"], &all[1]["dns_enabled"]), (&true.into(), &false.into()));
    assert_eq!(all[2]["subnets"].as_array().map(Vec::len), Some(2));
    assert_eq!(all[3]["id"], "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9");
    assert_ne!(all[0]["subnets"], all[2]["subnets"]);
    rpod!(t, "network", "inspect", "--format", "{{.Name}} {{.Driver}} {{.Internal}}", "n2")
        .run()
        .lines_are(&["n2 bridge true"]);
    rpod!(t, "network", "ls", "--format", "{{.Name}}").run().lines_are(&["n1", "n2", "n3", "podman"]);
    rpod!(t, "network", "ls", "-q", "-f", "label=a=b").run().lines_are(&["n1"]);
    rpod!(t, "network", "ls", "-q", "-f", "dangling=false").run().lines_are(&["podman"]);
    assert_eq!(rpod!(t, "network", "ls", "--format", "json").run().json().as_array().map(Vec::len), Some(4));
    let id = all[0]["id"].as_str().unwrap();
    rpod!(t, "network", "update", "n1").run().lines_are(&["n1"]);
    rpod!(t, "network", "inspect", "--format", "{{.Name}}", &id[..12]).run().lines_are(&["n1"]);
    rpod!(t, "network", "update", "--dns-add", "9.9.9.9,1.1.1.1", "n1").run().lines_are(&["n1"]);
    rpod!(t, "network", "update", "--dns-drop", "9.9.9.9", "n1").run().ok();
    assert_eq!(rpod!(t, "network", "inspect", "n1").run().json()[0]["network_dns_servers"][0], "1.1.1.1");
    rpod!(t, "network", "rm", "n2").run().lines_are(&["n2"]);
    // A damaged one is in nobody's way, and can be removed.
    rpod!(t, "network", "create", "bad").run().ok();
    std::fs::write(t.data().join("networks/bad.json"), "{")?;
    rpod!(t, "network", "ls", "-q").run().says("network rm bad").lines_are(&["n1", "n3", "podman"]);
    rpod!(t, "network", "inspect", "n1").run().ok();
    rpod!(t, "network", "rm", "bad").run().lines_are(&["bad"]);
    rpod!(t, "network", "rm", "bad").run().code(1);
    std::fs::write(t.data().join("networks/bad.json"), "{")?;
    rpod!(t, "system", "check").run().fails(125, &["damage detected"]).prints("Damaged network bad:\n");
    rpod!(t, "system", "check", "--repair").run().prints("Repaired");
    rpod!(t, "system", "check").run().ok();
    rpod!(t, "network", "ls", "-q").run().lines_are(&["n1", "n3", "podman"]);
    busybox(t)?;
    let ports = ["127.0.0.1:9100:80/udp", "9003:79/udp", "127.0.0.1:9001:80", "9000:81"].map(|port| ["-p", port]);
    t.rpod([&["create", "--name", "ports"], &ports.concat()[..], &["localhost/busybox", "true"]].concat()).run().ok();
    rpod!(t, "ps", "-a", "--format", "{{.Ports}}")
        .run()
        .lines_are(&["127.0.0.1:9001->80/tcp, 127.0.0.1:9100->80/udp, 0.0.0.0:9000->81/tcp, 0.0.0.0:9003->79/udp"]);
    rpod!(t, "rm", "ports").run().ok();
    rpod!(t, "network", "prune", "-f").run().lines_are(&["n1", "n3"]);
    rpod!(t, "network", "prune").stdin("n\n").run().code(0);
    Ok(())
}

fn refusals(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "--subnet", "10.77.0.0/24", "n1").run().ok();
    for (words, says) in [
        ("network create n1", "already"),
        ("network create --subnet 10.77.0.128/25 n2", "already used"),
        ("network create --subnet 1.2.3.4 n2", "invalid CIDR"),
        ("network create --driver macvlan --opt parent=lo n2", "root"),
        ("network create --driver macvlan --opt parent=nosuch n2", "does not exist"),
        ("network create --driver macvlan --opt mode=l2 n2", "unknown macvlan mode"),
        ("network create --driver ipvlan --opt mode=l3 n2", "use mode=l2"),
        ("network create --driver macvlan --opt parent=n1 --internal n2", "has a way out"),
        ("network create --driver overlay n2", "the other hosts"),
        ("network create a/b", "names must match"),
        ("network create host", "conflicts with a valid network mode"),
        ("network rm podman", "cannot be removed"),
        ("network ls -f foo=bar", "foo"),
        ("network disconnect -f n1 nosuch", "no such container"),
        ("network create --opt metric=x n2", "not a number"),
        ("run --rm --network nosuch localhost/busybox true", "network not found"),
        ("network rm", "at least 1"),
        ("run --rm --network n1:ip=10.78.0.5 localhost/busybox true", "not in any subnet"),
        ("run --rm --network n1:ip=10.77.0.1 localhost/busybox true", "gateway"),
        ("run --rm --network n1 --network none localhost/busybox true", "multiple networks"),
        ("run --rm --ip 10.77.0.9 localhost/busybox true", "bridge network"),
        ("run --rm --network n1 --link nosuch localhost/busybox true", "no such container"),
    ] {
        t.rpod(words.split(' ')).run().fails(125, &[says]);
    }
    rpod!(t, "network", "rm", "nosuch").run().code(1);
    rpod!(t, "network", "rm", "-f", "nosuch").run().code(0);
    assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
    sleeper(t, "a", &["--network", "n1"])?;
    rpod!(t, "network", "rm", "n1").run().fails(2, &["being used"]);
    rpod!(t, "network", "rm", "-f", "-t", "0", "n1").run().lines_are(&["n1"]);
    rpod!(t, "ps", "-aq").run().lines_are(&[]);
    wait_until("the netkeeper ends", || t.processes_named(KEEPER).is_empty());
    Ok(())
}

fn names(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "--ipv6", "--subnet", "10.77.0.0/24", "--subnet", "fd77::/64", "n1").run().ok();
    sleeper(t, "a", &["--network", "n1:ip=10.77.0.10,ip6=fd77::10"])?;
    sleeper(
        t,
        "b",
        &["--network", "n1:ip=10.77.0.11,ip6=fd77::11,alias=both,interface_name=web0,mac=02:00:00:00:00:0b"],
    )?;
    sleeper(t, "c", &["--network", "n1", "--ip", "10.77.0.12", "--ip6", "fd77::12", "--network-alias", "both"])?;
    assert_eq!(look_up(t, "a", "b"), "10.77.0.11 fd77::11");
    assert_eq!(look_up(t, "a", "B.dns.podman"), "10.77.0.11 fd77::11");
    assert_eq!(look_up(t, "b", "both"), "10.77.0.11 10.77.0.12 fd77::11 fd77::12");
    let id = rpod!(t, "inspect", "-f", "{{.Id}}", "a").run().stdout;
    assert_eq!(look_up(t, "c", &id[..12]), "10.77.0.10 fd77::10");
    rpod!(t, "exec", "a", "nslookup", "10.77.0.12").run().prints("c.dns.podman");
    rpod!(t, "exec", "a", "nslookup", "fd77::11").run().prints("b.dns.podman");
    assert_ne!(look_up(t, "a", "host.containers.internal"), "");
    rpod!(t, "exec", "a", "nslookup", "nobody.dns.podman").run().prints("NXDOMAIN");
    rpod!(t, "exec", "b", "ip", "addr", "show", "web0").run().prints("02:00:00:00:00:0b").prints("10.77.0.11/24");
    rpod!(t, "exec", "a", "cat", "/etc/hosts").run().prints("10.77.0.10\t");
    rpod!(t, "exec", "a", "cat", "/etc/resolv.conf").run().prints("search dns.podman").prints("nameserver 10.77.0.1\n");
    // What is said to one is heard by it, over both versions.
    let answer = |container: &str, address: &str| {
        let script =
            format!("for n in 1 2 3 4 5 6 7 8 9; do nc -w 5 {address} 700 </dev/null && break; sleep 0.1; done");
        rpod!(t, "exec", container, "sh", "-c", script).run().stdout
    };
    rpod!(t, "exec", "-d", "b", "nc", "-ll", "-p", "700", "-e", "echo", "hi").run().ok();
    assert_eq!(answer("a", "b"), "hi\n");
    assert_eq!(answer("c", "fd77::11"), "hi\n");
    // ps and inspect.
    rpod!(t, "ps", "--filter", "network=n1", "--format", "{{.Names}} {{.Networks}}")
        .run()
        .lines_are(&["a n1", "b n1", "c n1"]);
    let shown = rpod!(t, "inspect", "a").run().json();
    let network = &shown[0]["NetworkSettings"]["Networks"]["n1"];
    assert_eq!((&network["IPAddress"], &network["IPPrefixLen"]), (&"10.77.0.10".into(), &24.into()), "{network}");
    assert_eq!(
        (&network["GlobalIPv6Address"], &network["Gateway"]),
        (&"fd77::10".into(), &"10.77.0.1".into()),
        "{network}"
    );
    assert_eq!(shown[0]["HostConfig"]["NetworkMode"], "bridge");
    let network = rpod!(t, "network", "inspect", "n1").run().json();
    assert_eq!(network[0]["containers"].as_object().map(serde_json::Map::len), Some(3));
    // Another container's network is joined as it is.
    if t.user() == User::Sub {
        let out =
            rpod!(t, "run", "--rm", "--network", "container:b", "localhost/busybox", "ip", "addr", "show", "web0")
                .run();
        out.prints("10.77.0.11/24");
    }
    // Another name is known at once, the old one no more.
    rpod!(t, "rename", "c", "see").run().ok();
    assert_eq!((look_up(t, "a", "see"), look_up(t, "a", "c")), ("10.77.0.12 fd77::12".into(), String::new()));
    rpod!(t, "rename", "see", "c").run().ok();
    // One netkeeper for all, and none once they are gone.
    assert_eq!(t.processes_named(KEEPER).len(), 1, "{:?}", t.processes());
    rpod!(t, "restart", "-t", "0", "a").run().ok();
    assert_eq!(look_up(t, "c", "a"), "10.77.0.10 fd77::10");
    rpod!(t, "rm", "-af", "-t", "0").run().ok();
    wait_until("the netkeeper ends", || t.processes().is_empty());
    Ok(())
}

fn separation(t: &Sandbox) -> Outcome {
    busybox(t)?;
    for words in [
        "create --subnet 10.77.1.0/24 one",
        "create --subnet 10.77.2.0/24 two",
        "create --subnet 10.77.3.0/24 --internal inner",
    ] {
        t.rpod(["network"].into_iter().chain(words.split(' '))).run().ok();
    }
    let client = if is_root() { Some(ClientHost::new()?) } else { None };
    sleeper(t, "a", &["--network", "one:ip=10.77.1.5"])?;
    sleeper(t, "b", &["--network", "two:ip=10.77.2.5"])?;
    sleeper(t, "i", &["--network", "inner"])?;
    sleeper(t, "j", &["--network", "inner:ip=10.77.3.9"])?;
    for container in ["a", "b", "j"] {
        rpod!(t, "exec", "-d", container, "nc", "-ll", "-p", "700", "-e", "echo", "hi").run().ok();
    }
    let reach = |from: &str, to: &str| {
        let script = format!("nc -w 3 {to} 700 </dev/null");
        rpod!(t, "exec", from, "sh", "-c", script).run().stdout == "hi\n"
    };
    wait_until("j listens", || reach("i", "j"));
    assert!(!reach("a", "10.77.2.5") && !reach("b", "10.77.1.5") && !reach("i", "10.77.1.5"), "networks are not apart");
    assert_eq!(look_up(t, "a", "b"), "");
    assert_eq!(look_up(t, "i", "example.org"), "");
    rpod!(t, "exec", "i", "ip", "route").run().lines_are(&["10.77.3.0/24 dev eth0 scope link  src 10.77.3.2 "]);
    // The way out exists for one and not for the other.
    if let Some(client) = client {
        let _server = client
            .program("busybox", ["nc", "-ll", "-p", "700", "-e", "echo", "hi"])
            .limit(Duration::from_secs(600))
            .spawn();
        wait_until("the outside answers", || reach("a", &client.address()));
        if need([Need::Ipv6]).is_ok() {
            rpod!(t, "network", "create", "--ipv6", "six").run().ok();
            sleeper(t, "s", &["--network", "six"])?;
            wait_until("the outside answers over IPv6", || reach("s", &client.address6()));
        }
        let route =
            format!("ip route add default via 10.77.3.1 2>/dev/null; nc -w 3 {} 700 </dev/null", client.address());
        rpod!(t, "rm", "-f", "-t", "0", "i").run().ok();
        sleeper(t, "i", &["--network", "inner", "--cap-add", "net_admin"])?;
        assert_eq!(rpod!(t, "exec", "i", "sh", "-c", route).run().stdout, "");
    }
    Ok(())
}

fn connect(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "--subnet", "10.77.1.0/24", "one").run().ok();
    rpod!(t, "network", "create", "--subnet", "10.77.2.0/24", "two").run().ok();
    sleeper(t, "a", &["--network", "one"])?;
    sleeper(t, "b", &["--network", "two"])?;
    assert_eq!(look_up(t, "a", "b"), "");
    rpod!(t, "network", "connect", "--alias", "second", "--ip", "10.77.2.9", "two", "a").run().ok();
    assert_eq!(look_up(t, "a", "b"), "10.77.2.2");
    assert_eq!(look_up(t, "b", "second"), "10.77.2.9");
    rpod!(t, "exec", "a", "ip", "addr", "show", "eth1").run().prints("10.77.2.9/24");
    rpod!(t, "exec", "a", "cat", "/etc/hosts").run().prints("10.77.2.9\t");
    rpod!(t, "network", "connect", "two", "a").run().fails(125, &["already connected"]);
    rpod!(t, "network", "reload", "a").run().ok();
    rpod!(t, "exec", "a", "ip", "addr", "show", "eth1").run().prints("10.77.2.9/24");
    rpod!(t, "network", "disconnect", "one", "a").run().ok();
    rpod!(t, "exec", "a", "ip", "addr", "show", "eth0").run().code(1);
    rpod!(t, "exec", "a", "ip", "route").run().prints("default via 10.77.2.1");
    assert_eq!(look_up(t, "a", "b"), "10.77.2.2");
    rpod!(t, "network", "disconnect", "one", "a").run().fails(125, &["not connected"]);
    let shown =
        rpod!(t, "inspect", "-f", "{{range $n, $c := .NetworkSettings.Networks}}{{$n}} {{$c.IPAddress}}{{end}}", "a")
            .run();
    shown.lines_are(&["two 10.77.2.9"]);
    // It stays so, and goes for containers that do not run.
    rpod!(t, "stop", "-t", "0", "a").run().ok();
    rpod!(t, "network", "connect", "one", "a").run().ok();
    rpod!(t, "start", "a").run().ok();
    rpod!(t, "exec", "a", "ip", "-4", "addr").run().prints("10.77.2.9/24").prints("10.77.1.");
    rpod!(t, "run", "-d", "--name", "none", "--network", "none", "localhost/busybox", "sleep", "1000").run().ok();
    rpod!(t, "network", "connect", "one", "none").run().fails(125, &["invalid network mode"]);
    Ok(())
}

fn addresses(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "--subnet", "10.77.0.0/29", "n1").run().ok();
    for name in ["a", "b", "c", "d", "e"] {
        sleeper(t, name, &["--network", "n1"])?;
    }
    let one_more = || rpod!(t, "run", "-d", "--rm", "--network", "n1", "localhost/busybox", "sleep", "1000").run();
    one_more().fails(125, &["full"]);
    rpod!(t, "rm", "-f", "-t", "0", "c").run().ok();
    rpod!(t, "run", "--rm", "--network", "n1", "localhost/busybox", "ip", "-4", "addr", "show", "eth0")
        .run()
        .prints("10.77.0.4/29");
    // Two that want the same.
    sleeper(t, "first", &["--network", "n1:ip=10.77.0.4"])?;
    let second = rpod!(t, "run", "--name", "second", "--network", "n1:ip=10.77.0.4", "localhost/busybox", "true").run();
    second.fails(125, &["10.77.0.4", "already"]);
    rpod!(t, "network", "create", "--subnet", "10.78.0.0/24", "n2").run().ok();
    rpod!(t, "network", "connect", "--ip", "10.78.0.7", "n2", "first").run().ok();
    rpod!(t, "network", "connect", "--ip", "10.78.0.7", "n2", "a").run().fails(125, &["already"]);
    rpod!(t, "exec", "a", "ip", "addr", "show", "eth1").run().code(1);
    Ok(())
}

fn published(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "--ipv6", "--subnet", "10.77.0.0/24", "--subnet", "fd77::/64", "n1").run().ok();
    ports::on(t, "n1")?;
    // A port that is taken keeps the container from starting, and leaves nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let out =
        rpod!(t, "run", "--rm", "--network", "n1", "-p", format!("127.0.0.1:{port}:80"), "localhost/busybox", "true")
            .run();
    out.fails(125, &[&port.to_string(), "in use"]);
    rpod!(t, "ps", "-aq").run().lines_are(&[]);
    wait_until("the netkeeper ends", || t.processes().is_empty());
    Ok(())
}

pub fn keeper(t: &Sandbox) -> u32 {
    until("a netkeeper", Duration::from_secs(20), || t.processes_named(KEEPER).first().map(|process| process.pid))
}

pub fn kill(pid: u32) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
}

fn keeper_killed(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "n1").run().ok();
    sleeper(t, "b", &["--network", "n1", "--network-alias", "bee"])?;
    for _ in 0..2 {
        sleeper(t, "a", &["--network", "n1"])?;
        let before = (look_up(t, "a", "bee"), look_up(t, "b", "a"));
        let old = keeper(t);
        kill(old);
        wait_until("another netkeeper", || t.processes_named(KEEPER).iter().any(|process| process.pid != old));
        // With the addresses they had.
        wait_until("names again", || (look_up(t, "a", "bee"), look_up(t, "b", "a")) == before);
        rpod!(t, "exec", "-d", "b", "nc", "-ll", "-p", "700", "-e", "echo", "hi").run().ok();
        let ask = || rpod!(t, "exec", "a", "sh", "-c", "nc -w 3 bee 700 </dev/null").run().stdout;
        wait_until("an answer", || ask() == "hi\n");
        assert_eq!(t.processes_named(KEEPER).len(), 1);
        rpod!(t, "rm", "-f", "-t", "0", "a").run().ok();
    }
    rpod!(t, "rm", "-af", "-t", "0").run().ok();
    wait_until("the netkeeper ends", || t.processes().is_empty());
    Ok(())
}

/// Somebody cleans up where the socket is: nobody finds the netkeeper any more, and it makes room for another one.
fn keeper_unfindable(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "n1").run().ok();
    sleeper(t, "a", &["--network", "n1"])?;
    t.script("rm -r \"$XDG_RUNTIME_DIR/rpod/keeper\"").run().ok();
    sleeper(t, "b", &["--network", "n1"])?;
    wait_until("they find each other", || !look_up(t, "a", "b").is_empty() && !look_up(t, "b", "a").is_empty());
    wait_until("there is one netkeeper", || t.processes_named(KEEPER).len() == 1);
    Ok(())
}

fn uplink_killed(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "n1").run().ok();
    sleeper(t, "a", &["--network", "n1"])?;
    sleeper(t, "b", &["--network", "n1"])?;
    let before = look_up(t, "a", "b");
    let old = t.processes_named("slirp4netns")[0].pid;
    kill(old);
    wait_until("another uplink", || t.processes_named("slirp4netns").iter().any(|process| process.pid != old));
    wait_until("names again", || look_up(t, "a", "b") == before);
    Ok(())
}

fn monitors_killed(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "n1").run().ok();
    for name in ["a", "b", "c"] {
        sleeper(t, name, &["--network", "n1"])?;
    }
    let monitor =
        |name: &str| rpod!(t, "inspect", "-f", "{{.State.ConmonPid}}", name).run().stdout.trim().parse::<u32>();
    kill(monitor("b")?);
    wait_until("b is no longer known", || look_up(t, "a", "b").is_empty());
    assert_ne!(look_up(t, "a", "c"), "");
    for name in ["a", "c"] {
        kill(monitor(name)?);
    }
    wait_until("the netkeeper ends", || t.processes_named(KEEPER).is_empty());
    rpod!(t, "start", "a").run().ok();
    Ok(())
}

fn many_at_once(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "n1").run().ok();
    let script = "for n in $(seq 12); do rpod run -d --name c$n --network n1 localhost/busybox sleep 1000 >/dev/null & done; wait; \
                  rpod ps -q | wc -l";
    t.script(script).limit(Duration::from_secs(120)).run().lines_are(&["12"]);
    let out = rpod!(t, "inspect", "-f", "{{.NetworkSettings.IPAddress}}", "c1", "c2", "c3", "c4", "c5", "c6").run();
    let mut ips: Vec<&str> = out.ok().lines().collect();
    ips.sort_unstable();
    ips.dedup();
    assert_eq!(ips.len(), 6, "{out}");
    assert_eq!(t.processes_named(KEEPER).len(), 1);
    let script = "for n in $(seq 12); do rpod rm -f -t 0 c$n >/dev/null & done; wait";
    t.script(script).limit(Duration::from_secs(120)).run().ok();
    wait_until("the netkeeper ends", || t.processes().is_empty());
    Ok(())
}

/// Namespaces of containers that are on a bridge, and of those that are not; another runtime.
fn joining(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "n").run().ok();
    sleeper(t, "on", &["--network", "n"])?;
    sleeper(t, "off", &["--network", "none"])?;
    let run = |options: &[&str], script: &str| {
        t.rpod([&["run", "--rm"], options, &["localhost/busybox", "sh", "-c", script]].concat()).run()
    };
    for kind in ["pid", "ipc"] {
        let (on, off) = (format!("--{kind}=container:on"), format!("--{kind}=container:off"));
        run(&["--network", "n", &on], "nslookup on").prints("on.dns.podman");
        run(&["--network", "none", &on], "echo hi").prints("hi");
        run(&["--network", "n", &off], "true").fails(125, &["cannot be on one itself", "container:NAME"]);
    }
    run(&["--network", "container:on"], "nslookup on").prints("on.dns.podman");
    if need([Need::Crun]).is_ok() {
        run(&["--network", "n", "--runtime", "crun"], "nslookup on").prints("on.dns.podman");
    }
    Ok(())
}

/// slirp4netns is not there: pasta leads out.
fn pasta_uplink(t: &Sandbox) -> Outcome {
    need([Need::Pasta])?;
    if !is_root() {
        return skip("needs root, to hide slirp4netns");
    }
    busybox(t)?;
    let client = ClientHost::new()?;
    let _server = client
        .program("busybox", ["nc", "-ll", "-p", "7001", "-e", "echo", "hi"])
        .limit(Duration::from_secs(600))
        .spawn();
    rpod!(t, "network", "create", "n1").run().ok();
    let ask = format!(
        "for n in 1 2 3 4 5 6 7 8 9; do said=$(sleep 1 | nc {} 7001 2>/dev/null) && break; done; echo $said; nslookup me",
        client.address()
    );
    let script = format!(
        "mount --bind /dev/null \"$(command -v slirp4netns)\" && exec {} {} run --rm --name me --network n1 localhost/busybox sh -c '{ask}'",
        t.become_user(),
        t.binary().display()
    );
    let out = t.program_as_root("unshare", ["--mount", "sh", "-c", &script]).run();
    out.prints("hi\n").prints("me.dns.podman");
    Ok(())
}
