//! `--preserve-fds`, `--preserve-fd`, and the sockets of a service manager. What is open beside them stays outside.

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("preserved::run", run);
    trials.extend(for_each_user("preserved::exec", exec));
    trials.push(trial("preserved::refused", User::Sub, refused));
    trials.push(trial("preserved::sockets", User::Sub, sockets));
    trials
}

/// Descriptors 3 to 6 lead to files of these numbers, 9 to the root directory of the host.
const OPEN: &str = "for n in 3 4 5 6; do echo $n >$n; done; exec 3<3 4<4 5<5 6<6 9</; ";

/// What is open, beside the directory that is being listed.
const SHOW: &str = "cd /proc/self/fd && for n in [0-9]*; do [ -e $n ] && echo $n; done; ";

fn run(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let run = |flags: &str, script: &str| {
        t.script(&format!("{OPEN} exec rpod run --rm --network none {flags} {image} sh -c '{script}'")).run()
    };
    run("--preserve-fds 2", &format!("{SHOW} cat <&3 <&4; read x <&3; echo $x"))
        .lines_are(&["0", "1", "2", "3", "4", "4", "3"]);
    run("--preserve-fd 5", &format!("{SHOW} cat <&5")).lines_are(&["0", "1", "2", "5", "5"]);
    run("--preserve-fd 6,3 --preserve-fd 4", SHOW).lines_are(&["0", "1", "2", "3", "4", "6"]);
    run("--preserve-fds 0", SHOW).lines_are(&["0", "1", "2"]);
    run("--init --preserve-fds 1", &format!("{SHOW} cat <&3; ls /proc/1/fd | wc -l"))
        .lines_are(&["0", "1", "2", "3", "3", "0"]);
    run("--preserve-fds 4 --user 5", "cat <&6").lines_are(&["6"]);
    // Written to, and closed with the program.
    t.script(&format!("rpod run --rm --network none --preserve-fds 1 {image} sh -c 'echo out >&3' 3>file; cat file"))
        .run()
        .lines_are(&["out"]);
    // A directory that was given is no way in by itself, and one that was not given is none at all (CVE-2024-21626).
    run("--preserve-fd 9 -w /proc/self/fd/9", "pwd").fails(126, &["/proc/self/fd/9"]);
    run("-w /proc/self/fd/9", "pwd").fails(126, &["/proc/self/fd/9"]);
    // In the background, with a terminal, and again at a restart by the monitor.
    t.script(&format!(
        "{OPEN} rpod run -d --name d --network none --preserve-fds 1 {image} sh -c 'cat <&3; exec sleep 1000'"
    ))
    .run()
    .ok();
    crate::support::wait_until("the log", || rpod!(t, "logs", "d").run().stdout == "3\n");
    rpod!(t, "rm", "-f", "-t", "0", "d").run().ok();
    Ok(())
}

fn exec(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "-d", "--name", "c", "--network", "none", image, "sleep", "1000").run().ok();
    let exec = |flags: &str, script: &str| t.script(&format!("{OPEN} exec rpod exec {flags} c sh -c '{script}'")).run();
    exec("--preserve-fds 2", &format!("{SHOW} cat <&4")).lines_are(&["0", "1", "2", "3", "4", "4"]);
    exec("--preserve-fd 6", &format!("{SHOW} cat <&6")).lines_are(&["0", "1", "2", "6", "6"]);
    exec("", SHOW).lines_are(&["0", "1", "2"]);
    exec("-d --preserve-fds 1", "cat <&3 >/made").ok();
    crate::support::wait_until("the file", || rpod!(t, "exec", "c", "cat", "/made").run().stdout == "3\n");
    for (flags, says) in [
        ("--preserve-fds 5", "file descriptor 7 is not available - the preserve-fds option"),
        ("--preserve-fd 77", "file descriptor 77 is not available - the preserve-fd option"),
        ("--preserve-fd 4 --preserve-fds 1", "cannot specify both --preserve-fds and --preserve-fd"),
    ] {
        exec(flags, "true").fails(125, &[says]);
    }
    Ok(())
}

fn refused(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let run = |flags: &str| t.script(&format!("{OPEN} exec rpod run --rm --network none {flags} {image} true")).run();
    run("--preserve-fds 5").fails(125, &["file descriptor 7 is not available - the preserve-fds option"]);
    run("--preserve-fds 4000000000").fails(125, &["file descriptor 7 is not available"]);
    run("--preserve-fd 77").fails(125, &["file descriptor 77 is not available - the preserve-fd option"]);
    run("--preserve-fd 4000000000").fails(125, &["file descriptor 4000000000 is not available"]);
    run("--preserve-fd 1").fails(126, &["cannot preserve FD 1, consider using the passthrough log-driver"]);
    run("--preserve-fd x").fails(125, &["invalid argument \"x\" for \"--preserve-fd\" flag"]);
    run("--preserve-fd 4 --preserve-fds 1").fails(125, &["cannot specify both"]);
    // A file that rpod has open itself is not the caller's to give.
    for number in 7..24 {
        let script = format!("exec rpod run --rm --network none --preserve-fd {number} {image} true {number}<&-");
        t.script(&script).run().fails(125, &["is not available"]);
    }
    rpod!(t, "create", "--preserve-fds", "1", image, "true").run().code(125);
    Ok(())
}

/// sd_listen_fds(3): the sockets are for the process that the manager started, and its program is process 1.
fn sockets(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let show = format!("{SHOW} echo $LISTEN_PID $LISTEN_FDS $LISTEN_FDNAMES");
    let run = |environment: &str, flags: &str| {
        let script =
            format!("{OPEN} export {environment}; exec rpod run --rm --network none {flags} {image} sh -c '{show}'");
        t.script(&script).run()
    };
    let listening = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=a:b";
    run(listening, "").lines_are(&["0", "1", "2", "3", "4", "1 2 a:b"]);
    run(listening, "--preserve-fds 1").lines_are(&["0", "1", "2", "3", "4", "5", "1 2 a:b"]);
    run("LISTEN_PID=1 LISTEN_FDS=2", "").lines_are(&["0", "1", "2", ""]);
    run("LISTEN_PID=$$ LISTEN_FDS=9", "").fails(125, &["file descriptor 7 is not available"]);
    Ok(())
}
