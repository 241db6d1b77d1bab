//! Flags of `run` about what the program finds around it: accounts, name files, time zone, process 1, streams.

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = for_each_user("surroundings::names_and_zone", names_and_zone);
    trials.extend(for_each_user("surroundings::umask", umask));
    trials.push(trial("surroundings::accounts", User::Sub, accounts));
    trials.push(trial("surroundings::streams", User::Sub, streams));
    trials.push(trial("surroundings::init_pidfile_and_image", User::Sub, init_pidfile_and_image));
    trials.push(trial("surroundings::keep_groups", User::Sub, |t| {
        let image = t.busybox()?;
        // The group that the test user has outside shows as nobody's inside, and is there.
        let script = format!(
            "setpriv --reuid {} --regid {} --groups 12345 -- rpod run --rm --group-add keep-groups {image} grep Groups /proc/self/status",
            t.uid(),
            t.uid()
        );
        if !crate::support::is_root() {
            return crate::support::skip("needs root, to give the user a group");
        }
        let out = t.program_as_root("/bin/bash", ["-c", &script]).run();
        assert_eq!(out.ok().split_whitespace().collect::<Vec<_>>(), ["Groups:", "65534"], "{out}");
        rpod!(t, "run", "--rm", "--group-add", "keep-groups,audio", image, "true")
            .run()
            .fails(125, &["the '--group-add keep-groups' option is not allowed with any other --group-add options"]);
        Ok(())
    }));
    trials
}

fn names_and_zone(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    rpod!(t, "run", "--rm", "--tz", "UTC", image, "date", "+%Z").run().lines_are(&["UTC"]);
    if std::path::Path::new("/usr/share/zoneinfo/Europe/Berlin").exists() {
        let zone =
            rpod!(t, "run", "--rm", "--tz", "Europe/Berlin", image, "date", "-d", "2026-01-01 12:00", "+%Z").run();
        zone.lines_are(&["CET"]);
    }
    rpod!(t, "run", "--rm", "--tz", "../../../etc/passwd", image, "true").run().fails(125, &["unknown time zone"]);
    rpod!(t, "run", "--rm", "--tz", "Nosuch/Zone", image, "true").run().fails(125, &["unknown time zone Nosuch/Zone"]);
    rpod!(t, "run", "--rm", "--no-hostname", image, "ls", "/etc/hostname").run().fails(1, &["No such file"]);
    let hosts = t.home().join("hosts");
    std::fs::write(&hosts, "10.9.8.7 mine\n")?;
    let show =
        |from: &str| rpod!(t, "run", "--rm", "--hosts-file", from, image, "cat", "/etc/hosts").run().ok().to_owned();
    assert!(show(hosts.to_str().unwrap()).contains("10.9.8.7 mine"), "{}", show(hosts.to_str().unwrap()));
    assert!(show("none").contains("localhost") && !show("none").contains("10.9.8.7"));
    rpod!(t, "run", "--rm", "--hosts-file", "/nosuch", image, "true").run().fails(125, &["open /nosuch"]);
    let copied = rpod!(t, "run", "--rm", "--chrootdirs", "/var/www", image, "cat", "/var/www/etc/hosts").run();
    copied.prints("localhost");
    rpod!(t, "run", "--rm", "--chrootdirs", "var", image, "true").run().fails(125, &["not an absolute path"]);
    rpod!(
        t,
        "run",
        "--rm",
        "--env-merge",
        "A=x-${PATH}-y",
        "--env-merge",
        "B=${NOPE}z",
        image,
        "sh",
        "-c",
        "echo $A $B"
    )
    .run()
    .lines_are(&["x-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin-y z"]);
    // A shell would make itself a PATH.
    let bare = rpod!(t, "run", "--rm", "--unsetenv-all", "-e", "A=1", image, "/bin/env").run();
    assert!(bare.ok().lines().any(|line| line == "A=1") && !bare.stdout.contains("PATH="), "{bare}");
    Ok(())
}

fn accounts(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let run = |args: &[&str], script: &str| {
        let all = [&["run", "--rm"], args, &[image, "sh", "-c", script]].concat();
        t.rpod(all).run().ok().to_owned()
    };
    assert_eq!(run(&["-u", "77"], "tail -n 1 /etc/passwd; whoami"), "77:*:77:0:container user:/:/bin/sh\n77");
    assert_eq!(run(&["-u", "77:88"], "tail -n 1 /etc/group"), "88:x:88:77");
    // Of the host's users the names are known; a number without a group stands for a group as well.
    assert_eq!(run(&["-u", "1:1", "-w", "/tmp"], "tail -n 1 /etc/passwd"), "daemon:*:1:1:daemon:/tmp:/bin/sh");
    assert_eq!(run(&["-u", "77"], "tail -n 1 /etc/group; id -g"), "77:x:77:77\n0");
    assert_eq!(run(&["-u", "alice:88"], "tail -n 1 /etc/group"), "88:x:88:alice");
    let kept = "tail -n 1 /etc/passwd; tail -n 1 /etc/group";
    assert_eq!(
        run(&["--userns", "keep-id:uid=500,gid=501"], kept),
        "500:*:500:501:container user:/:/bin/sh\n501:x:501:500"
    );
    let dockerfile = format!("FROM {image}\nUSER 1234\n");
    rpod!(t, "build", "-q", "-t", "numbered", "-f", "-").stdin(dockerfile).run().ok();
    rpod!(t, "run", "--rm", "numbered", "sh", "-c", kept)
        .run()
        .lines_are(&["1234:*:1234:0:container user:/:/bin/sh", "1234:x:1234:1234"]);
    // A container whose user nobody knows has files all the same; only its program cannot run.
    rpod!(t, "create", "--name", "stranger", "-u", "nosuch:nosuch", image, "true").run().ok();
    t.script("rpod cp stranger:/etc/passwd - | tar -t").run().lines_are(&["passwd"]);
    let out = rpod!(t, "start", "stranger").run();
    assert!(out.code != Some(0) && out.stderr.contains("unable to find user nosuch"), "{out}");
    rpod!(t, "ps", "-a", "--format", "{{.Names}} {{.State}}").run().lines_are(&["stranger created"]);
    rpod!(t, "rm", "stranger").run().ok();
    rpod!(t, "run", "--rm", "-u", "nosuch", image, "true").run().fails(126, &["unable to find user nosuch"]);
    rpod!(t, "run", "--rm", "-u", "0:nosuch", image, "true").run().fails(126, &["unable to find group nosuch"]);
    assert_eq!(rpod!(t, "ps", "-aq").run().ok(), "");
    let dockerfile = format!("FROM {image}\nUSER nosuch\nRUN true\n");
    rpod!(t, "build", "-q", "-f", "-").stdin(dockerfile).run().fails(125, &["unable to find user nosuch"]);
    let entry = "me:x:$UID:$GID:$NAME:$HOME:/bin/x";
    assert_eq!(
        run(&["-u", "77", "--passwd-entry", entry], "tail -n 1 /etc/passwd"),
        "me:x:77:0:container user:/:/bin/x"
    );
    assert_eq!(run(&["-u", "0:99", "--group-entry", "us:x:$GID:$USERLIST"], "tail -n 1 /etc/group"), "us:x:99:0");
    // Users that are there get no line, nor does anybody with --passwd=false.
    for args in [&["-u", "alice"][..], &["-u", "1000"], &["--passwd=false", "-u", "77"], &[]] {
        assert!(run(args, "tail -n 1 /etc/passwd").starts_with("alice:"), "{args:?}");
    }
    assert_eq!(run(&["--hostuser", "daemon"], "grep ^daemon: /etc/passwd"), "daemon:*:1:1:daemon:/usr/sbin:/bin/sh");
    assert_eq!(run(&["--hostuser", "daemon", "-u", "daemon"], "id -u"), "1");
    rpod!(t, "run", "--rm", "--hostuser", "nosuch", image, "true").run().fails(126, &["unknown user nosuch"]);
    // The primary group is one of the supplementary ones (CVE-2022-36109).
    assert_eq!(run(&["-u", "alice"], "id -G"), "1000 29");
    // A line that would be two is not written.
    assert!(
        run(&["-u", "77", "--passwd-entry", "a:b\nroot2:x:0:0::/:/bin/sh"], "cat /etc/passwd").lines().count() == 2
    );
    Ok(())
}

/// What a container sees does not depend on the caller's umask; what the caller gets does.
fn umask(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    // One that is not mapped cannot own a secret.
    let group = if t.user() == User::Sub { 7777 } else { 0 };
    let modes = |umask: &str| {
        let script = format!(
            "umask {umask}; printf s | rpod secret create s - >/dev/null; mkdir -p bound; \
             rpod create --name c --network none -u 0:{group} --secret s -v ./bound:/new/a -v named:/new2/b -v /new3/c \
             --tmpfs /new4/d {image} stat -c '%a %n' /etc/hosts /etc/resolv.conf /etc/hostname /etc/group \
             /run/secrets /run/secrets/s /new /new2 /new2/b /new3 /new3/c /new4 >/dev/null; \
             umask 022; rpod start -a c; rpod rm c >/dev/null; rpod volume rm named >/dev/null; rpod secret rm s >/dev/null"
        );
        t.script(&script).run().ok().to_owned()
    };
    assert_eq!(modes("077"), modes("022"));
    assert!(modes("077").contains("644 /etc/hosts\n"), "{}", modes("077"));
    let script = format!(
        "umask 027; mkdir o; rpod save -q -o o/a {image}; rpod save -q --format oci-dir -o o/d {image}; \
         rpod create -q --cidfile o/c --name c {image} true >/dev/null; rpod export -o o/e c; \
         rpod commit -q --iidfile o/i c made >/dev/null; stat -c '%a %n' o/* o/d/*; rpod unshare sh -c umask"
    );
    t.script(&script).run().lines_are(&[
        "640 o/a",
        "640 o/c",
        "750 o/d",
        "640 o/e",
        "640 o/i",
        "750 o/d/blobs",
        "640 o/d/index.json",
        "640 o/d/oci-layout",
        "0027",
    ]);
    // Nor does a program's own umask in the container.
    t.script(&format!("umask 077; rpod run --rm --network none {image} sh -c umask")).run().lines_are(&["0022"]);
    Ok(())
}

fn streams(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let both = "echo out; echo err >&2";
    let out = rpod!(t, "run", "--rm", "-a", "stdout", image, "sh", "-c", both).run();
    assert_eq!((out.ok(), out.stderr.as_str()), ("out", ""), "{out}");
    let out = rpod!(t, "run", "--rm", "--attach", "stderr", image, "sh", "-c", both).run();
    assert_eq!((out.ok(), out.stderr.as_str()), ("", "err\n"), "{out}");
    let out = rpod!(t, "run", "--name", "in", "-a", "stdin", image, "cat").stdin("typed").run();
    assert_eq!(out.ok().len(), 64, "{out}");
    rpod!(t, "logs", "in").run().prints("typed");
    let flags = rpod!(t, "inspect", "--format", "{{.Config.AttachStdin}} {{.Config.AttachStdout}}", "in").run();
    flags.lines_are(&["true false"]);
    rpod!(t, "run", "-a", "foo", image, "true").run().fails(125, &["invalid stream \"foo\" for --attach"]);
    Ok(())
}

fn init_pidfile_and_image(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let program = t.home().join("init");
    std::fs::write(&program, "#!/bin/sh\nshift\necho init\nexec \"$@\"\n")?;
    t.program("chmod", ["755", program.to_str().unwrap()]).run();
    t.program_as_root("chmod", ["755", program.to_str().unwrap()]).run();
    rpod!(t, "run", "--rm", "--init", "--init-path", &program, image, "echo", "hi").run().lines_are(&["init", "hi"]);
    rpod!(t, "run", "--rm", "--init", "--init-path", "/nosuch", image, "true")
        .run()
        .fails(125, &["container-init binary not found on the host"]);
    let (pid, monitor) = (t.home().join("pid"), t.home().join("monitor"));
    rpod!(t, "run", "-d", "--name", "p", "--pidfile", &pid, "--conmon-pidfile", &monitor, image, "sleep", "1000")
        .run()
        .ok();
    let shown = rpod!(t, "inspect", "--format", "{{.State.Pid}} {{.State.ConmonPid}} {{.PidFile}}", "p").run();
    let (pid_text, monitor_text) = (std::fs::read_to_string(&pid)?, std::fs::read_to_string(&monitor)?);
    shown.lines_are(&[&format!("{pid_text} {monitor_text} {}", pid.display())]);
    // --rmi: gone with the container, unless another name or container keeps it.
    rpod!(t, "tag", image, "localhost/short").run().ok();
    rpod!(t, "run", "--rmi", "localhost/short", "echo", "hi").run().lines_are(&["hi"]);
    rpod!(t, "image", "exists", "localhost/short").run().code(1);
    rpod!(t, "run", "--rmi", image, "true").run().ok();
    rpod!(t, "image", "exists", image).run().code(0);
    rpod!(t, "run", "--rmi", "-d", image, "true").run().fails(125, &["foreground only"]);
    for (flag, says) in
        [("--rdt-class=x", "root only"), ("--personality=LINUX32", "setarch"), ("--seccomp-policy=x", "valid policies")]
    {
        rpod!(t, "run", flag, image, "true").run().fails(125, &[says]);
    }
    rpod!(t, "run", "--rm", "--seccomp-policy", "image", image, "true")
        .run()
        .fails(125, &["no seccomp policy defined by image"]);
    rpod!(t, "run", "--rm", "--disable-content-trust", image, "true").run().ok();
    Ok(())
}
