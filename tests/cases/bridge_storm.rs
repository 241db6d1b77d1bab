//! `kill -9` of the netkeeper, its uplink and monitors, in bursts, while twenty containers are on a bridge: those that live
//! go on and find each other again, those whose monitor was killed are started by the next command.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bridges::{KEEPER, busybox, kill};
use super::storm;
use crate::support::{Outcome, Sandbox, Stop, Trial, for_each_user, rpod, until};

pub fn trials() -> Vec<Trial> {
    for_each_user("bridge_storm::killed", killed)
}

const CONTAINERS: usize = 20;

/// How many strikes there are before the containers are looked at: more than a netkeeper that ends at once would be forgiven.
const BURST: usize = 8;

/// A machine that starts twenty containers anew while other trials run.
const PATIENCE: Duration = Duration::from_secs(120);

fn killed(t: &Sandbox) -> Outcome {
    busybox(t)?;
    rpod!(t, "network", "create", "n").run().ok();
    let names: Vec<String> = (0..CONTAINERS).map(|number| format!("c{number}")).collect();
    let program = ["sh", "-c", "hostname >/name; exec busybox nc -ll -p 700 -e cat /name"];
    for name in &names {
        let options = ["run", "-d", "--name", name, "--hostname", name, "--network", "n", "localhost/busybox"];
        t.rpod([&options[..], &program].concat()).run().ok();
    }
    let mut started = told(t, &names, "{{.State.Pid}}");
    let strikes: Vec<Duration> = storm::moments(Duration::from_millis(300)).collect();
    for (round, burst) in strikes.chunks(BURST).enumerate() {
        let mut victims = BTreeSet::new();
        for (number, moment) in burst.iter().enumerate() {
            std::thread::sleep(*moment);
            victims.extend(strike(t, round * BURST + number, &names)?);
        }
        for name in &victims {
            until("its container has ended and starts again", PATIENCE, || {
                (rpod!(t, "start", name).run().code == Some(0)).then_some(())
            });
        }
        let last = names.last().into_iter().chain(&names);
        for (from, to) in last.zip(&names) {
            let script = format!("busybox nc -w 3 {to} 700 </dev/null");
            let ask = || rpod!(t, "exec", from, "sh", "-c", &script).run().stdout;
            until(&format!("{from} hears {to}"), PATIENCE, || (ask().trim() == to).then_some(()));
        }
        let addresses = told(t, &names, "{{.NetworkSettings.Networks.n.IPAddress}}");
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), names.len(), "two have one address: {addresses:?}");
        let now = told(t, &names, "{{.State.Pid}}");
        for ((name, before), now) in names.iter().zip(&started).zip(&now) {
            assert_eq!(before == now, !victims.contains(name), "{name} went on if its monitor did: {before} {now}");
        }
        started = now;
        assert_eq!(t.processes_named(KEEPER).len(), 1);
    }
    rpod!(t, "rm", "-af", "-t", "0").run().ok();
    until("nothing is left", PATIENCE, || t.processes().is_empty().then_some(()));
    Ok(())
}

/// Kills something; answers the container whose monitor it was.
fn strike(t: &Sandbox, number: usize, names: &[String]) -> Result<Option<String>, Stop> {
    let of = |name: &str| t.processes_named(name).into_iter().map(|process| process.pid);
    match number % 4 {
        0 => of(KEEPER).for_each(kill),
        1 => of("slirp4netns").for_each(kill),
        2 => of(KEEPER).chain(of("slirp4netns")).for_each(kill),
        _ => {
            let name = &names[number * 7 % names.len()];
            let monitor = rpod!(t, "inspect", "-f", "{{.State.ConmonPid}}", name).run();
            match monitor.ok().trim().parse()? {
                0 => {}
                pid => kill(pid),
            }
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

fn told(t: &Sandbox, names: &[String], what: &str) -> Vec<String> {
    let words = ["inspect", "-f", what].map(str::to_owned);
    t.rpod([&words[..], names].concat()).run().ok().lines().map(str::to_owned).collect()
}
