//! `--sdnotify`, `--requires` and `--log-driver passthrough`: a container among others, under a service manager.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::{Outcome, Sandbox, Stop, Trial, User, for_each_user, probe, rpod, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("service::notify", notify);
    trials.push(trial("service::notify_after_a_restart", User::Sub, notify_after_a_restart));
    trials.push(trial("service::requires", User::Sub, requires));
    trials.extend(for_each_user("service::passthrough", passthrough));
    trials
}

/// A service manager of ours, which the sandbox's user may write to.
fn manager(t: &Sandbox) -> Result<(UnixDatagram, String), Stop> {
    use std::os::unix::fs::PermissionsExt;
    let path = t.dir().join("n");
    let _ = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok((socket, path.display().to_string()))
}

fn heard(socket: &UnixDatagram) -> Result<String, Stop> {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn monitor(t: &Sandbox, name: &str) -> String {
    rpod!(t, "inspect", "--format", "{{.State.ConmonPid}}", name).run().ok().to_owned()
}

fn notify(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let (socket, path) = manager(t)?;
    let run = |name: &str, flags: &[&str], command: &[&str]| {
        let volume = format!("{}:/probe:ro", probe().display());
        let all = [&["run", "-d", "--network=none", "--name", name, "-v", &volume], flags, &[image], command].concat();
        t.rpod(all).env("NOTIFY_SOCKET", &path).run().ok();
        Ok::<_, Stop>(())
    };
    run("m", &["--sdnotify=conmon"], &["sleep", "1000"])?;
    assert_eq!(heard(&socket)?, format!("MAINPID={}\nREADY=1", monitor(t, "m")));
    rpod!(t, "exec", "m", "sh", "-c", "echo $NOTIFY_SOCKET").run().lines_are(&[""]);
    // The program says it itself, whoever it is; what is about its own processes stays inside.
    for user in ["0", "1234"] {
        let name = format!("c{user}");
        let script = "/probe --probe notify 'MAINPID=1\nREADY=1\nSTATUS=up' && exec sleep 1000";
        run(&name, &["-u", user], &["sh", "-c", script])?;
        assert_eq!(heard(&socket)?, format!("MAINPID={}", monitor(t, &name)));
        assert_eq!(heard(&socket)?, "READY=1\nSTATUS=up");
    }
    let check = ["--sdnotify=healthy", "--health-cmd=test -e /well", "--health-interval=100ms"];
    run("h", &check, &["sleep", "1000"])?;
    assert_eq!(heard(&socket)?, format!("MAINPID={}", monitor(t, "h")));
    rpod!(t, "exec", "h", "touch", "/well").run().ok();
    assert_eq!(heard(&socket)?, "READY=1");
    run("i", &["--sdnotify=ignore"], &["sh", "-c", "echo in-$NOTIFY_SOCKET"])?;
    rpod!(t, "wait", "i").run().lines_are(&["0"]);
    rpod!(t, "logs", "i").run().lines_are(&["in-"]);
    rpod!(t, "inspect", "--format", "{{.Config.sdNotifyMode}}", "i").run().lines_are(&["ignore"]);
    rpod!(t, "create", "--sdnotify=healthy", image, "true").run().fails(125, &["requires a healthcheck"]);
    rpod!(t, "create", "--sdnotify=maybe", image, "true").run().fails(125, &["invalid sdnotify value"]);
    Ok(())
}

/// Each run of the program has the socket.
fn notify_after_a_restart(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let (socket, path) = manager(t)?;
    let volume = format!("{}:/probe:ro", probe().display());
    let script = "/probe --probe notify READY=1; exit 1";
    rpod!(t, "run", "--network=none", "--restart=on-failure:1", "-v", volume, image, "sh", "-c", script)
        .env("NOTIFY_SOCKET", &path)
        .run()
        .code(1);
    assert!(heard(&socket)?.starts_with("MAINPID="));
    assert_eq!((heard(&socket)?.as_str(), heard(&socket)?.as_str()), ("READY=1", "READY=1"));
    Ok(())
}

fn requires(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let create = |name: &str, needs: &str| {
        rpod!(t, "create", "--network=none", "--name", name, "--requires", needs, image, "sleep", "1000").run().ok();
    };
    rpod!(t, "create", "--network=none", "--name", "a", image, "sleep", "1000").run().ok();
    create("b", "a");
    create("c", "a,b");
    let running = || {
        let list = rpod!(t, "ps", "--format", "{{.Names}}").run().ok().to_owned();
        let mut names: Vec<String> = list.lines().map(str::to_owned).collect();
        names.sort();
        names.concat()
    };
    rpod!(t, "start", "c").run().lines_are(&["c"]);
    assert_eq!(running(), "abc");
    rpod!(t, "stop", "-t", "0", "a", "b", "c").run().ok();
    rpod!(t, "run", "-d", "--network=none", "--name", "d", "--requires", "b", image, "sleep", "1000").run().ok();
    assert_eq!(running(), "abd");
    rpod!(t, "rm", "-f", "-t", "0", "b").run().fails(125, &["dependent containers"]);
    rpod!(t, "rm", "-f", "-t", "0", "c", "d").run().ok();
    let id = |name: &str| rpod!(t, "inspect", "--format", "{{.Id}}", name).run().ok().trim().to_owned();
    let b = id("b");
    rpod!(t, "rm", "-f", "-t", "0", "--depend", "a").run().prints(&format!("{b}\na"));
    assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
    rpod!(t, "create", "--requires", "nosuch", image, "true").run().fails(125, &["nosuch"]);
    Ok(())
}

fn passthrough(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "cat; echo err >&2; exit 4";
    let out = rpod!(t, "run", "--name", "p", "--log-driver=passthrough", image, "sh", "-c", script).stdin("in\n").run();
    out.code(4).lines_are(&["in"]).says("err");
    rpod!(t, "logs", "p").run().fails(125, &["'passthrough' log driver"]);
    // In the background it writes to where it was started.
    let file = t.home().join("out");
    let command = format!(
        "rpod run -d --log-driver=passthrough --name d {image} sh -c 'echo later; exit 3' >{} </dev/null",
        file.display()
    );
    t.script(&command).run().ok();
    rpod!(t, "wait", "d").run().lines_are(&["3"]);
    wait_until("it is written", || std::fs::read_to_string(&file).is_ok_and(|text| text.contains("later\n")));
    rpod!(t, "create", "-t", "--log-driver=passthrough", image, "true").run().fails(125, &["--tty"]);
    let mut pty = rpod!(t, "create", "--log-driver=passthrough", image, "true").pty(24, 80);
    pty.expect("cannot be used on a TTY");
    assert_eq!(pty.finish(), 125);
    Ok(())
}
