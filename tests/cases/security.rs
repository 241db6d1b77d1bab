//! Capabilities, seccomp, no_new_privileges, masked and read-only paths, devices: equal to Podman's defaults.

use crate::support::{Outcome, Sandbox, Trial, User, for_each_user, rpod, trial};

/// chown dac_override fowner fsetid kill net_bind_service setfcap setgid setpcap setuid sys_chroot
const DEFAULT_CAPABILITIES: &str = "00000000800405fb";

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("security::capabilities", User::Sub, capabilities),
        trial("security::no_new_privileges", User::Sub, |t| {
            let image = t.busybox()?;
            let flag = |args: &[&str]| {
                let all = [&["run", "--rm"], args, &[image, "grep", "NoNewPrivs", "/proc/self/status"]].concat();
                t.rpod(all).run().ok().chars().last()
            };
            assert_eq!(flag(&[]), Some('0'));
            assert_eq!(flag(&["--security-opt", "no-new-privileges"]), Some('1'));
            assert_eq!(flag(&["--security-opt=no-new-privileges:true"]), Some('1'));
            Ok(())
        }),
        trial("security::proc_options", User::Sub, |t| {
            let image = t.busybox()?;
            let script = "grep '^proc /proc ' /proc/mounts; cat /proc/sys/kernel/domainname";
            let options = ["--security-opt=proc-opts=hidepid=2", "--domainname=example.org"];
            let words = ["run", "--rm", "--network=none"].into_iter().chain(options).chain([image, "sh", "-c", script]);
            let out = t.rpod(words).run();
            out.prints("hidepid=").prints("example.org");
            let wrong = ["run", "--rm", "--network=none", "--security-opt=proc-opts=nosuch", image, "true"];
            t.rpod(wrong).run().fails(125, &["/proc"]);
            Ok(())
        }),
        trial("security::privileged", User::Sub, |t| {
            let image = t.busybox()?;
            let out = rpod!(
                t,
                "run",
                "--rm",
                "--privileged",
                image,
                "sh",
                "-c",
                "grep -E 'CapEff|Seccomp:' /proc/self/status; ls -d /dev/fuse"
            )
            .run();
            assert!(out.ok().contains("000001ffffffffff") && out.stdout.contains("Seccomp:\t0"), "{out}");
            // Everything within the user's own namespace, nothing outside it.
            rpod!(
                t,
                "run",
                "--rm",
                "--privileged",
                image,
                "sh",
                "-c",
                "mkdir /m && mount -t tmpfs x /m && echo mounted"
            )
            .run()
            .lines_are(&["mounted"]);
            rpod!(t, "run", "--rm", "--privileged", image, "sh", "-c", "echo 1 >/proc/sys/kernel/panic").run().code(1);
            Ok(())
        }),
        trial("security::seccomp_options", User::Sub, seccomp_options),
        trial("security::seccomp_python", User::Sub, seccomp_calls),
        trial("security::bad_options", User::Sub, |t| {
            let image = t.busybox()?;
            for (option, says) in [
                ("--cap-add=bogus", "bogus"),
                ("--cap-drop=cap_nosuch", "nosuch"),
                ("--security-opt=bogus=1", "bogus"),
                ("--security-opt=seccomp=/nosuch.json", "/nosuch.json"),
                ("--sysctl=kernel.panic=1", "kernel.panic"),
                ("--sysctl=nonsense", "nonsense"),
            ] {
                rpod!(t, "run", "--rm", option, image, "true").run().fails(125, &[says]);
            }
            // A sysctl of a namespace the container does not own would change the host.
            rpod!(t, "run", "--rm", "--network=host", "--sysctl=net.ipv4.ip_forward=1", image, "true").run().code(125);
            Ok(())
        }),
        trial("security::sysctl", User::Sub, |t| {
            let image = t.busybox()?;
            let show = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax";
            let out = rpod!(
                t,
                "run",
                "--rm",
                "--network=none",
                "--sysctl",
                "net.ipv4.ip_unprivileged_port_start=77",
                "--sysctl=kernel.msgmax=9000",
                image,
                "sh",
                "-c",
                show
            )
            .run();
            out.lines_are(&["77", "9000"]);
            Ok(())
        }),
        trial("security::device", User::Sub, |t| {
            let image = t.busybox()?;
            rpod!(t, "run", "--rm", "--device", "/dev/fuse", image, "test", "-c", "/dev/fuse").run().ok();
            rpod!(t, "run", "--rm", "--device", "/dev/fuse:/dev/other:r", image, "test", "-c", "/dev/other").run().ok();
            rpod!(t, "run", "--rm", image, "test", "-e", "/dev/fuse").run().code(1);
            Ok(())
        }),
    ];
    trials.extend(for_each_user("security::masked_paths", masked_paths));
    trials.extend(for_each_user("security::dev", |t| {
        let image = t.busybox()?;
        let out = rpod!(t, "run", "--rm", "--network=none", image, "sh", "-c", "ls /dev | tr '\\n' ' '").run();
        assert_eq!(
            out.ok().trim(),
            "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
        );
        rpod!(
            t,
            "run",
            "--rm",
            "--network=none",
            image,
            "sh",
            "-c",
            "echo x >/dev/null && head -c 8 /dev/urandom | wc -c"
        )
        .run()
        .lines_are(&["8"]);
        // No device of the host can be made anew.
        rpod!(t, "run", "--rm", "--network=none", image, "mknod", "/sda", "b", "8", "0").run().code(1);
        Ok(())
    }));
    trials.push(trial("security::keys_of_the_session", User::Sub, keys_of_the_session));
    trials
}

fn capabilities(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let effective = |args: &[&str]| {
        let all = [
            &["run", "--rm", "--network=none"],
            args,
            &[image, "sh", "-c", "grep -E 'CapEff|CapBnd|CapInh' /proc/self/status | cut -f2"],
        ]
        .concat();
        t.rpod(all).run().ok().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let none = "0000000000000000";
    assert_eq!(effective(&[]), [none, DEFAULT_CAPABILITIES, DEFAULT_CAPABILITIES]);
    assert_eq!(effective(&["--cap-drop=all"]), [none, none, none]);
    assert_eq!(
        effective(&["--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"]),
        [none, "0000000000000400", "0000000000000400"]
    );
    assert_eq!(effective(&["--cap-add", "cap_net_admin"])[1], "00000000800415fb");
    assert_eq!(effective(&["--cap-drop", "chown,kill"])[1], "00000000800405da");
    assert_eq!(effective(&["--cap-add=all"])[1], "000001ffffffffff");
    // Another user has none in effect, and keeps the bounding set.
    assert_eq!(effective(&["-u", "1000"])[1..], [none, DEFAULT_CAPABILITIES]);
    Ok(())
}

fn masked_paths(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let script = "
        for f in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug; do
            [ ! -e $f ] || [ \"$(head -c 1 $f 2>/dev/null | wc -c)\" = 0 ] || echo readable $f
        done
        for d in /proc/acpi /proc/scsi /sys/firmware; do [ ! -e $d ] || [ -z \"$(ls -A $d)\" ] || echo not empty $d; done
        for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq /proc/bus /proc/fs; do
            [ ! -e $f ] || ! touch $f 2>/dev/null || echo touchable $f
        done
        echo x 2>/dev/null >/proc/sys/kernel/hostname && echo sysctl is writable
        mkdir /sys/x 2>/dev/null && echo /sys is writable
        grep -q ' /sys sysfs ro,' /proc/mounts || echo /sys is not read-only
        umount /proc/keys 2>/dev/null && echo unmasked
        echo done";
    rpod!(t, "run", "--rm", "--network=none", image, "sh", "-c", script).run().lines_are(&["done"]);
    let unmasked = rpod!(
        t,
        "run",
        "--rm",
        "--network=none",
        "--security-opt",
        "unmask=/proc/timer_list",
        image,
        "grep",
        "-c",
        " /proc/timer_list ",
        "/proc/mounts"
    )
    .run();
    unmasked.lines_are(&["0"]);
    rpod!(t, "run", "--rm", "--network=none", "--security-opt", "mask=/etc/group", image, "wc", "-c", "/etc/group")
        .run()
        .prints("0");
    Ok(())
}

fn seccomp_options(t: &Sandbox) -> Outcome {
    let image = t.busybox()?;
    let state = |args: &[&str]| {
        let all = [
            &["run", "--rm", "--network=none"],
            args,
            &[image, "sh", "-c", "grep Seccomp: /proc/self/status | cut -f2"],
        ]
        .concat();
        t.rpod(all).run().ok().to_owned()
    };
    assert_eq!(state(&[]), "2");
    assert_eq!(state(&["--security-opt", "seccomp=unconfined"]), "0");
    // A profile of one's own: mkdir fails with EXDEV (18), everything else goes.
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
        [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18}]}"#;
    let file = t.write("home/profile.json", profile)?;
    let option = format!("seccomp={}", file.display());
    let out = rpod!(t, "run", "--rm", "--network=none", "--security-opt", option, image, "mkdir", "/x").run();
    out.fails(1, &["cross-device"]);
    Ok(())
}

/// The default profile from inside: what it forbids fails with EPERM or ENOSYS, what it allows gets the kernel's own answer.
fn seccomp_calls(t: &Sandbox) -> Outcome {
    let image = t.debian()?;
    let script = r#"
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    return 0 if libc.syscall(number, *args) >= 0 else ctypes.get_errno()
machine = os.uname().machine
assert machine == "x86_64", "x86_64 only"
print("keyctl", call(250, 0, 0, 0))
print("bpf", call(321, 0, 0, 0))
print("mount", call(165, 0, 0, 0, 0, 0))
print("unshare user", call(272, 0x10000000))
print("clone3", call(435, 0, 0))
print("no such call", call(999))
print("socket vsock", call(41, 40, 1, 0))
print("reboot", call(169, 0, 0, 0, 0))
print("open_by_handle_at", call(304, 0, 0, 0))
print("getpid", call(39))
"#;
    let out = rpod!(t, "run", "--rm", "--network=none", image, "python3", "-c", script).run();
    if out.stderr.contains("x86_64 only") {
        return crate::support::skip("numbers of x86_64");
    }
    // As under Podman 5.4 with the same program.
    out.lines_are(&[
        "keyctl 22",
        "bpf 1",
        "mount 14",
        "unshare user 0",
        "clone3 22",
        "no such call 38",
        "socket vsock 0",
        "reboot 1",
        "open_by_handle_at 1",
        "getpid 0",
    ]);
    // What a capability allows, the profile allows with it.
    let mount =
        "import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.mount(b'x', b'/mnt', b'tmpfs', 0, None))";
    rpod!(t, "run", "--rm", "--network=none", "--cap-add=SYS_ADMIN", image, "python3", "-c", mount)
        .run()
        .lines_are(&["0"]);
    Ok(())
}

/// Keys that the user's session holds are in no container's, by whatever way a program gets there.
fn keys_of_the_session(t: &Sandbox) -> Outcome {
    if !cfg!(target_arch = "x86_64") {
        return crate::support::skip("knows the numbers of system calls of x86-64 only");
    }
    let image = t.debian()?;
    // add_key, KEYCTL_JOIN_SESSION_KEYRING with a name, KEYCTL_SEARCH.
    let owner = r#"perl -e 'my ($n,$t,$d,$p)=("mine","user","hostkey","SECRET"); syscall(250,1,$n)>0 or die "$!";
        syscall(248,$t,$d,$p,6,-3)>0 or die "$!"; exec @ARGV' -- "#;
    let search = r#"perl -e 'my ($t,$d)=("user","hostkey"); print syscall(250,10,-3,$t,$d,0)>0?"found\n":"none\n"'"#;
    t.write("home/search", format!("#!/bin/sh\n{search}\n"))?;
    t.write("home/b/Dockerfile", format!("FROM {image}\nCOPY search /\nRUN sh /search\n"))?;
    std::fs::copy(t.home().join("search"), t.home().join("b/search"))?;
    let out = t
        .script(&format!(
            "set -e; {owner} sh search
             {owner} rpod run --rm -v $PWD/search:/search {image} sh /search
             {owner} rpod run --rm --privileged -v $PWD/search:/search {image} sh /search
             {owner} rpod run -d --name c -v $PWD/search:/search --health-cmd 'sh /search >/health' {image} sleep 1000 >/dev/null
             {owner} rpod exec c sh /search; {owner} rpod healthcheck run c; rpod exec c cat /health; rpod rm -f -t 0 c >/dev/null
             {owner} rpod build --no-cache b 2>&1 | grep -oxE '.*(found|none)' | grep -oE '[a-z]+$'"
        ))
        .run();
    out.lines_are(&["found", "none", "none", "none", "none", "none"]);
    Ok(())
}
