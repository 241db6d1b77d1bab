//! What the Spec asks for reaches the program.

use std::fs;

use serde_json::json;

use super::Scenario;
use super::container::{Fixture, pipes};
use crate::runtime::{Bundle, NoHooks, Rootfs, create};
use crate::sys::scenario::{self, check};
use crate::sys::seccomp::Filter;
use crate::userns::{IdMaps, IdRange};

pub(super) const ALL: &[Scenario] = &[
    ("user", user),
    ("limits", limits),
    ("mounts", mounts),
    ("read-only", read_only),
    ("filter", filter),
    ("keep-id", keep_id),
    ("fuse", fuse),
    ("restricted", restricted),
    ("no-userns", no_userns),
    ("many-layers", many_layers),
    ("failures", failures),
    ("crun", other_runtime),
];

#[test]
fn the_program_is_the_user_that_the_spec_says() {
    check("user");
}

fn user() {
    let mut fixture = Fixture::new();
    fixture.overlay = true;
    fixture.spec["process"]["user"] =
        json!({ "uid": 1000, "gid": 1001, "umask": 63, "additionalGids": [5, 6, 4_000_000_000_u32] });
    fixture.spec["process"]["noNewPrivileges"] = json!(true);
    fixture.spec["process"]["cwd"] = json!("/home/me");
    let single = fixture.maps.is_single();
    if single {
        let error = fixture.script("id").run().expect_err("fails");
        assert!(error.to_string().contains("1000") && !error.hints().is_empty(), "{error}");
        fixture.spec["process"]["user"] = json!({ "uid": 0, "gid": 0, "umask": 63, "additionalGids": [5] });
    }
    fixture.spec["process"]["capabilities"]["ambient"] = json!(["CAP_NET_BIND_SERVICE"]);
    fixture.spec["process"]["capabilities"]["inheritable"] = json!(["CAP_NET_BIND_SERVICE"]);
    let text = fixture.args(&["cat", "/proc/self/status"]).run().expect("runs").stdout;
    let (ids, groups) = if single { ("0\t0\t0\t0", "Groups:") } else { ("1000\t1000\t1000\t1000", "Groups:\t5 6 ") };
    for line in [
        &format!("Uid:\t{ids}"),
        groups,
        "NoNewPrivs:\t1",
        "Umask:\t0077",
        "CapAmb:\t0000000000000400",
        "CapInh:\t0000000000000400",
        "CapBnd:\t00000000800405fb",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(
        fixture.output("pwd; stat -c '%u %a' /home/me; echo x >/dev/stdout; echo y >/dev/stderr"),
        "/home/me\n0 755\nx"
    );
}

#[test]
fn limits_and_scores_are_set() {
    check("limits");
}

fn limits() {
    let mut fixture = Fixture::new();
    fixture.spec["process"]["rlimits"] = json!([
        { "type": "RLIMIT_NOFILE", "soft": 123, "hard": 456 }, { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }
    ]);
    fixture.spec["process"]["oomScoreAdj"] = json!(500);
    assert_eq!(fixture.output("ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj"), "123\n456\n0\n500");
    fixture.spec["process"]["rlimits"] =
        json!([{ "type": "RLIMIT_NOFILE", "soft": 2_000_000_000, "hard": 2_000_000_000 }]);
    assert!(fixture.run().expect_err("fails").to_string().contains("limit"));
}

#[test]
fn mounts_have_their_options_and_places() {
    check("mounts");
}

fn mounts() {
    let mut fixture = Fixture::new();
    fixture.overlay = true;
    let volume = fixture.dir.join("volume");
    fs::create_dir(&volume).expect("a directory");
    fs::write(volume.join("file"), "in volume").expect("writes");
    fs::create_dir_all(fixture.root().join("var/data/sub")).expect("a directory");
    fs::write(fixture.root().join("var/data/sub/x"), "from image").expect("writes");
    std::os::unix::fs::symlink("sub/x", fixture.root().join("var/data/link")).expect("a link");
    for mount in [
        json!({ "destination": "/new/dir", "type": "bind", "source": volume, "options": ["rbind", "ro", "noexec"] }),
        json!({ "destination": "/etc/new.conf", "type": "bind", "source": volume.join("file"), "options": ["bind"] }),
        json!({ "destination": "/var/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=1m", "mode=1777", "nodev"] }),
        json!({ "destination": "/null", "type": "bind", "source": "/dev/null", "options": ["bind"] }),
    ] {
        fixture.push("/mounts", mount);
    }
    fixture.spec["linux"]["devices"] = json!([{ "path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200 }]);
    for (script, expected) in [
        ("cat /new/dir/file; touch /new/dir/x 2>&1 | grep -c Read-only", "in volume1"),
        ("cat /etc/new.conf; echo more >>/etc/new.conf", "in volume"),
        ("cat /var/data/link; touch /var/data/y; stat -f -c %T /var/data", "from imagetmpfs"),
        ("stat -c '%t %T' /null /dev/net/tun", "1 3\na c8"),
        ("grep /new/dir /proc/self/mountinfo | grep -c noexec", "1"),
    ] {
        assert_eq!(fixture.output(script), expected, "{script}");
    }
    assert_eq!(fs::read_to_string(volume.join("file")).expect("reads"), "in volumemore\n");
    fixture
        .push("/mounts", json!({ "destination": "/x", "type": "bind", "source": "/not/there", "options": ["bind"] }));
    let error = fixture.run().expect_err("fails");
    assert!(error.to_string().contains("cannot bind /not/there to /x"), "{error}");
}

#[test]
fn a_read_only_root_is_read_only() {
    check("read-only");
}

fn read_only() {
    for overlay in [true, false] {
        let mut fixture = Fixture::new();
        fixture.overlay = overlay;
        fixture.spec["root"]["readonly"] = json!(true);
        assert_eq!(fixture.output("touch /x 2>&1 | grep -c Read-only; touch /dev/shm/x && echo shm"), "1\nshm");
    }
}

#[test]
fn a_filter_is_loaded() {
    check("filter");
}

fn filter() {
    // mkdir and mkdirat fail with errno 42; everything else is allowed.
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let program = vec![
        op(0x20, 0, 0, 0),
        op(0x15, 2, 0, libc::SYS_mkdirat as u32),
        op(0x15, 1, 0, if cfg!(target_arch = "x86_64") { 83 } else { u32::MAX }),
        op(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
        op(0x06, 0, 0, libc::SECCOMP_RET_ERRNO | 42),
    ];
    let filter = Filter { program, flags: 0 };
    for nnp in [false, true] {
        let mut fixture = Fixture::new();
        fixture.spec["process"]["noNewPrivileges"] = json!(nnp);
        fixture.spec["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        let spec = fixture.script("mkdir /x; grep Seccomp: /proc/self/status").typed();
        assert!(fixture.create(&spec, pipes().0).is_err(), "rules without a filter");
        let (stdio, out, err) = pipes();
        let bundle = Bundle { seccomp: Some(&filter), ..fixture.bundle(&spec, stdio) };
        let mut created = create(bundle, &mut NoHooks).expect("creates");
        created.start().expect("starts");
        let outcome = super::container::finish(created, out, err);
        assert_eq!(outcome.stdout, "Seccomp:\t2\n", "{outcome:?}");
        assert!(outcome.stderr.contains("can't create directory"), "{outcome:?}");
    }
}

#[test]
fn a_user_may_keep_their_id() {
    check("keep-id");
}

fn keep_id() {
    let mut fixture = Fixture::new();
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    if uid != 2101 {
        return;
    }
    let all = IdMaps::for_user().expect("maps");
    // The user has the same id inside; the subordinate ids are below and above it.
    let keep = |ranges: &[IdRange], id: u32| match ranges {
        [own, IdRange { host, size, .. }] => vec![
            IdRange { container: id, ..*own },
            IdRange { container: 0, host: *host, size: id },
            IdRange { container: id + 1, host: host + id, size: size - id },
        ],
        _ => panic!("{ranges:?}"),
    };
    fixture.maps = IdMaps { uids: keep(&all.uids, uid), gids: keep(&all.gids, gid), single: None };
    fixture.overlay = true;
    fixture.spec["process"]["user"] = json!({ "uid": uid, "gid": gid });
    assert_eq!(fixture.output("id -u; stat -c %u /bin/busybox /dev; touch /tmp/x"), format!("{uid}\n{uid}\n0"));
}

#[test]
fn fuse_overlayfs_serves_a_root_and_ends_with_the_container() {
    check("fuse");
}

fn fuse() {
    let program = std::path::PathBuf::from("/usr/bin/fuse-overlayfs");
    if !program.exists() || fs::File::options().read(true).write(true).open("/dev/fuse").is_err() {
        return;
    }
    let mut fixture = Fixture::new();
    let (upper, work) = (fixture.dir.join("upper"), fixture.dir.join("work"));
    let lower = vec![fixture.root()];
    let spec = fixture
        .script("touch /new; stat -f -c %T /; grep -c fuse-overlayfs /proc/self/mountinfo; cat /proc/[0-9]*/comm")
        .typed();
    let (stdio, out, err) = pipes();
    let rootfs = Rootfs::FuseOverlayfs { lower, upper: upper.clone(), work, program };
    let bundle = Bundle { rootfs, ..fixture.bundle(&spec, stdio) };
    let mut created = create(bundle, &mut NoHooks).expect("creates");
    created.start().expect("starts");
    let outcome = super::container::finish(created, out, err);
    assert!(outcome.stdout.starts_with("UNKNOWN\n1\n") || outcome.stdout.contains("fuse"), "{outcome:?}");
    assert!(!outcome.stdout.contains("fuse-overlayfs\n"), "the helper is visible: {outcome:?}");
    assert!(upper.join("new").exists());
    let mine = upper.display().to_string();
    for _ in 0..100 {
        let left = fs::read_dir("/proc").expect("/proc").flatten().any(|process| {
            fs::read(process.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&mine))
        });
        if !left {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("fuse-overlayfs is still there");
}

/// Inside another container parts of /proc and /sys are covered, and the kernel mounts no fresh ones.
#[test]
fn an_environment_that_refuses_procfs_gets_the_hosts() {
    scenario::check_wrapped(
        "restricted",
        "mount -t tmpfs none /proc/scsi || mount -t tmpfs none /proc/bus; mount -t tmpfs none /sys/firmware",
    );
}

fn restricted() {
    let mut fixture = Fixture::new();
    let outcome = fixture.script("echo $$; cat /proc/self/comm; ls /proc/bus").run().expect("runs");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("cat"), "{outcome:?}");
    assert!(outcome.warnings.iter().any(|w| w.contains("/proc")), "{outcome:?}");
}

#[test]
fn root_can_do_without_a_user_namespace() {
    check("no-userns");
}

fn no_userns() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut fixture = Fixture::new();
    fixture.overlay = true;
    let spec = fixture.script("hostname; cat /proc/self/uid_map | wc -l; ls /proc/self/fd").typed();
    let (stdio, out, err) = pipes();
    let bundle = Bundle { maps: None, ..fixture.bundle(&spec, stdio) };
    let mut created = create(bundle, &mut NoHooks).expect("creates");
    created.start().expect("starts");
    let outcome = super::container::finish(created, out, err);
    assert_eq!(outcome.stdout, "box\n1\n0\n1\n2\n3\n", "{outcome:?}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("reads");
    assert!(!mounts.contains("rpod-scenario"), "mounts came back to the host: {mounts}");
}

#[test]
fn a_hundred_layers_are_one_overlay() {
    check("many-layers");
}

fn many_layers() {
    let mut fixture = Fixture::new();
    let mut lower = vec![fixture.root()];
    for number in 0..126 {
        // What would end a path in the options of overlay.
        let layer = fixture.dir.join(format!("layer,{number}:x\\"));
        fs::create_dir(&layer).expect("a directory");
        fs::write(layer.join(format!("f{number}")), "").expect("writes");
        lower.push(layer);
    }
    let spec = fixture.script("ls / | grep -c '^f[0-9]'").typed();
    let (stdio, out, err) = pipes();
    let (upper, work) = (fixture.dir.join("upper"), fixture.dir.join("work"));
    let rootfs = Rootfs::Overlay { lower, upper, work, volatile: false };
    let bundle = Bundle { rootfs, ..fixture.bundle(&spec, stdio) };
    let mut created = create(bundle, &mut NoHooks).expect("creates");
    created.start().expect("starts");
    assert_eq!(super::container::finish(created, out, err).stdout, "126\n");
}

#[test]
fn failures_say_what_failed_and_leave_nothing() {
    check("failures");
}

fn failures() {
    let mut fixture = Fixture::new();
    fixture.push("/mounts", json!({ "destination": "/x", "type": "nosuchfs", "source": "x" }));
    let error = fixture.run().expect_err("fails");
    assert!(error.to_string().contains("cannot mount nosuchfs on /x"), "{error}");
    fixture.spec["mounts"].as_array_mut().expect("a list").pop();
    fixture.spec["process"]["args"] = json!([]);
    assert!(fixture.run().is_err());
    fixture.spec["process"]["args"] = json!(["true"]);
    fixture.maps = IdMaps { uids: vec![IdRange { container: 0, host: 77, size: 1 }], ..fixture.maps.clone() };
    if !rustix::process::geteuid().is_root() {
        let error = fixture.run().expect_err("fails");
        assert!(error.to_string().contains("newuidmap"), "{error}");
    }
    let children = fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())).unwrap_or_default();
    assert_eq!(children, "");
}

#[test]
fn another_runtime_carries_out_the_same_spec() {
    // crun refuses hosts with cgroups of both versions.
    scenario::check_wrapped("crun", "mount -t cgroup2 none /sys/fs/cgroup");
}

fn other_runtime() {
    let program = std::path::PathBuf::from("/usr/bin/crun");
    if !program.exists() {
        return;
    }
    let mut fixture = Fixture::new();
    fixture.overlay = true;
    let dir = fixture.dir.join("crun");
    fs::create_dir(&dir).expect("a directory");
    if fixture.maps.is_single() {
        // This runtime leaves out what is not mapped; crun does not.
        fixture.spec["mounts"][3]["options"].as_array_mut().expect("a list").retain(|option| option != "gid=5");
    }
    let crun = crate::runtime::crun::Crun { program, dir: dir.clone(), id: "box".to_owned() };
    let script =
        "hostname; id -u; echo $$; ls /dev; grep -E 'CapEff|Umask' /proc/self/status; cat /proc/net/dev | wc -l";
    // crun takes an identity map for no user namespace at all, and then makes device nodes.
    fn as_crun(bundle: Bundle<'_>) -> Bundle<'_> {
        Bundle { maps: bundle.maps.filter(|_| !rustix::process::geteuid().is_root()), ..bundle }
    }
    let both = [true, false].map(|own| {
        let spec = fixture.script(script).typed();
        let (stdio, out, err) = pipes();
        let mut created = match own {
            true => create(fixture.bundle(&spec, stdio), &mut NoHooks),
            false => crate::runtime::crun::create(crun.clone(), as_crun(fixture.bundle(&spec, stdio)), &mut NoHooks),
        }
        .expect("creates");
        created.start().expect("starts");
        super::container::finish(created, out, err)
    });
    assert_eq!(both[0].stdout, both[1].stdout, "{both:?}");
    fs::remove_dir_all(&dir).expect("removes");
    fs::create_dir(&dir).expect("a directory");
    let spec = fixture.args(&["nothing"]).typed();
    let failed = crate::runtime::crun::create(crun, as_crun(fixture.bundle(&spec, pipes().0)), &mut NoHooks)
        .and_then(|mut created| created.start())
        .expect_err("fails");
    assert_eq!(failed.kind(), crate::error::Kind::ProgramNotFound, "{failed}");
}
