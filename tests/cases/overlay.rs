//! Overlay networks between two hosts: this one and a network namespace wired to it, each with a netkeeper of its own.

use std::path::PathBuf;
use std::time::Duration;

use super::bridges::{KEEPER, busybox, keeper, kill, look_up, sleeper};
use crate::support::{ClientHost, Outcome, Output, Sandbox, Trial, User, free_port, rpod, trial, until, wait_until};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("overlay::two_hosts", User::Sub, two_hosts),
        trial("overlay::sealed", User::NoSub, sealed),
        trial("overlay::directory", User::Sub, directory),
        trial("overlay::itself", User::Sub, itself),
        trial("overlay::refusals", User::Sub, refusals),
        trial("overlay::strangers", User::Sub, strangers),
    ]
}

/// The other host: the same user and images, everything else its own.
struct Far<'t> {
    t: &'t Sandbox,
    host: ClientHost,
}

impl<'t> Far<'t> {
    fn new(t: &'t Sandbox) -> Result<Self, crate::support::Stop> {
        busybox(t)?;
        Ok(Self { t, host: ClientHost::new()? })
    }

    fn rpod(&self, words: &[&str]) -> Output {
        let dir = self.t.dir().display();
        let script = format!(
            "export RPOD_STATE={dir}/far-state RPOD_RUNTIME={dir}/far-run; exec {} {} \"$@\"",
            self.t.become_user(),
            self.t.binary().display()
        );
        let namespace = self.host.name();
        let args = [&["netns", "exec", namespace, "sh", "-c", &script, "rpod"], words].concat();
        self.t.program_as_root("ip", args).limit(Duration::from_secs(60)).run()
    }

    fn sleeper(&self, name: &str, options: &[&str]) {
        let all = [&["run", "-d", "--name", name], options, &["localhost/busybox", "sleep", "1000"]].concat();
        self.rpod(&all).ok();
    }

    fn look_up(&self, container: &str, name: &str) -> String {
        let out = self.rpod(&["exec", container, "nslookup", name]);
        let mut found: Vec<&str> =
            out.stdout.lines().skip(2).filter_map(|line| line.strip_prefix("Address: ")).collect();
        found.sort_unstable();
        found.join(" ")
    }
}

impl Drop for Far<'_> {
    fn drop(&mut self) {
        self.rpod(&["rm", "-af", "-t", "0"]);
    }
}

fn reach(t: &Sandbox, from: &str, to: &str) -> bool {
    rpod!(t, "exec", from, "sh", "-c", format!("nc -w 2 {to} 700 </dev/null")).run().stdout == "hi\n"
}

/// The network is made on this host; both hosts have the store, where networks are, in common.
fn create(t: &Sandbox, options: &[&str]) -> u16 {
    let port = free_port();
    let opt = format!("port={port}");
    t.rpod([&["network", "create", "-d", "overlay", "-o", &opt], options, &["o"]].concat()).run().ok();
    port
}

/// Each host is told of both addresses: nobody has its own as a peer's.
fn both(far: &Far<'_>) -> [String; 2] {
    [format!("peer={}", far.host.server_address()), format!("peer={}", far.host.address())]
}

fn two_hosts(t: &Sandbox) -> Outcome {
    let far = Far::new(t)?;
    let [here, there] = both(&far);
    create(t, &["--ipv6", "-o", &here, "-o", &there]);
    sleeper(t, "a", &["--network", "o", "--network-alias", "both"])?;
    far.sleeper("b", &["--network", "o", "--network-alias", "both"]);
    let address = |text: String| text.split(' ').next().unwrap_or_default().to_owned();
    let a = until("b knows a", Duration::from_secs(20), || Some(far.look_up("b", "a")).filter(|ip| !ip.is_empty()));
    let b = until("a knows b", Duration::from_secs(20), || Some(look_up(t, "a", "b")).filter(|ip| !ip.is_empty()));
    assert!(a != b && a.contains(':') && b.contains(':'), "{a}, {b}");
    assert_eq!(look_up(t, "a", "both").split(' ').count(), 4);
    rpod!(t, "exec", "a", "nslookup", address(b.clone())).run().prints("b.dns.podman");
    far.rpod(&["exec", "-d", "b", "nc", "-ll", "-p", "700", "-e", "echo", "hi"]).ok();
    wait_until("b answers over both versions", || reach(t, "a", "b") && b.split(' ').all(|ip| reach(t, "a", ip)));
    // Much data, both ways, whole.
    far.rpod(&["exec", "-d", "b", "nc", "-ll", "-p", "701", "-e", "cat"]).ok();
    let script = "dd if=/dev/urandom of=/tmp/sent bs=64k count=64 2>/dev/null; nc b 701 </tmp/sent >/tmp/back & \
                  while [ \"$(wc -c </tmp/back)\" != 4194304 ]; do sleep 0.1; done; cmp /tmp/sent /tmp/back && echo same; kill %1";
    rpod!(t, "exec", "a", "sh", "-c", script).limit(Duration::from_secs(60)).run().prints("same");
    // An address of the other host's cannot be had here.
    let taken =
        rpod!(t, "run", "--rm", "--network", format!("o:ip={}", address(b.clone())), "localhost/busybox", "true");
    taken.run().fails(125, &["on another host"]);
    let seen = rpod!(t, "network", "inspect", "o").run().json();
    let peer = &seen[0]["peers"].as_array().unwrap()[1];
    assert_eq!((&peer["up"], &peer["containers"]), (&true.into(), &1.into()), "{seen}");
    // What ends is known at once, what is killed is rebuilt.
    far.sleeper("c", &["--network", "o"]);
    wait_until("a knows c", || !look_up(t, "a", "c").is_empty());
    far.rpod(&["rm", "-f", "-t", "0", "c"]).ok();
    wait_until("c is gone", || look_up(t, "a", "c").is_empty());
    let old = keeper(t);
    kill(old);
    wait_until("another netkeeper", || t.processes_named(KEEPER).iter().filter(|p| p.pid != old).count() >= 2);
    wait_until("b answers again", || reach(t, "a", "b"));
    far.rpod(&["network", "disconnect", "o", "b"]);
    wait_until("b has left", || look_up(t, "a", "b").is_empty());
    Ok(())
}

fn sealed(t: &Sandbox) -> Outcome {
    let far = Far::new(t)?;
    let [here, there] = both(&far);
    let key = t.write("key", "sixteen bytes at least")?;
    let key = format!("key-file={}", key.display());
    create(t, &["-o", &here, "-o", &there, "-o", &key]);
    sleeper(t, "a", &["--network", "o"])?;
    far.sleeper("b", &["--network", "o"]);
    far.rpod(&["exec", "-d", "b", "nc", "-ll", "-p", "700", "-e", "echo", "hi"]).ok();
    wait_until("b answers", || reach(t, "a", "b"));
    far.rpod(&["rm", "-f", "-t", "0", "b"]).ok();
    wait_until("b has left", || look_up(t, "a", "b").is_empty());
    // Another key is another network.
    t.write("key", "another one, which is as long")?;
    far.sleeper("b", &["--network", "o"]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((look_up(t, "a", "b"), far.look_up("b", "a")), (String::new(), String::new()));
    t.write("key", "short")?;
    far.rpod(&["rm", "-f", "-t", "0", "b"]).ok();
    far.rpod(&["run", "--rm", "--network", "o", "localhost/busybox", "true"]).fails(125, &["key file", "16 to 4096"]);
    Ok(())
}

/// The hosts share a directory and know nothing else of each other.
fn directory(t: &Sandbox) -> Outcome {
    let far = Far::new(t)?;
    let shared: PathBuf = t.write("shared/.keep", "")?;
    let shared = shared.parent().unwrap().to_path_buf();
    let peers = format!("peers-dir={}", shared.display());
    create(t, &["-o", &peers]);
    let out = far.rpod(&["run", "--rm", "--network", "o", "localhost/busybox", "true"]);
    out.fails(125, &["this host's address is not known"]);
    let default = ["netns", "exec", far.host.name(), "ip", "route", "add", "default", "via"];
    let gateway = far.host.server_address();
    t.program_as_root("ip", [&default[..], &[&gateway]].concat()).run().ok();
    far.sleeper("b", &["--network", "o"]);
    assert_eq!(std::fs::read_dir(shared.join("o"))?.count(), 1);
    // This host would tell of the address that leads to the rest of the world.
    rpod!(t, "network", "create", "-d", "overlay", "-o", &peers, "other").run().ok();
    sleeper(t, "x", &["--network", "other"])?;
    let note = std::fs::read_dir(shared.join("other"))?.next().unwrap()?.path();
    let told = std::fs::read_to_string(&note)?;
    assert!(told.contains(":4789"), "{told}");
    rpod!(t, "rm", "-f", "-t", "0", "x").run().ok();
    wait_until("the note is gone", || !note.exists());
    far.rpod(&["rm", "-f", "-t", "0", "b"]).ok();
    Ok(())
}

/// A host among its own peers; and a netkeeper that follows another at once takes its port over.
fn itself(t: &Sandbox) -> Outcome {
    busybox(t)?;
    let port = format!("port={}", free_port());
    rpod!(t, "network", "create", "-d", "overlay", "-o", "peer=127.0.0.1", "-o", port, "o").run().ok();
    sleeper(t, "a", &["--network", "o"])?;
    let peer = || rpod!(t, "network", "inspect", "o").run().json()[0]["peers"][0].clone();
    wait_until("it hears itself", || peer()["up"] == true);
    assert!(peer().get("complaint").is_none(), "{}", peer());
    for _ in 0..4 {
        rpod!(t, "restart", "-t", "0", "a").run().ok();
    }
    Ok(())
}

fn refusals(t: &Sandbox) -> Outcome {
    busybox(t)?;
    for (options, says) in [
        ("", "needs to know the other hosts"),
        ("-o peer=a/b", "invalid peer"),
        ("-o peer=10.1.2", "invalid peer"),
        ("-o peer=10.1.2.3 -o vni=0", "vni"),
        ("-o peer=10.1.2.3 -o port=80", "port"),
        ("-o peers-dir=x", "absolute"),
        ("-o peer=10.1.2.3 -o parent=podman", "unsupported overlay network option parent"),
    ] {
        let words = format!("network create -d overlay {options} o");
        t.rpod(words.split_whitespace()).run().fails(125, &[says]);
    }
    // The subnet is what the name makes of it, so that all hosts have the same.
    rpod!(t, "network", "create", "-d", "overlay", "-o", "peer=192.0.2.1", "-o", "peer=nosuch.invalid:5000", "o")
        .run()
        .ok();
    let shown = rpod!(t, "network", "inspect", "o").run().json();
    assert_eq!(
        (&shown[0]["driver"], &shown[0]["options"]["peer"]),
        (&"overlay".into(), &"192.0.2.1,nosuch.invalid:5000".into())
    );
    let first = shown[0]["subnets"][0]["subnet"].clone();
    rpod!(t, "network", "rm", "o").run().ok();
    rpod!(t, "network", "create", "-d", "overlay", "-o", "peer=nosuch.invalid", "o").run().ok();
    assert_eq!(rpod!(t, "network", "inspect", "o").run().json()[0]["subnets"][0]["subnet"], first);
    rpod!(t, "run", "--rm", "--network", "o", "localhost/busybox", "true")
        .run()
        .fails(125, &["cannot resolve the peer"]);
    // A port that somebody else has.
    let taken = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let port = format!("port={}", taken.local_addr()?.port());
    rpod!(t, "network", "rm", "o").run().ok();
    rpod!(t, "network", "create", "-d", "overlay", "-o", "peer=192.0.2.1", "-o", port, "o").run().ok();
    let out = rpod!(t, "run", "--rm", "--network", "o", "localhost/busybox", "true").run();
    out.fails(125, &["cannot listen on UDP port", "--opt port"]);
    wait_until("the netkeeper ends", || t.processes().is_empty());
    Ok(())
}

/// Frames and messages of somebody who is not listed, and nonsense of somebody who is.
fn strangers(t: &Sandbox) -> Outcome {
    busybox(t)?;
    let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let listed = format!("peer={}", peer.local_addr()?);
    let port = create(t, &["-o", "vni=77", "-o", "address=127.0.0.1", "--subnet", "10.77.0.0/24", "-o", &listed]);
    sleeper(t, "a", &["--network", "o:ip=10.77.0.5"])?;
    let message = |name: &str, ip: &str| {
        let id = "b".repeat(64);
        let body = format!(
            r#"{{"network":"o","subnets":["10.77.0.0/24"],"say":{{"Here":{{"members":[{{"id":"{id}","names":["{name}"],"ip":"{ip}","mac":[2,0,0,0,0,9]}}],"hello":false}}}}}}"#
        );
        [&b"rpo\x01\0\0\x4d\0"[..], body.as_bytes()].concat()
    };
    let to = ("127.0.0.1", port);
    for (socket, name, ip) in [
        (&stranger, "evil", "10.77.0.9"),
        (&peer, "gateway", "10.77.0.1"),
        (&peer, "own", "10.77.0.5"),
        (&peer, "out", "10.78.0.5"),
    ] {
        socket.send_to(&message(name, ip), to)?;
    }
    let mut junk: Vec<u8> = (0..=255).cycle().take(9000).collect();
    for length in [0, 1, 7, 8, 9, 21, 22, 100, 1500, 9000] {
        peer.send_to(&junk[..length], to)?;
        junk[..8].copy_from_slice(b"\x08\0\0\0\0\0\x4d\0");
        peer.send_to(&junk[..length], to)?;
        junk[..8].copy_from_slice(b"rpo\x01\0\0\x4d\0");
        peer.send_to(&junk[..length], to)?;
    }
    peer.send_to(&message("good", "10.77.0.7"), to)?;
    wait_until("the peer is heard", || look_up(t, "a", "good") == "10.77.0.7");
    for name in ["evil", "gateway", "own", "out"] {
        assert_eq!(look_up(t, "a", name), "", "{name}");
    }
    assert_eq!(look_up(t, "a", "a"), "10.77.0.5");
    let seen = rpod!(t, "network", "inspect", "o").run().json();
    assert_eq!(seen[0]["peers"][0]["containers"], 1, "{seen}");
    Ok(())
}
