//! none, host, slirp4netns, pasta, container:, ns: and the names and addresses in them.

use std::time::Duration;

use crate::support::{
    ClientHost, DnsServer, Need, Outcome, Response, Sandbox, Server, Trial, User, for_each_user, is_root, need, rpod,
    skip, trial, wait_until,
};

/// A network mode that needs a program.
const HELPERS: [(&str, Need); 2] = [("slirp4netns", Need::Slirp4netns), ("pasta", Need::Pasta)];

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("network::none", |t| {
        let image = t.busybox()?;
        let script = "ls /sys/class/net; ip -o -4 address | grep -c 127.0.0.1; nc -w 1 192.0.2.1 80 2>/dev/null || echo unreachable";
        rpod!(t, "run", "--rm", "--network=none", image, "sh", "-c", script).run().lines_are(&[
            "lo",
            "1",
            "unreachable",
        ]);
        assert!(t.processes_named("slirp4netns").is_empty() && t.processes_named("pasta").is_empty());
        Ok(())
    });
    trials.extend(for_each_user("network::host", |t| {
        let image = t.busybox()?;
        let server = Server::start(|_| Response::new(200).body("from the host\n"));
        let url = format!("http://{}/", server.host());
        rpod!(t, "run", "--rm", "--network=host", image, "wget", "-qO-", url).run().lines_are(&["from the host"]);
        let inside = rpod!(t, "run", "--rm", "--network=host", image, "readlink", "/proc/self/ns/net").run();
        assert_eq!(inside.ok(), std::fs::read_link("/proc/self/ns/net")?.to_str().unwrap());
        rpod!(t, "run", "--rm", "--network=host", "-p", "8080:80", image, "true").run().code(0).says("port");
        Ok(())
    }));
    for (mode, helper) in HELPERS {
        for user in [User::Sub, User::NoSub] {
            trials.push(trial(format!("network::{mode}::outbound::{user}"), user, move |t| {
                need([helper])?;
                outbound(t, mode)
            }));
        }
        trials.push(trial(format!("network::{mode}::helper_ends"), User::Sub, move |t| {
            need([helper])?;
            helper_ends(t, mode)
        }));
        trials.push(trial(format!("network::{mode}::dns_of_a_loopback_resolver"), User::Sub, move |t| {
            need([helper])?;
            loopback_resolver(t, mode)
        }));
        trials.push(trial(format!("network::{mode}::not_the_hosts_loopback"), User::Sub, move |t| {
            need([helper])?;
            let image = t.busybox()?;
            let server = Server::start(|_| Response::new(200).body("host only\n"));
            let script = format!(
                "for a in 127.0.0.1 10.0.2.2 $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'); do wget -T 2 -qO- http://$a:{}/; done; true",
                server.port()
            );
            rpod!(t, "run", "--rm", "--network", mode, image, "sh", "-c", script).run().lines_are(&[]);
            Ok(())
        }));
    }
    trials.push(trial("network::names", User::Sub, names));
    trials.push(trial("network::container", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "-d", "--name", "one", image, "sh", "-c", "while :; do echo hello | nc -l -p 7000; done")
            .run()
            .ok();
        let ask = "until nc 127.0.0.1 7000; do sleep 0.05; done";
        rpod!(t, "run", "--rm", "--network=container:one", image, "sh", "-c", ask).run().lines_are(&["hello"]);
        rpod!(t, "run", "--rm", "--network=container:nosuch", image, "true").run().fails(125, &["nosuch"]);
        // Its names, and the new container's own.
        let out = rpod!(
            t,
            "run",
            "--rm",
            "--network=container:one",
            "--hostname=h",
            "--name=two",
            image,
            "cat",
            "/etc/hosts"
        );
        out.run().prints(" one\n").prints("127.0.0.1\th two\n");
        Ok(())
    }));
    trials.push(trial("network::refused", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "--rm", "--network=bogus", image, "true").run().fails(125, &["bogus"]);
        rpod!(t, "run", "--rm", "--network=slirp4netns:nosuch=1", image, "true").run().fails(125, &["nosuch"]);
        rpod!(t, "run", "--rm", "--network=ns:/nosuch", image, "true").run().fails(125, &["/nosuch"]);
        rpod!(t, "run", "--rm", "--dns", "not-an-address", image, "true").run().fails(125, &["not-an-address"]);
        rpod!(t, "run", "--rm", "--add-host", "nocolon", image, "true").run().fails(125, &["nocolon"]);
        Ok(())
    }));
    trials.push(trial("network::no_helper_installed", User::Sub, |t| {
        let image = t.busybox()?;
        // newuidmap alone on PATH, and a mount namespace in which the helpers are not executable is too much: PATH decides.
        let bin = t.mkdir("home/bin")?;
        for program in ["newuidmap", "newgidmap"] {
            std::os::unix::fs::symlink(format!("/usr/bin/{program}"), bin.join(program))?;
        }
        let out = rpod!(t, "run", "--rm", "--network=slirp4netns", image, "true").env("PATH", &bin).run();
        if out.code == Some(0) {
            return skip("the helpers are found in the system's directories too");
        }
        out.fails(125, &["slirp4netns", "install"]);
        Ok(())
    }));
    trials
}

/// A host outside is reached by address, over IPv4 and IPv6, and sees this machine's address.
fn outbound(t: &Sandbox, mode: &str) -> Outcome {
    let client = ClientHost::new()?;
    let image = t.busybox()?;
    let _server = client
        .program("busybox", ["nc", "-ll", "-p", "7001", "-e", "echo", "hi"])
        .limit(Duration::from_secs(600))
        .spawn();
    // Input stays open: the pasta of Debian 12 repeats what a peer sends that answers a closed direction.
    let ask =
        |address: String| format!("until said=$(sleep 1 | nc {address} 7001 2>/dev/null); do :; done; echo $said");
    rpod!(t, "run", "--rm", "--network", mode, image, "sh", "-c", ask(client.address())).run().lines_are(&["hi"]);
    need([Need::Ipv6])?;
    rpod!(t, "run", "--rm", "--network", mode, image, "sh", "-c", ask(client.address6())).run().lines_are(&["hi"]);
    Ok(())
}

fn helper_ends(t: &Sandbox, mode: &str) -> Outcome {
    let image = t.busybox()?;
    let helpers = || t.processes_named(mode).len();
    rpod!(t, "run", "-d", "--name", "h", "--network", mode, image, "sleep", "1000").run().ok();
    assert!(helpers() >= 1, "{:?}", t.processes());
    rpod!(t, "stop", "-t", "0", "h").run().code(0);
    wait_until("the helper ends with the container", || helpers() == 0);
    rpod!(t, "start", "h").run().ok();
    rpod!(t, "kill", "h").run().ok();
    wait_until("the helper ends with the container", || helpers() == 0);
    rpod!(t, "run", "--rm", "--network", mode, image, "true").run().ok();
    wait_until("the helper ends with the container", || helpers() == 0);
    // The helper killed: the container goes on without network and can be removed.
    rpod!(t, "start", "h").run().ok();
    for helper in t.processes_named(mode) {
        t.program("kill", ["-9", &helper.pid.to_string()]).run();
    }
    rpod!(t, "exec", "h", "true").run().ok();
    rpod!(t, "rm", "-f", "-t", "0", "h").run().ok();
    Ok(())
}

/// resolv.conf names a resolver on 127.0.0.0/8, which the container's own loopback does not have.
fn loopback_resolver(t: &Sandbox, mode: &str) -> Outcome {
    if !is_root() {
        return skip("needs root, to give rpod another /etc/resolv.conf");
    }
    let _server = DnsServer::start()?;
    let image = t.busybox()?;
    let conf = t.write(
        "home/resolv.conf",
        format!("nameserver {}\nsearch test.example\noptions ndots:1\n", DnsServer::ADDRESS),
    )?;
    let lookup = |mode: &str| {
        let script = format!(
            "mount --bind {} \"$(readlink -f /etc/resolv.conf)\" && exec {} {} run --rm --network {mode} {image} nslookup some.name.example",
            conf.display(),
            t.become_user(),
            t.binary().display()
        );
        t.program_as_root("unshare", ["--mount", "sh", "-c", &script]).run()
    };
    lookup(mode).prints(DnsServer::ANSWER);
    lookup("host").prints(DnsServer::ANSWER);
    Ok(())
}

fn names(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let out = rpod!(
        t,
        "run",
        "--rm",
        "--dns",
        "192.0.2.53",
        "--dns",
        "2001:db8::53",
        "--dns-search",
        "a.example",
        "--dns-option",
        "ndots:3",
        image,
        "cat",
        "/etc/resolv.conf"
    )
    .run();
    out.prints("nameserver 192.0.2.53\nnameserver 2001:db8::53\n").prints("search a.example").prints("options ndots:3");
    let out = rpod!(
        t,
        "run",
        "--rm",
        "--add-host",
        "db:192.0.2.7",
        "--add-host",
        "me:host-gateway",
        "-h",
        "web",
        image,
        "cat",
        "/etc/hosts"
    )
    .run();
    out.prints("localhost").prints("192.0.2.7\tdb").prints("host.containers.internal").prints("web");
    assert!(out.stdout.lines().any(|line| line.ends_with("\tme")), "{out}");
    let none = rpod!(t, "run", "--rm", "--network=none", image, "cat", "/etc/hosts").run();
    none.prints("localhost");
    // The program may change them, and they are its own.
    rpod!(t, "run", "--rm", image, "sh", "-c", "echo 192.0.2.1 x >>/etc/hosts && echo >>/etc/resolv.conf && echo ok")
        .run()
        .lines_are(&["ok"]);
    Ok(())
}
