//! Names on bridge networks: links, host names, name servers of a container's own, names of addresses.

use super::bridges::{busybox, look_up, sleeper};
use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("bridge_names::link", User::Sub, link),
        trial("bridge_names::hostname", User::Sub, hostname),
        trial("bridge_names::own_servers", User::Sub, own_servers),
    ];
    trials.extend(for_each_user("bridge_names::link_follows", link_follows));
    trials
}

fn link(t: &Sandbox) -> Outcome {
    busybox(t)?;
    // Also on the default network, where names are not resolved.
    for network in ["bridge", "n1"] {
        if network == "n1" {
            rpod!(t, "network", "create", "n1").run().ok();
        }
        sleeper(t, "db", &["--network", network])?;
        sleeper(t, "web", &["--network", network, "--link", "db:database"])?;
        sleeper(t, "other", &["--network", network])?;
        let ip = rpod!(t, "inspect", "-f", "{{.NetworkSettings.IPAddress}}", "db").run().stdout.trim().to_owned();
        assert_eq!(look_up(t, "web", "database"), ip);
        assert_eq!(look_up(t, "other", "database"), "");
        rpod!(t, "exec", "web", "cat", "/etc/hosts").run().prints(&format!("{ip}\tdatabase db\n"));
        rpod!(t, "network", "create", "elsewhere").run().ok();
        rpod!(t, "run", "--rm", "--network", "elsewhere", "--link", "db", "localhost/busybox", "true")
            .run()
            .fails(125, &["cannot link to container db", "none of these networks", "network connect"]);
        rpod!(t, "network", "rm", "elsewhere").run().ok();
        rpod!(t, "stop", "-t", "0", "db").run().ok();
        rpod!(t, "restart", "-t", "0", "web").run().fails(125, &["does not run"]);
        rpod!(t, "rm", "-af", "-t", "0").run().ok();
    }
    Ok(())
}

/// What a linked container is called stays true while its addresses change.
fn link_follows(t: &Sandbox) -> Outcome {
    busybox(t)?;
    sleeper(t, "alone", &[])?;
    // Docker's default network is the one for links.
    rpod!(t, "run", "--rm", "--link", "db", "localhost/busybox", "true").run().fails(125, &["no such container"]);
    rpod!(t, "run", "--rm", "--link", "alone", "localhost/busybox", "true")
        .run()
        .fails(125, &["cannot link to container alone", "--network bridge"]);
    sleeper(t, "db", &["--network", "bridge"])?;
    sleeper(t, "web", &["--add-host", "db:192.0.2.1", "--link", "db:database"])?;
    let ip = |network: &str| {
        let format = format!("{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}");
        rpod!(t, "inspect", "-f", format, "db").run().stdout.trim().to_owned()
    };
    let known = || rpod!(t, "exec", "web", "grep", "database", "/etc/hosts").run().stdout;
    let first = ip("podman");
    assert_eq!(known(), format!("{first}\tdatabase db\n"));
    // It starts anew while somebody else has taken its address.
    rpod!(t, "stop", "-t", "0", "db").run().ok();
    sleeper(t, "other", &["--network", &format!("bridge:ip={first}")])?;
    rpod!(t, "start", "db").run().ok();
    assert_ne!(ip("podman"), first);
    assert_eq!(known(), format!("{}\tdatabase db\n", ip("podman")));
    assert_eq!(look_up(t, "web", "database"), ip("podman"));
    rpod!(t, "exec", "web", "cat", "/etc/hosts").run().prints("192.0.2.1\tdb\n");
    // It leaves the network that they have in common, and comes to another one.
    rpod!(t, "network", "create", "n1").run().ok();
    rpod!(t, "network", "connect", "n1", "web").run().ok();
    rpod!(t, "network", "connect", "n1", "db").run().ok();
    rpod!(t, "network", "disconnect", "podman", "db").run().ok();
    assert_eq!(known(), format!("{}\tdatabase db\n", ip("n1")));
    Ok(())
}

/// A host name of its own is a name on the networks too, also on those that come later; an address has all names.
fn hostname(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "n1").run().ok();
    rpod!(t, "network", "create", "n2").run().ok();
    sleeper(t, "web", &["--network", "n1", "--hostname", "webhost", "--network-alias", "www"])?;
    sleeper(t, "a", &["--network", "n1"])?;
    sleeper(t, "b", &["--network", "n2"])?;
    let ip = look_up(t, "a", "web");
    assert_eq!((look_up(t, "a", "webhost"), look_up(t, "a", "www")), (ip.clone(), ip.clone()));
    let aliases = rpod!(t, "inspect", "-f", "{{json .NetworkSettings.Networks.n1.Aliases}}", "web").run().json();
    assert_eq!(aliases.as_array().map(Vec::len), Some(3), "{aliases}");
    let names = rpod!(t, "exec", "a", "nslookup", &ip).run();
    for name in ["web", "www", "webhost"] {
        names.prints(&format!("name = {name}.dns.podman"));
    }
    rpod!(t, "network", "connect", "n2", "web").run().ok();
    assert_ne!(look_up(t, "b", "webhost"), "");
    // Named twice is named once.
    rpod!(
        t,
        "run",
        "--rm",
        "--network",
        "n1",
        "--network",
        "n1:interface_name=x0",
        "localhost/busybox",
        "ip",
        "addr",
        "show",
        "x0"
    )
    .run()
    .ok();
    Ok(())
}

/// Servers given with --dns answer what no container is called; containers keep their names.
fn own_servers(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "--subnet", "10.77.0.0/24", "n1").run().ok();
    sleeper(t, "web", &["--network", "n1"])?;
    let run = ["run", "--rm", "--dns", "192.0.2.53", "--network"];
    let out =
        t.rpod([&run[..], &["n1", "localhost/busybox", "sh", "-c", "nslookup web; cat /etc/resolv.conf"]].concat());
    let out = out.run();
    out.prints("web.dns.podman").prints("nameserver 10.77.0.1\n");
    assert!(!out.stdout.contains("192.0.2.53"), "{out}");
    // Where containers have no names, the resolver asks them itself.
    let plain = t.rpod([&run[..], &["bridge", "localhost/busybox", "cat", "/etc/resolv.conf"]].concat()).run();
    plain.lines_are(&["nameserver 192.0.2.53"]);
    Ok(())
}
