//! A container from a busybox root and a Spec in Podman's shape, for the other scenarios.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::{Value, json};

use crate::error::Result;
use crate::runtime::hook::Subject;
use crate::runtime::{Bundle, Created, NoHooks, Rootfs, Stdio, create};
use crate::userns::IdMaps;

/// A directory of the test's own, removed with it.
pub(super) struct Fixture {
    pub dir: PathBuf,
    pub maps: IdMaps,
    pub spec: Value,
    pub init: bool,
    pub overlay: bool,
    /// Good for one run.
    pub volatile: bool,
}

/// What a container did.
#[derive(Debug)]
pub(super) struct Outcome {
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
    pub warnings: Vec<String>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let base = std::env::temp_dir();
        let uid = rustix::process::getuid().as_raw();
        let dir = base.join(format!("rpod-scenario-{uid}-{}", std::process::id()));
        // Left by a test of the same number that was killed.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).expect("a directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("mode");
        for name in ["root/bin", "root/proc", "root/sys", "root/dev", "root/etc", "root/tmp", "upper", "work"] {
            fs::create_dir_all(dir.join(name)).expect("a directory");
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|b| Path::new(b).exists());
        fs::copy(busybox.expect("busybox-static is installed"), dir.join("root/bin/busybox")).expect("busybox");
        for name in [
            "sh", "cat", "ls", "id", "mount", "true", "ln", "readlink", "grep", "sleep", "kill", "stat", "ps", "mkdir",
            "echo", "tty", "stty", "touch", "nproc", "hostname", "dd", "env", "head", "wc", "rm",
        ] {
            symlink("busybox", dir.join("root/bin").join(name)).expect("a link");
        }
        let maps = IdMaps::for_user().expect("maps");
        Self { dir, maps, spec: spec(), init: false, overlay: false, volatile: false }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Sets the program.
    pub(super) fn args(&mut self, args: &[&str]) -> &mut Self {
        self.spec["process"]["args"] = json!(args);
        self
    }

    pub(super) fn script(&mut self, script: &str) -> &mut Self {
        self.args(&["/bin/sh", "-c", script])
    }

    pub(super) fn push(&mut self, pointer: &str, value: Value) -> &mut Self {
        let list = self.spec.pointer_mut(pointer).expect("a list");
        list.as_array_mut().expect("a list").push(value);
        self
    }

    pub(super) fn typed(&self) -> Spec {
        serde_json::from_value(self.spec.clone()).expect("a Spec")
    }

    pub(super) fn bundle<'a>(&'a self, spec: &'a Spec, stdio: Stdio) -> Bundle<'a> {
        let rootfs = match self.overlay {
            true => Rootfs::Overlay {
                lower: vec![self.root()],
                upper: self.dir.join("upper"),
                work: self.dir.join("work"),
                volatile: self.volatile,
            },
            false => Rootfs::Directory { path: self.root() },
        };
        Bundle {
            parent: None,
            spec,
            maps: Some(&self.maps),
            ids: Some(&self.maps),
            rootfs,
            given: &[],
            shm: None,
            stdio,
            netdev: None,
            join: Vec::new(),
            seccomp: None,
            init: self.init,
            cgroup: None,
            subject: Some(Subject { id: "scenario", bundle: &self.dir }),
            held: false,
        }
    }

    pub(super) fn create(&self, spec: &Spec, stdio: Stdio) -> Result<Created> {
        create(self.bundle(spec, stdio), &mut NoHooks)
    }

    /// Runs the program to its end.
    pub(super) fn run(&self) -> Result<Outcome> {
        let spec = self.typed();
        let (stdio, stdout, stderr) = pipes();
        let mut created = self.create(&spec, stdio)?;
        created.start()?;
        Ok(finish(created, stdout, stderr))
    }

    /// Runs a script; fails the test unless it succeeds.
    pub(super) fn output(&mut self, script: &str) -> String {
        self.script(script);
        let outcome = self.run().unwrap_or_else(|e| panic!("{script}: {e}"));
        assert_eq!(outcome.code, 0, "{script}: {outcome:?}");
        outcome.stdout.trim_end().to_owned()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // Files of other ids are removed by those who may.
        let dir = self.dir.clone();
        let _ = crate::userns::enter::run(&self.maps, || Ok(fs::remove_dir_all(&dir).is_ok()));
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// /dev/null, and two pipes to read from.
pub(super) fn pipes() -> (Stdio, OwnedFd, OwnedFd) {
    let (stdout, their_stdout) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    let (stderr, their_stderr) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    let stdin = fs::File::open("/dev/null").expect("/dev/null").into();
    (Stdio::Pipes { stdin, stdout: their_stdout, stderr: their_stderr }, stdout, stderr)
}

pub(super) fn finish(created: Created, stdout: OwnedFd, stderr: OwnedFd) -> Outcome {
    let (stdout, stderr) = (read(stdout), read(stderr));
    Outcome { code: code(&created), stdout, stderr, warnings: created.warnings.clone() }
}

/// Everything up to the end. A terminal whose last user has gone answers an error instead.
pub(super) fn read(fd: OwnedFd) -> String {
    let mut bytes = Vec::new();
    let _ = fs::File::from(fd).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reaps the container's first process.
pub(super) fn code(created: &Created) -> u8 {
    let id = rustix::process::WaitId::PidFd(created.pidfd.as_fd());
    let status = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED).expect("waits");
    crate::sys::process::exit_code(&status.expect("a status"))
}

fn spec() -> Value {
    let caps = json!([
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT"
    ]);
    json!({
        "ociVersion": "1.1.0",
        "process": {
            "user": { "uid": 0, "gid": 0, "umask": 18 },
            "args": ["/bin/true"],
            "env": ["PATH=/bin", "HOME=/"],
            "cwd": "/",
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
            "rlimits": [],
        },
        "root": { "path": "rootfs" },
        "hostname": "box",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs",
              "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
              "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
              "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
              "options": ["rprivate", "nosuid", "noexec", "nodev", "relatime", "ro"] },
        ],
        "linux": {
            "sysctl": { "net.ipv4.ping_group_range": "0 0" },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "mount" }, { "type": "cgroup" }, { "type": "user" }
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
                "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
                "/sys/fs/selinux"
            ],
            "readonlyPaths": [
                "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"
            ],
        }
    })
}
