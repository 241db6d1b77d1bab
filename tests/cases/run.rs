//! `rpod run`: what the program in the container sees, option by option, and what bad input gets.

use rustix::process::Signal;

use crate::support::{Image, Need, Outcome, Sandbox, Trial, User, for_each_user, need, rpod, trial, wait_until};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(for_each_user("run::hello_needs_nothing", |t| {
        let out = rpod!(t, "run", "--rm", "builtin:hello").run();
        assert!(!out.ok().is_empty(), "{out}");
        Ok(())
    }));
    trials.extend(for_each_user("run::exit_codes", |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "--rm", image, "true").run().code(0);
        rpod!(t, "run", "--rm", image, "sh", "-c", "exit 7").run().code(7);
        // Pid 1 cannot kill itself; under --init the program is another.
        rpod!(t, "run", "--rm", "--init", image, "sh", "-c", "kill -9 $$").run().code(137);
        rpod!(t, "run", "--rm", image, "nosuch").run().fails(127, &["nosuch"]);
        rpod!(t, "run", "--rm", image, "/bin/nosuch").run().fails(127, &["/bin/nosuch"]);
        rpod!(t, "run", "--rm", image, "/etc/passwd").run().fails(126, &["/etc/passwd"]);
        rpod!(t, "run", "--rm", image, "/etc").run().fails(126, &["/etc"]);
        rpod!(t, "run", "--rm", "--pull=never", "localhost/nosuch", "true").run().fails(125, &["localhost/nosuch"]);
        rpod!(t, "run", "--rm", "--no-such-flag", image, "true").run().fails(125, &["--no-such-flag"]);
        Ok(())
    }));
    trials.extend(for_each_user("run::streams_stay_apart", |t| {
        let image = t.busybox()?;
        let out = rpod!(t, "run", "--rm", image, "sh", "-c", "echo out; echo err >&2").run();
        assert_eq!(out.stdout, "out\n");
        // Whoever has no range is told so, in one line.
        let told = out.stderr.strip_suffix("err\n").expect("the program's own line comes last");
        match t.user() {
            User::NoSub => assert!(told.contains("one user and group id") && told.lines().count() == 1, "{told}"),
            _ => assert_eq!(told, ""),
        }
        Ok(())
    }));
    trials.push(trial("run::killed_client", User::Sub, killed_client));
    trials.push(trial("run::inside_another_container", User::Sub, inside_another_container));
    trials.push(trial("run::hidden_processes", User::Sub, hidden_processes));
    trials.extend(for_each_user("run::stdin", |t| {
        let image = t.busybox()?;
        let big = vec![b'x'; 3_000_000];
        let out = rpod!(t, "run", "--rm", "-i", image, "wc", "-c").stdin(big).run();
        assert_eq!(out.ok(), "3000000");
        // Without -i the program reads nothing.
        assert_eq!(rpod!(t, "run", "--rm", image, "wc", "-c").stdin("unseen").run().ok(), "0");
        Ok(())
    }));
    trials.push(trial("run::binary_output", User::Sub, |t| {
        let image = t.busybox()?;
        let out = rpod!(t, "run", "--rm", image, "dd", "if=/dev/zero", "bs=1M", "count=20").run();
        out.ok();
        assert!(out.stdout_bytes.len() == 20 << 20 && out.stdout_bytes.iter().all(|byte| *byte == 0));
        Ok(())
    }));
    trials.push(trial("run::environment", User::Sub, environment));
    trials.push(trial("run::env_file", User::Sub, env_file));
    trials.extend(for_each_user("run::user", user));
    trials.push(trial("run::workdir", User::Sub, |t| {
        let image = t.busybox()?;
        assert_eq!(rpod!(t, "run", "--rm", "-w", "/var/www", image, "pwd").run().ok(), "/var/www");
        assert_eq!(rpod!(t, "run", "--rm", "--workdir=/etc", image, "pwd").run().ok(), "/etc");
        rpod!(t, "run", "--rm", "-w", "/nosuch", image, "pwd").run().fails(126, &["/nosuch"]);
        rpod!(t, "run", "--rm", "-w", "relative", image, "pwd").run().code(126);
        Ok(())
    }));
    trials.push(trial("run::entrypoint", User::Sub, |t| {
        let image = t.busybox()?;
        assert_eq!(rpod!(t, "run", "--rm", "--entrypoint", "id", image, "-u").run().ok(), "0");
        let json = r#"["sh","-c","echo x-$0"]"#;
        assert_eq!(rpod!(t, "run", "--rm", "--entrypoint", json, image, "y").run().ok(), "x-y");
        Ok(())
    }));
    trials.push(trial("run::image_config", User::Sub, image_config));
    trials.extend(for_each_user("run::hostname", |t| {
        let image = t.busybox()?;
        let show = "hostname; cat /etc/hostname; echo $HOSTNAME; grep -c web1 /etc/hosts";
        rpod!(t, "run", "--rm", "-h", "web1", image, "sh", "-c", show).run().lines_are(&["web1", "web1", "web1", "1"]);
        let name = rpod!(t, "run", "--rm", image, "hostname").run().ok().to_owned();
        assert!(name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
        rpod!(t, "run", "--rm", "-h", "a b", image, "true").run().code(125);
        Ok(())
    }));
    trials.push(trial("run::names", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "--name", "one", image, "true").run().ok();
        rpod!(t, "run", "--name", "one", image, "true").run().fails(125, &["one", "already in use"]);
        rpod!(t, "run", "--name", "a b", image, "true").run().fails(125, &["name"]);
        rpod!(t, "run", "--name", "../x", image, "true").run().code(125);
        let names = rpod!(t, "ps", "-a", "--format", "{{.Names}}").run();
        names.lines_are(&["one"]);
        // Made up where none is given, and never twice.
        rpod!(t, "run", image, "true").run().ok();
        let all = rpod!(t, "ps", "-aq").run();
        assert_eq!(all.ok().lines().count(), 2, "{all}");
        Ok(())
    }));
    trials.push(trial("run::rm_leaves_nothing", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "--rm", "--name", "gone", image, "false").run().code(1);
        assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
        rpod!(t, "run", "--rm", "--name", "gone", image, "true").run().ok();
        Ok(())
    }));
    trials.push(trial("run::cidfile", User::Sub, |t| {
        let image = t.busybox()?;
        let file = t.dir().join("home/cid");
        let id = rpod!(t, "run", "-d", "--cidfile", &file, image, "true").run().ok().to_owned();
        assert_eq!(std::fs::read_to_string(&file)?.trim(), id);
        rpod!(t, "run", "--cidfile", &file, image, "true").run().fails(125, &["cid"]);
        Ok(())
    }));
    trials.push(trial("run::init", User::Sub, |t| {
        let image = t.busybox()?;
        // Pid 1 is a reaper: an orphan that ends does not stay a zombie, and signals reach the program.
        let script =
            "test $$ != 1 && (sleep 0.1 & true) && sleep 0.5 && grep -l 'State:.Z' /proc/[0-9]*/status; echo end";
        assert_eq!(rpod!(t, "run", "--rm", "--init", image, "sh", "-c", script).run().ok(), "end");
        rpod!(t, "run", "--rm", "--init", image, "sh", "-c", "exit 5").run().code(5);
        rpod!(t, "run", "--rm", "--init", image, "nosuch").run().code(127);
        let out = rpod!(t, "run", "--rm", image, "sh", "-c", "echo $$").run();
        assert_eq!(out.ok(), "1");
        Ok(())
    }));
    trials.push(trial("run::pull_policy", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "--rm", "--pull=never", image, "true").run().ok();
        rpod!(t, "run", "--rm", "--pull=missing", image, "true").run().ok();
        rpod!(t, "run", "--rm", "--pull=sometimes", image, "true").run().fails(125, &["sometimes"]);
        Ok(())
    }));
    trials.push(trial("run::impossible_combinations", User::Sub, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "--rm", "--restart=always", image, "true").run().code(125);
        rpod!(t, "run").run().code(125);
        rpod!(t, "run", "--rm", "docker.io/UPPER/case", "true").run().fails(125, &["UPPER"]);
        rpod!(t, "run", "--rm", "--ulimit", "bogus=1", image, "true").run().fails(125, &["bogus"]);
        rpod!(t, "run", "--rm", "--log-driver", "bogus", image, "true").run().fails(125, &["bogus"]);
        rpod!(t, "run", "--rm", "--stop-signal", "NOSIG", image, "true").run().fails(125, &["NOSIG"]);
        rpod!(t, "run", "--rm", "--device", "/dev/nosuch", image, "true").run().fails(125, &["/dev/nosuch"]);
        rpod!(t, "run", "--rm", "--platform", "nonsense/x/y/z", image, "true").run().code(125);
        Ok(())
    }));
    trials.extend(for_each_user("run::rootfs", rootfs));
    trials.extend(for_each_user("run::crun", crun));
    trials.push(trial("run::unknown_helpers_of_choice", User::Sub, |t| {
        let image = t.busybox()?;
        for (option, value, words) in [
            ("--runtime", "nosuchruntime", "choose rpod"),
            ("--runtime", "/nosuch/crun", "install"),
            ("--storage-driver", "nosuchdriver", "choose one of"),
        ] {
            rpod!(t, option, value, "run", "--rm", image, "true").run().fails(125, &[value, words]);
            // Also where it does not matter.
            rpod!(t, option, value, "ps").run().fails(125, &[value, words]);
        }
        rpod!(t, "--runtime", "rpod", "run", "--rm", "--network=none", image, "true").run().ok();
        Ok(())
    }));
    trials.push(trial("run::as_root", User::Root, |t| {
        let image = t.busybox()?;
        rpod!(t, "run", "--rm", image, "id", "-u").run().lines_are(&["0"]);
        rpod!(t, "run", "--rm", "--network", "none", "-u", "alice", image, "cat", "/home/alice/note")
            .run()
            .lines_are(&["hers"]);
        Ok(())
    }));
    trials
}

/// The life of a container that another runtime made.
fn crun(t: &Sandbox) -> Outcome {
    need([Need::Crun])?;
    let image = t.busybox()?;
    let show = "echo in; hostname; id -u; cat /proc/1/comm; exit 4";
    let out = rpod!(t, "--runtime", "crun", "run", "--rm", "-h", "box", "--network", "none", image, "sh", "-c", show);
    out.run().code(4).lines_are(&["in", "box", "0", "sh"]);
    rpod!(t, "--runtime", "crun", "run", "--rm", image, "nosuch").run().fails(127, &["nosuch"]);
    rpod!(t, "--runtime", "crun", "run", "--rm", "--init", image, "true").run().fails(125, &["--init"]);
    rpod!(t, "--runtime", "crun", "run", "--rm", "--memory=64m", image, "true").run().code(0).says("limits");
    let mut pty =
        rpod!(t, "--runtime=crun", "run", "--rm", "-it", image, "sh", "-c", "test -t 0 && stty size").pty(30, 90);
    pty.expect("30 90");
    assert_eq!(pty.finish(), 0);

    rpod!(t, "--runtime=crun", "run", "-d", "--name", "c", image, "sleep", "1000").run().ok();
    assert!(rpod!(t, "inspect", "-f", "{{.OCIRuntime}}", "c").run().ok().ends_with("/crun"));
    rpod!(t, "exec", "c", "cat", "/proc/1/comm").run().lines_are(&["sleep"]);
    // The container keeps its runtime.
    rpod!(t, "stop", "-t", "0", "c").run().ok();
    assert_eq!(rpod!(t, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "c").run().ok(), "exited 137");
    rpod!(t, "start", "c").run().ok();
    rpod!(t, "exec", "c", "cat", "/proc/1/comm").run().lines_are(&["sleep"]);
    rpod!(t, "rm", "-f", "c").run().ok();
    Ok(())
}

fn environment(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let out = rpod!(
        t,
        "run",
        "--rm",
        "-e",
        "A=1",
        "--env",
        "B=two words",
        "-e",
        "FROM_HOST",
        "-e",
        "NOT_SET_HERE",
        image,
        "env"
    )
    .env("FROM_HOST", "yes")
    .env("SECRET", "host only")
    .run();
    for line in ["A=1", "B=two words", "FROM_HOST=yes", "HOME=/root"] {
        assert!(out.ok().lines().any(|have| have == line), "no {line}\n{out}");
    }
    assert!(!out.stdout.contains("SECRET") && !out.stdout.contains("NOT_SET_HERE"), "{out}");
    assert!(!out.stdout.contains("TERM="), "TERM comes only with a terminal\n{out}");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert!(out.stdout.lines().any(|line| line == path), "{out}");
    // The last one counts, and the image's can be replaced.
    let out =
        rpod!(t, "run", "--rm", "-e", "A=1", "-e", "A=2", "-e", "PATH=/bin", image, "sh", "-c", "echo $A $PATH").run();
    assert_eq!(out.ok(), "2 /bin");
    Ok(())
}

fn env_file(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let file = t.write("home/env", "# comment\n\nONE=1\nTWO=a b=c\n  THREE=3\nFROM_HOST\n")?;
    let show = "echo \"$ONE|$TWO|$THREE|$FROM_HOST\"";
    let out = rpod!(t, "run", "--rm", "--env-file", &file, "-e", "ONE=over", image, "sh", "-c", show)
        .env("FROM_HOST", "h")
        .run();
    assert_eq!(out.ok(), "over|a b=c|3|h");
    rpod!(t, "run", "--rm", "--env-file", "/nosuch", image, "true").run().fails(125, &["/nosuch"]);
    Ok(())
}

fn user(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let id = |option: &str| rpod!(t, "run", "--rm", "-u", option, image, "sh", "-c", "id -u; id -g; echo $HOME").run();
    id("root").lines_are(&["0", "0", "/root"]);
    if t.user() == User::NoSub {
        // One id is mapped: it can be anybody's.
        id("alice").lines_are(&["1000", "1000", "/home/alice"]);
        id("1234:5").lines_are(&["1234", "5", "/"]);
        return Ok(());
    }
    id("alice").lines_are(&["1000", "1000", "/home/alice"]);
    id("alice:audio").lines_are(&["1000", "29", "/home/alice"]);
    id("1000").lines_are(&["1000", "1000", "/home/alice"]);
    id("1234:5").lines_are(&["1234", "5", "/"]);
    id("nobodyhere").fails(126, &["nobodyhere"]);
    // Groups: the image's own, those asked for, and none of the host's.
    let groups = |args: &[&str]| {
        let all = [&["run", "--rm"], args, &[image, "id", "-G"]].concat();
        let mut ids: Vec<u32> = t.rpod(all).run().ok().split_whitespace().map(|id| id.parse().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(groups(&["-u", "alice"]), [29, 1000]);
    assert_eq!(groups(&["-u", "alice", "--group-add", "77"]), [29, 77, 1000]);
    assert_eq!(groups(&["--group-add", "video"]), [0, 44]);
    // Files keep their owners.
    rpod!(t, "run", "--rm", "-u", "alice", image, "cat", "/home/alice/note").run().lines_are(&["hers"]);
    rpod!(t, "run", "--rm", "-u", "1001", image, "cat", "/home/alice/note").run().code(1);
    Ok(())
}

fn image_config(t: &Sandbox) -> Outcome {
    use serde_json::json;
    let image = Image::busybox()?
        .config("Entrypoint", json!(["sh", "-c"]))
        .config("Cmd", json!(["echo $X in $PWD as $(id -u) on $HOSTNAME"]))
        .config("Env", json!(["PATH=/bin", "X=from-image"]))
        .config("WorkingDir", json!("/work/made"))
        .config("User", json!(if t.user() == User::Sub { "alice" } else { "" }))
        .config("Hostname", json!("ignored"));
    let archive = t.write("home/i.tar", image.docker_archive(&["localhost/config:1"]))?;
    rpod!(t, "load", "-i", &archive).run().ok();
    rpod!(t, "run", "--rm", "-h", "h", "localhost/config:1")
        .run()
        .lines_are(&["from-image in /work/made as 1000 on h"]);
    rpod!(t, "run", "--rm", "-u", "0", "localhost/config:1", "echo $0 other").run().lines_are(&["sh other"]);
    // --entrypoint drops the image's command too.
    rpod!(t, "run", "--rm", "--entrypoint", "pwd", "localhost/config:1").run().lines_are(&["/work/made"]);
    Ok(())
}

fn rootfs(t: &Sandbox) -> Outcome {
    let root = t.mkdir("home/root")?;
    let tar = &Image::busybox()?.layers[0].tar;
    t.write("home/root.tar", tar)?;
    t.script("tar -C root -xf root.tar --no-same-owner").run().ok();
    let directory = root.to_str().unwrap();
    rpod!(t, "run", "--rm", "--rootfs", directory, "sh", "-c", "echo made >/file; pwd").run().lines_are(&["/"]);
    assert_eq!(std::fs::read_to_string(root.join("file"))?, "made\n");
    // :O leaves the directory as it is.
    rpod!(t, "run", "--rm", "--rootfs", format!("{directory}:O"), "sh", "-c", "rm /file; echo >/other; ls /file")
        .run()
        .code(1);
    assert!(root.join("file").exists() && !root.join("other").exists());
    rpod!(t, "run", "--rm", "--rootfs", "/nosuch", "true").run().fails(125, &["/nosuch"]);
    Ok(())
}

/// Its input ends with it, also when it has not given any yet; a terminal's does not.
fn killed_client(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let list = || rpod!(t, "ps", "--format", "{{.Names}}").run().ok().to_owned();
    rpod!(t, "create", "--name", "made", "-i", image, "cat").run().ok();
    for words in [&["run", "-i", "--rm", "--name", "ran", image, "cat"][..], &["start", "-ai", "made"]] {
        let client = t.rpod(words.iter().copied()).spawn();
        wait_until("it runs", || !list().is_empty());
        client.signal(Signal::KILL);
        wait_until("its input has ended", || list().is_empty());
    }
    let terminal = rpod!(t, "run", "-it", "--name", "t", image, "sh").pty(24, 80);
    wait_until("it runs", || list() == "t");
    terminal.signal(Signal::KILL);
    let mut again = rpod!(t, "attach", "t").pty(24, 80);
    again.send("echo still $((40+2)); exit\n");
    again.expect("still 42");
    wait_until("it has ended", || list().is_empty());
    Ok(())
}

/// hidepid=2, as login hosts mount /proc (proc(5)): a process that has changed its ids cannot be looked at.
fn hidden_processes(t: &Sandbox) -> Outcome {
    if !crate::support::is_root() {
        return crate::support::skip("needs root, to mount another /proc");
    }
    let image = t.busybox()?;
    let script = format!(
        "mount -t proc -o hidepid=2 proc /proc; exec {} bash -ec '
         for i in 1 2 3 4 5 6 7 8 9 10 11 12; do rpod run --rm {image} true; done
         rpod run -d --name c -u 1000 {image} sleep 1000 >/dev/null; rpod ps --format \"{{{{.Names}}}} {{{{.State}}}}\"
         rpod exec c id -u; rpod top c pid | wc -l; rpod stop -t 0 c; rpod start c; rpod rm -f -t 0 c'",
        t.become_user()
    );
    let out = t.program_as_root("unshare", ["--mount", "bash", "-c", &script]).run();
    out.lines_are(&["c running", "1000", "2", "c", "c", "c"]);
    Ok(())
}

/// What the outer one does not allow is said, and does not keep the program from running.
fn inside_another_container(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let volume = format!("{}:/usr/bin/rpod:ro", t.binary().display());
    for more in [&[][..], &["--security-opt=seccomp=unconfined"], &["--cap-add=SYS_ADMIN"], &["--privileged"]] {
        let outer = [&["run", "--rm", "-v", &volume], more, &[image]].concat();
        let inner = ["rpod", "run", "--rm", "--network=none", "builtin:hello"];
        let out = t.rpod([&outer[..], &inner].concat()).run();
        out.prints("Hello");
        if !more.contains(&"--privileged") {
            out.says("Warning: cannot set the sysctl net/ipv4/ping_group_range: Read-only file system");
        }
    }
    // Warnings of a start with a terminal are no less true.
    let mut shown = rpod!(t, "run", "--rm", "-t", "--oom-score-adj=-900", image, "echo", "ran").pty(24, 100);
    shown.expect("ran");
    assert!(shown.text().contains("--oom-score-adj"), "{}", shown.text());
    Ok(())
}
