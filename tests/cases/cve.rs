//! Known escapes, each tried: what a hostile image or process does must not reach the host.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::{
    Compression, Image, Outcome, Sandbox, Stop, Tarball, Trial, User, for_each_user, rpod, sha256, trial,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("cve::2019_5736_own_executable", User::Sub, own_executable),
        trial("cve::2019_5736_program_is_proc_self_exe", User::Sub, program_is_proc_self_exe),
        trial("cve::2021_30465_symlink_swap", User::Sub, symlink_swap),
        trial("cve::2025_31133_masks_are_the_real_null", User::Sub, masks_are_real),
        trial("cve::2025_52565_console_symlink", User::Sub, console_symlink),
        trial("cve::2025_52881_procfs_is_procfs", User::Sub, procfs_is_procfs),
        trial("cve::passwd_tricks", User::Sub, passwd_tricks),
    ];
    trials.extend(for_each_user("cve::2024_21626_leaked_descriptors", leaked_descriptors));
    trials.extend(for_each_user("cve::2021_30465_destination_through_symlink", destination_through_symlink));
    trials
}

/// Loads busybox with one more layer as `localhost/hostile`.
fn hostile(t: &Sandbox, layer: Vec<u8>) -> Result<&'static str, Stop> {
    let image = Image::busybox()?.layer(layer, Compression::None);
    let archive = t.write("home/hostile.tar", image.docker_archive(&["localhost/hostile"]))?;
    rpod!(t, "load", "-q", "-i", &archive).run().ok();
    Ok("localhost/hostile")
}

/// A place on the host, writable by the user, that no container may touch.
fn target(t: &Sandbox) -> Result<PathBuf, Stop> {
    t.mkdir("home/target")
}

fn untouched(target: &PathBuf) {
    let found: Vec<_> = std::fs::read_dir(target).unwrap().flatten().map(|e| e.path()).collect();
    assert!(found.is_empty(), "made outside the container: {found:?}");
}

/// A process in the container that may trace others watches /proc/PID/exe while rpod enters.
fn own_executable(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let before = sha256(&std::fs::read(t.binary())?);
    let watch = "echo ready; while :; do for p in /proc/[0-9]*; do readlink $p/exe; done >>/seen 2>/dev/null; done";
    rpod!(t, "run", "-d", "--name", "watch", "--cap-add=SYS_PTRACE", image, "sh", "-c", watch).run().ok();
    for _ in 0..40 {
        rpod!(t, "exec", "watch", "true").run().ok();
    }
    let seen = rpod!(t, "exec", "watch", "sort", "-u", "/seen").run();
    for line in seen.ok().lines() {
        assert!(line.starts_with("/bin/") || line.starts_with("/memfd:") || line.is_empty(), "saw {line}");
    }
    // Opening it for writing, again and again, hits nothing either.
    let overwrite = "i=0; while [ $i -lt 3000 ]; do for p in /proc/[0-9]*/exe; do case $(readlink $p) in /bin/*) ;; *) echo X >$p ;; esac; done 2>/dev/null; i=$((i+1)); done";
    rpod!(t, "exec", "-d", "--privileged", "watch", "sh", "-c", overwrite).run().ok();
    for _ in 0..40 {
        rpod!(t, "exec", "watch", "true").run().ok();
    }
    assert_eq!(sha256(&std::fs::read(t.binary())?), before, "the executable was changed");
    Ok(())
}

fn program_is_proc_self_exe(t: &Sandbox) -> Outcome {
    let layer = Tarball::new().symlink("run-me", "/proc/self/exe").file("script", 0o755, "#!/proc/self/exe\n").finish();
    let image = hostile(t, layer)?;
    let before = sha256(&std::fs::read(t.binary())?);
    for program in ["/run-me", "/script", "/proc/self/exe"] {
        let out = rpod!(t, "run", "--rm", "--network=none", image, program, "--version").run();
        // It must not have been rpod itself.
        assert!(!out.stdout.contains("rpod") && out.code != Some(0), "{out}");
    }
    assert_eq!(sha256(&std::fs::read(t.binary())?), before);
    Ok(())
}

fn leaked_descriptors(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let list = "ls /proc/self/fd | tr '\\n' ' '";
    // Three streams, and the directory that ls itself has open.
    rpod!(t, "run", "--rm", "--network=none", image, "sh", "-c", list).run().lines_are(&["0 1 2 3 "]);
    rpod!(t, "run", "-d", "--name", "c", "--network=none", image, "sleep", "1000").run().ok();
    rpod!(t, "exec", "c", "sh", "-c", list).run().lines_are(&["0 1 2 3 "]);
    rpod!(t, "exec", "c", "sh", "-c", "ls /proc/1/fd | tr '\\n' ' '").run().lines_are(&["0 1 2 "]);
    // A caller that leaks descriptors of its own.
    let out = t.script(&format!("exec 7</ 8</etc; rpod run --rm --network=none {image} sh -c \"{list}\"")).run();
    out.lines_are(&["0 1 2 3 "]);
    for n in 3..16 {
        let dir = format!("/proc/self/fd/{n}");
        let run = rpod!(t, "run", "--rm", "--network=none", "-w", &dir, image, "cat", "../../../etc/machine-id").run();
        assert!(run.code != Some(0), "{dir} as working directory\n{run}");
        let exec = rpod!(t, "exec", "-w", &dir, "c", "pwd").run();
        assert!(exec.code != Some(0), "{dir} as working directory\n{exec}");
    }
    Ok(())
}

fn destination_through_symlink(t: &Sandbox) -> Outcome {
    let target = target(t)?;
    let up = format!("{}{}", "../".repeat(30), target.display().to_string().trim_start_matches('/'));
    let layer = Tarball::new()
        .symlink("absolute", target.to_str().unwrap())
        .symlink("relative", &up)
        .symlink("root", "/")
        .symlink("through-proc", "/proc/1/root")
        .symlink("var/escape", "../../../../../../..")
        .finish();
    let image = hostile(t, layer)?;
    let data = t.mkdir("home/data")?;
    t.write("home/data/file", "mounted\n")?;
    let below = target.display();
    for destination in
        ["/absolute/x", "/relative/y", "/root/z", &format!("/var/escape{below}/w"), "/absolute", "/relative"]
    {
        let volume = format!("{}:{destination}", data.display());
        let out =
            rpod!(t, "run", "--rm", "--network=none", "-v", volume, image, "cat", format!("{destination}/file")).run();
        // Refused, or mounted inside the container's own root; on the host nothing is made.
        assert!(out.code == Some(125) || out.code == Some(126) || out.stdout == "mounted\n", "{out}");
        untouched(&target);
    }
    let volume = format!("{}:/through-proc/etc", data.display());
    let out = rpod!(t, "run", "--rm", "--network=none", "-v", volume, image, "true").run();
    assert!(out.code.is_some(), "{out}");
    untouched(&target);
    rpod!(t, "run", "--rm", "--network=none", "-w", "/absolute/made", image, "pwd").run();
    untouched(&target);
    rpod!(t, "run", "--rm", "--network=none", "--tmpfs", "/relative/t", image, "true").run();
    untouched(&target);
    Ok(())
}

/// One container swaps a directory of a shared volume for a symlink while others mount something below it.
fn symlink_swap(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let target = target(t)?;
    let shared = t.mkdir("home/shared")?;
    t.mkdir("home/data")?;
    let volume = format!("{}:/shared", shared.display());
    let swap = format!(
        "mkdir /shared/real; ln -s {}/home/target /shared/link; ln -s / /shared/up; mv /shared/real /shared/a; while :; do \
         mv /shared/a /shared/real; mv /shared/link /shared/a; mv /shared/a /shared/link; mv /shared/real /shared/a; done",
        t.dir().display()
    );
    rpod!(t, "run", "-d", "--name", "swap", "--network=none", "-v", &volume, image, "sh", "-c", swap).run().ok();
    let inner = format!("{}/home/data:/shared/a/inner", t.dir().display());
    for _ in 0..60 {
        let out = rpod!(t, "run", "--rm", "--network=none", "-v", &volume, "-v", &inner, image, "true").run();
        assert!(matches!(out.code, Some(0 | 125 | 126)), "{out}");
        untouched(&target);
    }
    Ok(())
}

fn masks_are_real(t: &Sandbox) -> Outcome {
    let layer = Tarball::new()
        .dir("dev/", 0o755)
        .symlink("dev/null", "/proc/sys/kernel/core_pattern")
        .symlink("dev/zero", "/etc/passwd")
        .symlink("dev/pts", "/etc")
        .symlink("dev/shm", "/etc")
        .finish();
    let image = hostile(t, layer)?;
    let show = "stat -c %t:%T /dev/null; stat -L -c %t:%T /proc/keys; cat /proc/keys | wc -c; test -L /dev/null || echo real; test -L /dev/shm || echo real";
    rpod!(t, "run", "--rm", "--network=none", image, "sh", "-c", show)
        .run()
        .lines_are(&["1:3", "1:3", "0", "real", "real"]);
    // /dev itself as a way out.
    let target = target(t)?;
    let layer = Tarball::new().file(".wh.dev", 0o644, "").symlink("dev", target.to_str().unwrap()).finish();
    let image = hostile(t, layer)?;
    let out = rpod!(t, "run", "--rm", "--network=none", image, "stat", "-c", "%t:%T", "/dev/null").run();
    assert!(out.code == Some(0) && out.stdout == "1:3\n" || matches!(out.code, Some(125..=127)), "{out}");
    untouched(&target);
    Ok(())
}

fn console_symlink(t: &Sandbox) -> Outcome {
    let target = target(t)?;
    let layer = Tarball::new()
        .dir("dev/", 0o755)
        .symlink("dev/console", "/proc/sysrq-trigger")
        .symlink("dev/ptmx", target.to_str().unwrap())
        .finish();
    let image = hostile(t, layer)?;
    let mut pty = rpod!(
        t,
        "run",
        "--rm",
        "-it",
        "--network=none",
        image,
        "sh",
        "-c",
        "test -c /dev/console && ! test -L /dev/console && echo is-a-console"
    )
    .pty(24, 80);
    pty.expect("is-a-console");
    assert_eq!(pty.finish(), 0);
    untouched(&target);
    Ok(())
}

/// The image has something else where /proc and /sys are to be: settings must not be written into it.
fn procfs_is_procfs(t: &Sandbox) -> Outcome {
    let target = target(t)?;
    for (name, to) in [("proc", target.to_str().unwrap()), ("proc", "/tmp"), ("sys", "/tmp"), ("sys", "/proc")] {
        let layer = Tarball::new().file(&format!(".wh.{name}"), 0o644, "").symlink(name, to).finish();
        let image = hostile(t, layer)?;
        let show = "grep -c '^proc /proc proc' /proc/mounts; cat /proc/sys/kernel/msgmax";
        let out =
            rpod!(t, "run", "--rm", "--network=none", "--sysctl=kernel.msgmax=9001", image, "sh", "-c", show).run();
        let refused = matches!(out.code, Some(125..=127));
        assert!(refused || out.stdout == "1\n9001\n", "/{name} -> {to}: {out}");
        untouched(&target);
    }
    Ok(())
}

/// rpod itself reads the image's passwd and group: pipes, devices, links out and endless files must not hurt it.
fn passwd_tricks(t: &Sandbox) -> Outcome {
    let secret = t.write("home/secret", "root:x:4242:4242::/leaked:/bin/sh\nalice:x:4242:4242::/leaked:/bin/sh\n")?;
    let up = format!("{}{}", "../".repeat(30), secret.display().to_string().trim_start_matches('/'));
    let huge = vec![b'a'; 40 << 20];
    let layers = [
        Tarball::new().symlink("etc/passwd", secret.to_str().unwrap()).finish(),
        Tarball::new().symlink("etc/passwd", &up).finish(),
        Tarball::new().symlink("etc/passwd", "passwd").finish(),
        Tarball::new().file(".wh.etc", 0o644, "").symlink("etc", &up.replace("/secret", "")).finish(),
        Tarball::new().file("etc/.wh.passwd", 0o644, "").fifo("etc/passwd").finish(),
        Tarball::new().file("etc/passwd", 0o644, &huge).finish(),
        Tarball::new().symlink("etc/passwd", "/dev/zero").finish(),
    ];
    for layer in layers {
        let image = hostile(t, layer)?;
        let out = rpod!(t, "run", "--rm", "--network=none", "-u", "alice", image, "id", "-u")
            .limit(Duration::from_secs(20))
            .run();
        assert!(!out.stdout.contains("4242") && out.code != Some(137), "{out}");
    }
    // A dangling resolv.conf is normal (systemd's), a hosts file that points outside is not followed.
    let target = target(t)?;
    let layer = Tarball::new()
        .symlink("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
        .symlink("etc/hosts", &format!("{}/hosts", target.display()))
        .finish();
    let image = hostile(t, layer)?;
    let out = rpod!(t, "run", "--rm", image, "cat", "/etc/hosts").run();
    assert!(out.ok().contains("localhost"), "{out}");
    untouched(&target);
    Ok(())
}
