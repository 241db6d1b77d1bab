//! `kill -9` at random moments: afterwards nothing runs, nothing is mounted, nothing temporary lies about, and every image and
//! container either works or is reported and repaired.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Compression, FakeRegistry, Image, Outcome, Sandbox, Tarball, Trial, User, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for user in [User::Sub, User::NoSub] {
        trials.push(trial(format!("storm::pull::{user}"), user, storm_pull));
        trials.push(trial(format!("storm::run::{user}"), user, storm_run));
        trials.push(trial(format!("storm::rm::{user}"), user, storm_rm));
    }
    trials.push(trial("storm::load_and_rmi", User::Sub, storm_load));
    trials
}

/// How often each of the eight strikes.
fn strikes() -> u64 {
    let all = std::env::var("RPOD_TEST_STORM").ok().and_then(|n| n.parse().ok()).unwrap_or(60u64);
    all.div_ceil(8)
}

/// Moments that differ each time and are the same in every run: a multiplicative sequence over `span`.
pub fn moments(span: Duration) -> impl Iterator<Item = Duration> {
    let nanos = u64::try_from(span.as_nanos()).unwrap().max(1);
    (1..=strikes()).map(move |n| Duration::from_nanos(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % nanos))
}

fn kill(pid: u32) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// How long it takes undisturbed, so that the strikes fall within it.
fn duration(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

fn storm_pull(t: &Sandbox) -> Outcome {
    let noise: Vec<u8> = (0..4_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let image = Image::busybox()?.layer(Tarball::new().file("noise", 0o644, &noise).finish(), Compression::Gzip).layer(
        (0..300).fold(Tarball::new(), |tar, n| tar.file(&format!("f{n}"), 0o644, "x")).finish(),
        Compression::Zstd,
    );
    let server = FakeRegistry::of("x/y", &image).serve_honestly();
    let name = format!("{}/x/y", server.host());
    let pull = || rpod!(t, "pull", "-q", "--tls-verify=false", &name);
    let span = duration(|| drop(pull().run()));
    for moment in moments(span) {
        rpod!(t, "rmi", "-af").run().ok();
        let running = pull().spawn();
        std::thread::sleep(moment);
        kill(running.pid());
        drop(running);
        let left = t.leftovers(Duration::from_secs(5));
        assert!(left.is_empty(), "after {moment:?}: {left:?}");
    }
    // The store is right: what is listed runs, and the pull goes through.
    pull().run().ok();
    rpod!(t, "run", "--rm", "--network=none", &name, "sha256sum", "/noise")
        .run()
        .prints(&crate::support::sha256(&noise)[7..]);
    rpod!(t, "rmi", "-af").run().ok();
    assert_eq!(t.stray_files(), Vec::<std::path::PathBuf>::new());
    Ok(())
}

/// The CLI, the monitor, a helper or the program, in turn.
fn storm_run(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let run = |name: &str| rpod!(t, "run", "--name", name, image, "sh", "-c", "echo begin; sleep 0.2; echo end");
    let span = duration(|| drop(run("first").run()));
    for (n, moment) in moments(span + Duration::from_millis(50)).enumerate() {
        let name = format!("c{n}");
        let running = run(&name).spawn();
        std::thread::sleep(moment);
        let cli = running.pid();
        let others: Vec<u32> = t.processes().iter().map(|p| p.pid).filter(|pid| *pid != cli).collect();
        let victim = if n % 4 == 0 || others.is_empty() { cli } else { others[n % others.len()] };
        kill(victim);
        if victim == cli {
            drop(running);
        } else {
            running.wait();
        }
        // Whatever happened, the states are told and add up.
        let list = rpod!(t, "ps", "-a", "--format", "{{.Names}} {{.State}}").run();
        for line in list.ok().lines() {
            assert!(
                ["running", "exited", "created", "stopping"].iter().any(|state| line.ends_with(state)),
                "after {moment:?}: {list}"
            );
        }
        let left = t.leftovers(Duration::from_secs(5));
        assert!(left.is_empty(), "after {moment:?} (killed {victim}): {left:?}");
        if rpod!(t, "container", "exists", &name).run().code == Some(0) {
            rpod!(t, "start", "-a", &name).run().prints("end");
            rpod!(t, "rm", &name).run().ok();
        } else {
            run(&name).run().ok();
        }
    }
    rpod!(t, "rm", "-fa").run().ok();
    assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
    Ok(())
}

fn storm_rm(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let make = |name: &str| {
        let script = "for i in 0 1 2 3 4 5 6 7 8 9; do mkdir -p /d/$i; for j in 0 1 2 3 4 5 6 7 8 9; do : >/d/$i/$j; done; done; sleep 1000";
        rpod!(t, "run", "-d", "--name", name, "--network=none", image, "sh", "-c", script).run().ok();
    };
    make("first");
    let span = duration(|| drop(rpod!(t, "rm", "-f", "-t", "0", "first").run()));
    for moment in moments(span) {
        make("x");
        let running = rpod!(t, "rm", "-f", "-t", "0", "x").spawn();
        std::thread::sleep(moment);
        kill(running.pid());
        drop(running);
        // It is there or not; removing it again succeeds, and its name is free.
        rpod!(t, "rm", "-f", "-t", "0", "x").run().ok();
        assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "", "after {moment:?}");
        let left = t.leftovers(Duration::from_secs(5));
        assert!(left.is_empty(), "after {moment:?}: {left:?}");
    }
    Ok(())
}

fn storm_load(t: &Sandbox) -> Outcome {
    let image = Image::busybox()?;
    let archive = t.write("home/s.tar", image.docker_archive(&["localhost/s"]))?;
    let load = || rpod!(t, "load", "-q", "-i", &archive);
    let span = duration(|| drop(load().run()));
    for moment in moments(span) {
        for verb in ["load", "rmi"] {
            let running = if verb == "load" { load().spawn() } else { rpod!(t, "rmi", "-f", "localhost/s").spawn() };
            std::thread::sleep(moment);
            kill(running.pid());
            drop(running);
            if rpod!(t, "image", "exists", "localhost/s").run().code == Some(0) {
                rpod!(t, "run", "--rm", "--network=none", "localhost/s", "true").run().ok();
            }
        }
    }
    load().run().ok();
    rpod!(t, "rmi", "-af").run().ok();
    assert_eq!(t.stray_files(), Vec::<std::path::PathBuf>::new());
    Ok(())
}
