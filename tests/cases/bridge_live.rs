//! Networks of running containers change: what is published stays reachable, by the addresses that there are.

use super::bridges::{busybox, sleeper};
use crate::support::{Outcome, Sandbox, Trial, for_each_user, free_port, rpod, wait_until};

pub fn trials() -> Vec<Trial> {
    for_each_user("bridge_live::ports", ports)
}

fn ports(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "na").run().ok();
    rpod!(t, "network", "create", "nb").run().ok();
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:80");
    let run = ["run", "-d", "--name", "web", "--network", "na", "-p", &publish, "localhost/busybox"];
    t.rpod([&run[..], &["nc", "-ll", "-p", "80", "-e", "echo", "hi"]].concat()).run().ok();
    sleeper(t, "none", &["--network", "none"])?;
    let answers = || {
        use std::io::Read;
        let mut said = String::new();
        let stream = std::net::TcpStream::connect(("127.0.0.1", port));
        stream.is_ok_and(|mut stream| stream.read_to_string(&mut said).is_ok()) && said == "hi\n"
    };
    wait_until("it answers", answers);
    for change in [
        "network connect nb web",
        "network disconnect na web",
        "network connect na web",
        "network disconnect nb web",
        "network disconnect na web",
        "network connect nb web",
        "network connect na web",
        "network reload web",
    ] {
        t.rpod(change.split(' ')).run().ok();
        let networks = rpod!(t, "inspect", "-f", "{{len .NetworkSettings.Networks}}", "web").run();
        if networks.ok().trim() != "0" {
            wait_until(&format!("it answers after {change}"), answers);
        }
    }
    let format = "{{range .Containers}}{{.Name}} {{range .Interfaces}}{{.MacAddress}}{{end}}{{end}}";
    rpod!(t, "network", "inspect", "-f", format, "na").run().prints("web 02:");
    // Only what is on a network now is connected anew.
    let id = rpod!(t, "inspect", "-f", "{{.Id}}", "web").run().ok().trim().to_owned();
    rpod!(t, "network", "reload", "-a").run().lines_are(&[&id]);
    Ok(())
}
