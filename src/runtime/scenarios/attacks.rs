//! What hostile images and neighbours tried on other runtimes.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

use rustix::process::{Signal, pidfd_send_signal};
use serde_json::json;

use super::Scenario;
use super::container::{Fixture, code, read};
use crate::runtime::{Stdio, Target, exec};
use crate::sys::process::{Fork, exit_now, fork};
use crate::sys::scenario::check;

pub(super) const ALL: &[Scenario] = &[
    ("own-exe", own_executable),
    ("exe-watch", watched_executable),
    ("leaks", leaks),
    ("links", links),
    ("race", race),
    ("null", null),
    ("console", console),
    ("sysctl", sysctl),
    ("proc-link", proc_link),
];

#[test]
fn cve_2019_5736_the_image_cannot_execute_rpods_executable() {
    check("own-exe");
}

fn own_executable() {
    let mut fixture = Fixture::new();
    symlink("/proc/self/exe", fixture.root().join("bin/self")).expect("a link");
    fs::write(fixture.root().join("bin/script"), "#!/proc/self/exe\n").expect("writes");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(fixture.root().join("bin/script"), fs::Permissions::from_mode(0o755)).expect("mode");
    for args in [["/proc/self/exe", "--list"], ["self", "--list"], ["script", "--list"]] {
        // It is the trampoline that runs again, without anything to do; the test executable would list its tests.
        let outcome = fixture.args(&args).run();
        if let Ok(outcome) = outcome {
            assert_eq!(outcome.stdout, "", "{args:?}");
            assert!([126, 127].contains(&outcome.code), "{args:?}: {outcome:?}");
        }
    }
}

#[test]
fn cve_2019_5736_a_container_cannot_open_what_joins_it() {
    check("exe-watch");
}

/// A container that looks at every process in sight while others join it, and writes to what it can open. Its own program
/// it may open, between two executions.
fn watched_executable() {
    let mut fixture = Fixture::new();
    let watch = "while :; do for p in /proc/[0-9]*; do
        readlink $p/exe
        { [ \"$(readlink /proc/self/fd/9)\" != /bin/busybox ] && echo x >&9 && echo WRITABLE $p; } 9>>$p/exe
        ls $p/fd/ >/dev/null 2>&1 || echo closed; done; done";
    let spec = fixture.script(&format!("({watch}) 2>/dev/null")).typed();
    let null = || fs::File::open("/dev/null").expect("null").into();
    let log = fixture.dir.join("log");
    let stdout = fs::File::create(&log).expect("a file").into();
    let mut created = fixture.create(&spec, Stdio::Pipes { stdin: null(), stdout, stderr: null() }).expect("creates");
    created.start().expect("starts");
    let process = json!({ "user": { "uid": 0, "gid": 0 }, "args": ["true"], "env": ["PATH=/bin"], "cwd": "/" });
    let process = serde_json::from_value(process).expect("a process");
    let pidfd = created.pidfd.as_fd();
    let target = Target {
        pidfd,
        spec: &spec,
        maps: Some(&fixture.maps),
        enters_user: true,
        cgroup: None,
        attach: None,
        seccomp: None,
        given: &[],
        detach: false,
    };
    for _ in 0..100 {
        let stdio = Stdio::Pipes { stdin: null(), stdout: null(), stderr: null() };
        let child = exec(&target, &process, &stdio).expect("joins");
        let id = rustix::process::WaitId::PidFd(child.pidfd.as_fd());
        let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED).expect("waits");
    }
    pidfd_send_signal(&created.pidfd, Signal::KILL).expect("kills");
    code(&created);
    let seen = fs::read_to_string(log).expect("reads");
    let ours = std::env::current_exe().expect("a path");
    let ours = ours.file_name().expect("a name").to_string_lossy();
    assert!(seen.contains("busybox"), "{seen}");
    assert!(!seen.contains(&*ours) && !seen.contains("WRITABLE"), "{seen}");
}

#[test]
fn cve_2024_21626_no_descriptor_and_no_directory_of_the_host_is_left() {
    check("leaks");
}

fn leaks() {
    let mut fixture = Fixture::new();
    // What a careless caller left open, without close-on-exec.
    let leaked: Vec<_> = (0..20).map(|_| fs::File::open("/").expect("/")).collect();
    for file in &leaked {
        rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).expect("fcntl");
    }
    assert_eq!(fixture.output("ls /proc/self/fd"), "0\n1\n2\n3");
    assert_eq!(fixture.output("ls -l /proc/self/cwd | grep -c -- '-> /$'"), "1");
    for number in 0..40 {
        fixture.spec["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        assert!(fixture.script("pwd; ls").run().is_err(), "{number}");
    }
    for cwd in ["/proc/1/cwd", "/proc/self/root", "/proc/thread-self/fd/9", "/link"] {
        let _ = fs::remove_file(fixture.root().join("link"));
        symlink("/proc/self/fd/9/../..", fixture.root().join("link")).expect("a link");
        fixture.spec["process"]["cwd"] = json!(cwd);
        assert!(fixture.script("pwd; ls").run().is_err(), "{cwd}");
    }
}

#[test]
fn cve_2021_30465_links_in_the_image_do_not_move_mounts_outside() {
    check("links");
}

fn links() {
    let mut fixture = Fixture::new();
    let (root, volume) = (fixture.root(), fixture.dir.join("volume"));
    fs::create_dir(&volume).expect("a directory");
    fs::write(volume.join("mark"), "volume").expect("writes");
    let outside = fixture.dir.join("outside");
    fs::create_dir(&outside).expect("a directory");
    let up = "../".repeat(20);
    let cases = [
        ("up", format!("{up}{}", outside.display())),
        ("absolute", outside.display().to_string()),
        ("magic", "/proc/self/root".to_owned()),
        ("dangling", "/not/there/yet".to_owned()),
        ("dots", format!("etc/{up}not/here")),
    ];
    for (name, target) in &cases {
        symlink(target, root.join(name)).expect("a link");
    }
    for (name, _) in &cases {
        fixture.spec["mounts"].as_array_mut().expect("a list").truncate(7);
        for place in [format!("/{name}"), format!("/{name}/deep/er")] {
            fixture.push(
                "/mounts",
                json!({ "destination": place, "type": "bind", "source": volume, "options": ["rbind"] }),
            );
            let result = fixture.script(&format!("cat {place}/mark")).run();
            if *name == "magic" {
                assert!(result.is_err(), "{place}: {result:?}");
                break;
            }
            let outcome = result.unwrap_or_else(|e| panic!("{place}: {e}"));
            assert_eq!(outcome.stdout, "volume", "{place}: {outcome:?}");
        }
    }
    let left = fs::read_dir(&outside).expect("reads").count();
    assert_eq!(left, 0, "something was made outside the root");
}

#[test]
fn cve_2021_30465_links_that_change_meanwhile_do_not_either() {
    check("race");
}

/// Another container swaps a directory of a shared volume for a link while this one mounts below it.
fn race() {
    let mut fixture = Fixture::new();
    let (shared, volume) = (fixture.dir.join("shared"), fixture.dir.join("volume"));
    for dir in [&shared, &volume, &shared.join("a"), &shared.join("a/mnt")] {
        fs::create_dir(dir).expect("a directory");
    }
    fs::write(volume.join("mark"), "volume").expect("writes");
    symlink(fixture.dir.join("outside"), shared.join("b")).expect("a link");
    fs::create_dir_all(fixture.dir.join("outside/mnt")).expect("a directory");
    let attacker = match fork().expect("forks") {
        Fork::Child => loop {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            let dir = rustix::fs::CWD;
            if rustix::fs::renameat_with(dir, shared.join("a"), dir, shared.join("b"), flags).is_err() {
                exit_now(1);
            }
        },
        Fork::Parent(child) => child,
    };
    fixture.push("/mounts", json!({ "destination": "/vol", "type": "bind", "source": shared, "options": ["rbind"] }));
    fixture.push(
        "/mounts",
        json!({ "destination": "/vol/a/mnt", "type": "bind", "source": volume, "options": ["rbind"] }),
    );
    let mut started = 0;
    for _ in 0..60 {
        let inside = fixture.dir.join("outside").display().to_string();
        // Wherever it went, it is inside: below /vol, or where the link's path leads in the container.
        if let Ok(outcome) = fixture.script(&format!("cat /vol/?/mnt/mark {inside}/mnt/mark")).run() {
            started += usize::from(outcome.stdout.contains("volume"));
        }
    }
    pidfd_send_signal(&attacker.pidfd, Signal::KILL).expect("kills");
    assert_eq!(attacker.wait().expect("waits"), 137);
    assert!(started > 0);
    assert_eq!(fs::read_dir(fixture.dir.join("outside/mnt")).expect("reads").count(), 0);
}

#[test]
fn cve_2025_31133_masks_are_the_hosts_dev_null() {
    check("null");
}

fn null() {
    let mut fixture = Fixture::new();
    // An image whose /dev/null is something else, and a container that keeps it.
    symlink("/proc/sys/kernel/core_pattern", fixture.root().join("dev/null")).expect("a link");
    fixture.spec["mounts"]
        .as_array_mut()
        .expect("a list")
        .retain(|m| m["destination"].as_str().is_some_and(|d| !d.starts_with("/dev")));
    fixture.spec["linux"]["maskedPaths"] = json!(["/proc/timer_list", "/proc/keys", "/proc/version"]);
    let script =
        "for f in timer_list keys version; do stat -c '%t %T' /proc/$f; done; : >/proc/sys/kernel/core_pattern";
    let outcome = fixture.script(script).run().expect("runs");
    assert_eq!(outcome.stdout, "1 3\n1 3\n1 3\n");
    assert_ne!(outcome.code, 0, "core_pattern was writable");
}

#[test]
fn cve_2025_52565_the_console_is_the_terminal_that_was_made() {
    check("console");
}

fn console() {
    let mut fixture = Fixture::new();
    let fake = fixture.dir.join("pts");
    fs::create_dir(&fake).expect("a directory");
    for name in ["0", "ptmx"] {
        symlink("/proc/sys/kernel/core_pattern", fake.join(name)).expect("a link");
    }
    fixture.push("/mounts", json!({ "destination": "/dev/pts", "type": "bind", "source": fake, "options": ["rbind"] }));
    let spec = fixture.script("stat -c '%t %T' /dev/console; grep -c console /proc/self/mountinfo").typed();
    let mut created = fixture.create(&spec, Stdio::Terminal { rows: 1, cols: 1 }).expect("creates");
    let console = created.console.take().expect("a terminal");
    created.start().expect("starts");
    assert_eq!(code(&created), 0);
    let text = read(console);
    assert!(text.contains("88 0"), "{text}");
}

#[test]
fn cve_2025_52881_sysctls_are_written_to_procfs() {
    check("sysctl");
}

fn sysctl() {
    let mut fixture = Fixture::new();
    let fake = fixture.dir.join("sys");
    fs::create_dir_all(fake.join("net/ipv4")).expect("a directory");
    fs::write(fake.join("net/ipv4/ping_group_range"), "untouched").expect("writes");
    fixture
        .push("/mounts", json!({ "destination": "/proc/sys", "type": "bind", "source": fake, "options": ["rbind"] }));
    assert_eq!(fixture.output("cat /proc/sys/net/ipv4/ping_group_range"), "untouched");
    for bad in ["net/../../etc/x", "net..ipv4", "/etc/passwd", "kernel.core_pattern/"] {
        fixture.spec["linux"]["sysctl"] = json!({ bad: "1" });
        assert!(fixture.run().is_err(), "{bad}");
    }
}

#[test]
fn proc_must_not_be_a_link_of_the_image() {
    check("proc-link");
}

fn proc_link() {
    let mut fixture = Fixture::new();
    fs::remove_dir(fixture.root().join("proc")).expect("removes");
    fs::create_dir(fixture.root().join("elsewhere")).expect("a directory");
    symlink("elsewhere", fixture.root().join("proc")).expect("a link");
    let error = fixture.script("true").run().expect_err("fails");
    assert!(error.to_string().contains("/proc"), "{error}");
}
