//! Processes that join a running container, terminals, and the reaper.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};
use serde_json::json;

use super::Scenario;
use super::container::{Fixture, code, pipes, read};
use crate::error::Kind;
use crate::runtime::exec::ExecChild;
use crate::runtime::{Created, Stdio, Target, exec};
use crate::sys::scenario::check;

pub(super) const ALL: &[Scenario] =
    &[("exec", joined), ("terminal", terminal), ("init", init), ("exec-terminal", joined_terminal), ("orphan", orphan)];

fn sleeping(fixture: &mut Fixture) -> Created {
    let spec = fixture.script("exec sleep 1000").typed();
    let mut created = fixture.create(&spec, pipes().0).expect("creates");
    created.start().expect("starts");
    created
}

pub(super) fn join(
    fixture: &Fixture,
    created: &Created,
    args: &[&str],
    stdio: &Stdio,
) -> crate::error::Result<ExecChild> {
    let mut process = fixture.spec["process"].clone();
    process["args"] = json!(args);
    let process = serde_json::from_value(process).expect("a process");
    let spec = fixture.typed();
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
    exec(&target, &process, stdio)
}

pub(super) fn end(pidfd: &std::os::fd::OwnedFd) -> u8 {
    let id = rustix::process::WaitId::PidFd(pidfd.as_fd());
    let status = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED).expect("waits");
    crate::sys::process::exit_code(&status.expect("a status"))
}

#[test]
fn a_process_joins_a_running_container() {
    check("exec");
}

fn joined() {
    let mut fixture = Fixture::new();
    fixture.overlay = true;
    let created = sleeping(&mut fixture);
    let (stdio, out, _err) = pipes();
    let begin = Instant::now();
    // Process 1 begins as a shell.
    let script = "until grep -q sleep /proc/1/comm; do :; done; hostname; ls /proc/self/fd; cat /proc/1/cmdline; \
                  grep CapEff /proc/self/status; exit 3";
    let child = join(&fixture, &created, &["sh", "-c", script], &stdio).expect("joins");
    let took = begin.elapsed();
    drop(stdio);
    assert_eq!(end(&child.pidfd), 3);
    assert_eq!(read(out), "box\n0\n1\n2\n3\nsleep\u{0}1000\u{0}CapEff:\t00000000800405fb\n");
    assert!(took < Duration::from_millis(200), "{took:?}");
    let error = join(&fixture, &created, &["nothing"], &pipes().0).expect_err("fails");
    assert_eq!(error.kind(), Kind::ProgramNotFound);
    pidfd_send_signal(&created.pidfd, Signal::KILL).expect("kills");
    assert_eq!(code(&created), 137);
}

#[test]
fn a_container_has_a_terminal_of_its_own() {
    check("terminal");
}

fn terminal() {
    let mut fixture = Fixture::new();
    let spec = fixture.script("tty; stty size; stat -c '%t' /dev/console; read line; echo got $line").typed();
    let mut created = fixture.create(&spec, Stdio::Terminal { rows: 12, cols: 34 }).expect("creates");
    let console = created.console.take().expect("a terminal");
    created.start().expect("starts");
    std::fs::File::from(console.try_clone().expect("dup")).write_all(b"hello\n").expect("writes");
    assert_eq!(code(&created), 0);
    let text = read(console);
    assert!(
        text.contains("/dev/pts/0") && text.contains("12 34") && text.contains("\n88\r") && text.contains("got hello"),
        "{text}"
    );
}

#[test]
fn a_joining_process_gets_a_terminal_of_the_container() {
    check("exec-terminal");
}

fn joined_terminal() {
    let mut fixture = Fixture::new();
    let created = sleeping(&mut fixture);
    let stdio = Stdio::Terminal { rows: 5, cols: 6 };
    let mut child = join(&fixture, &created, &["sh", "-c", "tty; stty size"], &stdio).expect("joins");
    let console = child.console.take().expect("a terminal");
    assert_eq!(end(&child.pidfd), 0);
    let text = read(console);
    assert!(text.contains("/dev/pts/0") && text.contains("5 6"), "{text}");
}

#[test]
fn the_reaper_passes_signals_on_and_ends_with_the_program() {
    check("init");
}

fn init() {
    let mut fixture = Fixture::new();
    fixture.init = true;
    assert_eq!(
        fixture.output("echo $$; cat /proc/1/comm; readlink /proc/1/exe"),
        "2\nrpod-init\n/memfd:rpod (deleted)"
    );
    assert_eq!(fixture.script("sleep 0 & exit 9").run().expect("runs").code, 9);
    let error = fixture.args(&["nothing"]).run().expect_err("fails");
    assert_eq!(error.kind(), Kind::ProgramNotFound);
    // The reaper's own program was there: what failed is known all the same.
    let spec = fixture.script("trap 'exit 5' TERM; echo ready; while :; do sleep 1; done").typed();
    let (stdio, out, _err) = pipes();
    let mut created = fixture.create(&spec, stdio).expect("creates");
    created.start().expect("starts");
    let mut byte = [0; 6];
    std::fs::File::from(out.try_clone().expect("dup")).read_exact(&mut byte).expect("reads");
    pidfd_send_signal(&created.pidfd, Signal::TERM).expect("signals");
    assert_eq!(code(&created), 5);
}

#[test]
fn a_container_ends_with_its_parent() {
    check("orphan");
}

/// A parent that ends without a word, at any moment of the start.
fn orphan() {
    use crate::sys::process::{Fork, exit_now, fork};
    for start in [true, false] {
        let (alive, their_alive) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
        match fork().expect("forks") {
            Fork::Child => {
                let mut fixture = Fixture::new();
                let spec = fixture.script("exec sleep 1000").typed();
                let (_, out, _) = pipes();
                let null = || std::fs::File::open("/dev/null").expect("null").into();
                let stdio = Stdio::Pipes { stdin: null(), stdout: their_alive, stderr: null() };
                let mut created = fixture.create(&spec, stdio).expect("creates");
                if start {
                    created.start().expect("starts");
                }
                drop(out);
                let dir = fixture.dir.clone();
                std::mem::forget((created, fixture));
                let _ = std::fs::remove_dir_all(dir);
                exit_now(0)
            }
            Fork::Parent(child) => {
                drop(their_alive);
                assert_eq!(child.wait().expect("waits"), 0);
                let begin = Instant::now();
                // Ends when nobody has the container's standard output any more.
                assert_eq!(read(alive), "");
                assert!(begin.elapsed() < Duration::from_secs(5));
            }
        }
    }
}
