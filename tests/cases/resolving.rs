//! Name service on bridges, seen by those who ask much, or for much.

use std::time::Duration;

use super::bridges::{busybox, keeper, look_up, sleeper};
use crate::support::{DnsServer, Outcome, Sandbox, Trial, User, is_root, probe, rpod, skip, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("resolving::changes", User::Sub, changes),
        trial("resolving::large_answers", User::Sub, large_answers),
        trial("resolving::floods", User::Sub, floods),
    ]
}

/// A loopback address that no other trial has.
fn address(number: u8) -> String {
    format!("127.0.{}.{number}", 80 + std::process::id() % 100)
}

/// The host's resolv.conf changes while containers run.
fn changes(t: &Sandbox) -> Outcome {
    if !is_root() {
        return skip("needs root, to have a resolv.conf of its own");
    }
    busybox(t)?;
    let (first, second) = (address(1), address(2));
    let _servers = (DnsServer::at(&first, [203, 0, 113, 1])?, DnsServer::at(&second, [203, 0, 113, 2])?);
    rpod!(t, "network", "create", "n").run().ok();
    let conf = t.write("etc/resolv.conf", format!("nameserver {first}\n"))?;
    let script = format!(
        "mount --bind {} /etc/resolv.conf && exec {} {} run -d --name a --network n localhost/busybox sleep 1000",
        conf.display(),
        t.become_user(),
        t.binary().display()
    );
    t.program_as_root("unshare", ["--mount", "sh", "-c", &script]).run().ok();
    assert_eq!(look_up(t, "a", "example.org"), "203.0.113.1");
    std::fs::write(&conf, format!("# a VPN came up\nnameserver {second}\n"))?;
    wait_until("the other resolver", || look_up(t, "a", "example.org") == "203.0.113.2");
    std::fs::write(&conf, format!("nameserver {first}\n"))?;
    wait_until("the first one again", || look_up(t, "a", "example.org") == "203.0.113.1");
    Ok(())
}

fn large_answers(t: &Sandbox) -> Outcome {
    busybox(t)?;
    let resolver = address(3);
    let _server = DnsServer::at(&resolver, [203, 0, 113, 3])?;
    rpod!(t, "network", "create", "--subnet", "10.77.0.0/24", "--dns", resolver, "n").run().ok();
    let volume = format!("{}:/probe:ro", probe().display());
    sleeper(t, "a", &["--network", "n", "-v", &volume])?;
    let ask = |name: &str, over: &str, payload: &str| {
        rpod!(t, "exec", "a", "/probe", "--probe", "ask-dns", "10.77.0.1", name, over, payload)
            .run()
            .ok()
            .trim()
            .to_owned()
    };
    // What UDP cannot carry is told as truncated, and had over TCP.
    assert!(ask("big.example.org", "udp", "0").starts_with("code 0 truncated 1 answers 0"));
    assert!(ask("big.example.org", "tcp", "0").starts_with(&format!("code 0 truncated 0 answers {}", DnsServer::BIG)));
    // Our own answers: EDNS is answered with EDNS, and only then.
    assert!(ask("a", "udp", "0").starts_with("code 0 truncated 0 answers 1 additional 0"));
    assert!(ask("a", "udp", "4096").starts_with("code 0 truncated 0 answers 1 additional 1"));
    assert!(ask("a", "tcp", "0").starts_with("code 0 truncated 0 answers 1"));
    assert!(ask("nobody.dns.podman", "udp", "1232").starts_with("code 3 truncated 0 answers 0 additional 1"));
    // One name of so many containers that its addresses fill more than a plain datagram.
    let script = "for n in $(seq 2 36); do \
                  rpod run -d --network n:alias=many localhost/busybox sleep 1000 >/dev/null & [ $((n % 6)) = 0 ] && wait; done; wait";
    t.script(script).limit(Duration::from_secs(120)).run().ok();
    assert!(ask("many", "udp", "0").starts_with("code 0 truncated 1"));
    assert!(ask("many", "udp", "1232").starts_with("code 0 truncated 0 answers 35 additional 1"));
    assert!(ask("many", "tcp", "0").starts_with("code 0 truncated 0 answers 35"));
    Ok(())
}

/// One container asks for everything at once, of a resolver that does not answer; other networks notice nothing.
fn floods(t: &Sandbox) -> Outcome {
    busybox(t)?;
    // Documentation addresses (RFC 5737): nobody answers.
    rpod!(t, "network", "create", "--subnet", "10.77.0.0/24", "--dns", "192.0.2.1", "n").run().ok();
    let volume = format!("{}:/probe:ro", probe().display());
    sleeper(t, "evil", &["--network", "n", "-v", &volume])?;
    rpod!(t, "network", "create", "m").run().ok();
    sleeper(t, "a", &["--network", "m"])?;
    sleeper(t, "b", &["--network", "m"])?;
    sleeper(t, "c", &["--network", "n"])?;
    let own = look_up(t, "a", "b");
    let before = keeper(t);
    rpod!(t, "exec", "-d", "evil", "/probe", "--probe", "flood-dns", "10.77.0.1", "200000").run().ok();
    for _ in 0..5 {
        wait_until("an answer on the other network", || look_up(t, "a", "b") == own);
    }
    let status = std::fs::read_to_string(format!("/proc/{before}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kilobytes: u32 = resident.split_whitespace().next().unwrap_or_default().parse()?;
    assert!(kilobytes < 64 * 1024, "the netkeeper has {resident}");
    assert_eq!(keeper(t), before);
    wait_until("its own neighbours", || look_up(t, "c", "evil") == "10.77.0.2");
    Ok(())
}
