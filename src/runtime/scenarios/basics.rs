//! What every container has.

use serde_json::json;

use super::Scenario;
use super::container::Fixture;
use crate::error::Kind;
use crate::sys::scenario::check;

pub(super) const ALL: &[Scenario] = &[("true", runs), ("shape", shape), ("missing", missing)];

#[test]
fn a_program_runs_and_its_exit_code_comes_back() {
    check("true");
}

fn runs() {
    for overlay in [false, true] {
        let mut fixture = Fixture::new();
        fixture.overlay = overlay;
        fixture.script("echo out; echo err >&2; exit 7");
        let outcome = fixture.run().expect("runs");
        assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (7, "out\n", "err\n"));
        assert_eq!(outcome.warnings, Vec::<String>::new());
    }
}

#[test]
fn namespaces_mounts_and_devices_are_the_containers_own() {
    check("shape");
}

fn shape() {
    let mut fixture = Fixture::new();
    fixture.overlay = true;
    let lines = [
        ("echo $$", "1"),
        ("hostname", "box"),
        ("id -u; id -g", "0\n0"),
        ("for l in fd stdin ptmx; do readlink /dev/$l; done", "/proc/self/fd\n/proc/self/fd/0\npts/ptmx"),
        ("stat -c '%t %T' /dev/null /dev/tty", "1 3\n5 0"),
        ("echo x > /dev/null && head -c 3 /dev/zero | wc -c", "3"),
        ("touch /proc/sys/kernel/hostname 2>&1 | grep -c Read-only", "1"),
        ("head -c 1 /proc/kcore | wc -c; cat /proc/keys; ls /sys/firmware", "0"),
        ("cat /proc/sys/net/ipv4/ping_group_range", "0\t0"),
        ("ls /proc/self/fd", "0\n1\n2\n3"),
        ("grep -c . /proc/net/dev", "3"),
        ("touch /x && stat -c '%u %g' /x", "0 0"),
        ("cat /proc/self/oom_score_adj", "0"),
        ("grep -h CapEff /proc/self/status", "CapEff:\t00000000800405fb"),
        ("grep -h CapBnd /proc/self/status", "CapBnd:\t00000000800405fb"),
    ];
    for (script, expected) in lines {
        assert_eq!(fixture.output(script), expected, "{script}");
    }
    // Asked without a shell, which has signal dispositions of its own.
    let status = fixture.args(&["cat", "/proc/self/status"]).run().expect("runs").stdout;
    for line in ["SigIgn:\t0000000000000000", "SigBlk:\t0000000000000000", "Umask:\t0022"] {
        assert!(status.contains(line), "{line} in {status}");
    }
}

#[test]
fn a_missing_program_is_told_apart_from_one_that_cannot_run() {
    check("missing");
}

fn missing() {
    let mut fixture = Fixture::new();
    for (program, kind) in [
        ("nothing", Kind::ProgramNotFound),
        ("/bin/nothing", Kind::ProgramNotFound),
        ("/etc", Kind::CannotInvoke),
        ("/empty", Kind::CannotInvoke),
    ] {
        std::fs::write(fixture.root().join("empty"), "").expect("writes");
        let error = fixture.args(&[program]).run().expect_err("fails");
        assert_eq!(error.kind(), kind, "{program}: {error}");
    }
    fixture.spec["process"]["cwd"] = json!("/new/dir");
    assert_eq!(fixture.args(&["sh", "-c", "pwd"]).run().expect("runs").stdout, "/new/dir\n");
}
