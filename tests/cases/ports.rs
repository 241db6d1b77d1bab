//! Published ports: TCP and UDP, IPv4 and IPv6, addresses, ranges, random ports, and the client's own address.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{
    ClientHost, Image, Need, Outcome, Sandbox, Stop, Trial, User, for_each_user, free_port, free_ports, need, probe,
    rpod, trial, until, wait_until,
};

const HELPERS: [(&str, Need); 2] = [("slirp4netns", Need::Slirp4netns), ("pasta", Need::Pasta)];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (mode, helper) in HELPERS {
        for user in [User::Sub, User::NoSub] {
            trials.push(trial(format!("ports::client_address::{mode}::{user}"), user, move |t| {
                need([helper, Need::Curl])?;
                client_address(t, mode)
            }));
        }
        trials.push(trial(format!("ports::loopback_is_not_trusted::{mode}"), User::Sub, move |t| {
            need([helper])?;
            let port = serve(t, "tcp", &["--network", mode], "127.0.0.1:")?;
            let seen = ask_tcp("127.0.0.1", port)?;
            assert!(!seen.starts_with("127."), "seen as {seen}");
            Ok(())
        }));
        trials.push(trial(format!("ports::processes_are_started_again::{mode}"), User::Sub, move |t| {
            need([helper])?;
            processes_are_started_again(t, mode)
        }));
        trials.push(trial(format!("ports::bulk::{mode}"), User::Sub, move |t| {
            need([helper])?;
            bulk(t, mode)
        }));
    }
    trials.push(trial("ports::udp", User::Sub, |t| {
        let port = serve(t, "udp", &[], "127.0.0.1:")?;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut buffer = [0; 4096];
        for text in ["one", "two", &"x".repeat(1400)] {
            socket.send_to(text.as_bytes(), ("127.0.0.1", port))?;
            let length = socket.recv(&mut buffer)?;
            let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
            assert_eq!(answer.lines().nth(1), Some(text), "{answer}");
        }
        Ok(())
    }));
    trials.push(trial("ports::random_and_ranges", User::Sub, random_and_ranges));
    trials.push(trial("ports::publish_all", User::Sub, |t| {
        let image = Image::busybox()?.config("ExposedPorts", serde_json::json!({"80/tcp": {}, "53/udp": {}}));
        let archive = t.write("home/p.tar", image.docker_archive(&["localhost/exposed"]))?;
        rpod!(t, "load", "-q", "-i", &archive).run().ok();
        rpod!(t, "run", "-d", "-P", "--name", "p", "localhost/exposed", "sleep", "1000").run().ok();
        let ports = rpod!(t, "port", "p").run();
        ports.prints("80/tcp -> 0.0.0.0:").prints("53/udp -> 0.0.0.0:");
        Ok(())
    }));
    trials.push(trial("ports::taken", User::Sub, |t| {
        let image = t.busybox()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let out = rpod!(t, "run", "--rm", "-p", format!("127.0.0.1:{port}:80"), image, "true").run();
        out.fails(125, &[&port.to_string(), "in use"]);
        // Ports below 1024 are root's.
        if t.uid() != 0 && std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")?.trim() == "1024" {
            rpod!(t, "run", "--rm", "-p", "81:80", image, "true")
                .run()
                .fails(125, &["81", "ip_unprivileged_port_start"]);
        }
        assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
        Ok(())
    }));
    trials.push(trial("ports::refused", User::Sub, |t| {
        let image = t.busybox()?;
        for bad in
            ["99999:80", "80:90:100:1", "x:80", "8080:", "1-5:1-4", "127.0.0.300:80:80", "80/bogus", ":::80", "0:0:0"]
        {
            rpod!(t, "run", "--rm", "-p", bad, image, "true").run().code(125);
        }
        rpod!(t, "run", "--rm", "--network=none", "-p", "8080:80", image, "true").run().code(0).says("port");
        Ok(())
    }));
    trials.push(trial("ports::freed_when_it_ends", User::Sub, |t| {
        let image = t.busybox()?;
        let port = free_port();
        for _ in 0..3 {
            rpod!(t, "run", "--rm", "-p", format!("{port}:80"), image, "true").run().ok();
        }
        rpod!(t, "run", "-d", "--name", "p", "-p", format!("{port}:80"), image, "sleep", "1000").run().ok();
        rpod!(t, "kill", "p").run().ok();
        wait_until("the port is free", || std::net::TcpListener::bind(("0.0.0.0", port)).is_ok());
        rpod!(t, "start", "p").run().ok();
        Ok(())
    }));
    trials.push(trial("ports::random_ones_stay", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "-d", "--name", "p", "-p", "80", "-p", "127.0.0.1::80/udp", image, "sleep", "1000").run().ok();
        let ports = || rpod!(t, "port", "p").run().ok().to_owned();
        let first = ports();
        rpod!(t, "restart", "-t", "0", "p").run().ok();
        assert_eq!(ports(), first);
        // Unless somebody else has come there.
        rpod!(t, "stop", "-t", "0", "p").run().ok();
        let port: u16 = first.lines().next().and_then(|line| line.rsplit(':').next()).unwrap().parse()?;
        let _taken = std::net::TcpListener::bind(("0.0.0.0", port))?;
        rpod!(t, "start", "p").run().ok();
        assert_ne!(ports(), first);
        Ok(())
    }));
    trials.extend(for_each_user("ports::half_close_and_many", half_close_and_many));
    trials
}

/// On this network ports do all that they do on a helper's.
pub fn on(t: &Sandbox, network: &str) -> Outcome {
    need([Need::Curl])?;
    if crate::support::is_root() {
        client_address(t, network)?;
        rpod!(t, "rm", "-af", "-t", "0").run().ok();
    }
    let port = serve(t, "tcp", &["--network", network], "127.0.0.1:")?;
    let seen = ask_tcp("127.0.0.1", port)?;
    assert!(!seen.starts_with("127."), "seen as {seen}");
    // Reached through the host's address, from a neighbour and from itself.
    rpod!(t, "port", "probe").run().lines_are(&[&format!("7/tcp -> 127.0.0.1:{port}")]);
    rpod!(t, "rm", "-af", "-t", "0").run().ok();
    bulk(t, network)?;
    rpod!(t, "rm", "-af", "-t", "0").run().ok();
    Ok(())
}

/// A container with the probe on port 7; where it is published.
fn serve(t: &Sandbox, verb: &str, options: &[&str], publish: &str) -> Result<u16, Stop> {
    let image = t.busybox()?;
    let port = free_port();
    let volume = format!("{}:/probe:ro", probe().display());
    let protocol = if verb == "udp" { "/udp" } else { "" };
    let published = format!("{publish}{port}:7{protocol}");
    let all = [
        &["run", "-d", "--name", "probe", "-v", &volume, "-p", &published],
        options,
        &[image, "/probe", "--probe", verb, "7"],
    ]
    .concat();
    t.rpod(all).run().ok();
    wait_until("the probe listens", || rpod!(t, "logs", "probe").run().stdout.contains("listening"));
    Ok(port)
}

/// The address under which the probe saw us.
fn ask_tcp(host: &str, port: u16) -> Result<String, Stop> {
    let mut stream = TcpStream::connect((host, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Whoever kills the helper or the forwarder cuts connections, not the container off.
fn processes_are_started_again(t: &Sandbox, mode: &str) -> Outcome {
    let port = serve(t, "tcp", &["--network", mode], "127.0.0.1:")?;
    for (process, said) in [(mode, mode), ("rpod-forward", "the port forwarder"), (mode, mode)] {
        let victims = t.processes_named(process);
        let victim = victims.first().ok_or_else(|| Stop::Fail(format!("no {process} runs")))?.pid;
        t.program("kill", ["-9", &victim.to_string()]).run().ok();
        let error = || rpod!(t, "inspect", "--format", "{{.State.Error}}", "probe").run().ok().to_owned();
        wait_until("the monitor noticed", || error().starts_with(&format!("{said} ended and was started again")));
        wait_until("the port answers", || ask_tcp("127.0.0.1", port).is_ok_and(|seen| !seen.is_empty()));
        assert!(t.processes_named(process).iter().all(|process| process.pid != victim));
    }
    rpod!(t, "logs", "probe").run().says("rpod: the port forwarder ended and was started again");
    assert_eq!(rpod!(t, "inspect", "--format", "{{.State.Status}}", "probe").run().ok(), "running");
    Ok(())
}

/// From another host, over both protocols and both IP versions, the container sees that host's address.
fn client_address(t: &Sandbox, mode: &str) -> Outcome {
    let client = ClientHost::new()?;
    let port = serve(t, "tcp", &["--network", mode], "")?;
    let ask = |host: &str| client.program("busybox", ["nc", "-w", "3", host, &port.to_string()]).stdin("").run().stdout;
    assert_eq!(ask(&client.server_address()).trim(), client.address());
    assert_eq!(ask(&client.server_address6()).trim(), client.address6());
    rpod!(t, "rm", "-f", "-t", "0", "probe").run().ok();
    let port = serve(t, "udp", &["--network", mode], "")?;
    for (server, own) in [(client.server_address(), client.address()), (client.server_address6(), client.address6())] {
        let answer = until("an answer over UDP", Duration::from_secs(10), || {
            let probe = probe().to_str().unwrap();
            let out = client.program(probe, ["--probe", "ask-udp", &server, &port.to_string()]).run();
            (!out.stdout.is_empty()).then_some(out.stdout)
        });
        assert_eq!(answer.lines().next(), Some(own.as_str()));
    }
    Ok(())
}

fn random_and_ranges(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "r", "-p", "80", "-p", "127.0.0.1::81/udp", image, "sleep", "1000").run().ok();
    let out = rpod!(t, "port", "r").run();
    let port: u16 = out.ok().lines().find_map(|l| l.strip_prefix("80/tcp -> 0.0.0.0:")).unwrap().parse()?;
    assert!(port >= 1024, "{out}");
    let first = free_ports(3);
    rpod!(
        t,
        "run",
        "-d",
        "--name",
        "range",
        "-p",
        format!("127.0.0.1:{first}-{}:90-92", first + 2),
        image,
        "sleep",
        "1000"
    )
    .run()
    .ok();
    let out = rpod!(t, "port", "range").run();
    for n in 0..3 {
        out.prints(&format!("{}/tcp -> 127.0.0.1:{}", 90 + n, first + n));
    }
    // Bound to the address that was asked for and no other.
    let port = serve(t, "tcp", &[], "127.0.0.2:")?;
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    ask_tcp("127.0.0.2", port)?;
    Ok(())
}

fn half_close_and_many(t: &Sandbox) -> Outcome {
    let port = serve(t, "tcp", &[], "127.0.0.1:")?;
    let mut streams = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(stream, "number {n}")?;
        streams.push(stream);
    }
    for (n, mut stream) in streams.into_iter().enumerate() {
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert!(answer.ends_with(&format!("number {n}")), "{answer}");
    }
    // A container that is stopped ends its connections.
    let mut open = TcpStream::connect(("127.0.0.1", port))?;
    open.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut first = [0; 1];
    open.read_exact(&mut first)?;
    rpod!(t, "kill", "probe").run().ok();
    let mut rest = Vec::new();
    let _ = open.read_to_end(&mut rest);
    rpod!(t, "wait", "probe").run().ok();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "still listening after the container ended");
    Ok(())
}

/// 512 MB through the forwarder: whole, and not at a crawl.
fn bulk(t: &Sandbox, mode: &str) -> Outcome {
    let port = serve(t, "sink", &["--network", mode], "127.0.0.1:")?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let block = vec![7; 1 << 20];
    let begin = Instant::now();
    for _ in 0..512 {
        stream.write_all(&block)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert_eq!(answer.trim(), (512u64 << 20).to_string());
    let rate = 512.0 * 8.0 / 1000.0 / begin.elapsed().as_secs_f64();
    assert!(rate > 0.5, "{rate:.2} Gbit/s");
    Ok(())
}
