//! From flags' values to a Spec, for images and hosts made up here.

use std::collections::HashMap;
use std::path::Path;

use oci_spec::runtime::Spec;
use serde_json::Value;

use super::{HostFacts, Request, Resolved, RootFiles, resolve};
use crate::engine::container::options::environment::Environment;
use crate::engine::container::options::life::Life;
use crate::engine::container::options::mounts::{ImageVolumes, requests};
use crate::engine::container::options::security::{Security, security};
use crate::engine::container::options::userns::UserNamespace;
use crate::engine::container::options::values::{Log, add_host, device};
use crate::engine::container::options::{NamespaceMode, NetworkOptions, RootSource, RunOptions, limits};
use crate::error::Result;
use crate::image::config::ImageConfig;
use crate::network::mode;
use crate::spec::{capabilities, defaults};
use crate::userns::{IdMaps, IdRange};

const ID: &str = "ae9703178e187255ee81ccea0d2a432bc63b51571f291e4f44b75ccbd1253c1b";

struct Files(HashMap<&'static str, &'static str>);

impl RootFiles for Files {
    fn read(&self, path: &str, _limit: u64) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(path).map(|text| text.as_bytes().to_vec()))
    }

    fn exists(&self, path: &str) -> Result<bool> {
        Ok(path == "/" || path == "/there")
    }
}

fn files() -> Files {
    Files(HashMap::from([
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1001:Bob:/home/bob:/bin/sh\n"),
        ("etc/group", "root:x:0:\nbob:x:1001:\naudio:x:29:bob\nextra:x:50:bob,root\nhigh:x:90000:root\n"),
    ]))
}

fn image(config: &str) -> ImageConfig {
    let text = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},"config":{config}}}"#
    );
    ImageConfig::parse(text.as_bytes()).expect("a config")
}

const BUSYBOX: &str = r#"{"Cmd":["/bin/sh"],"Volumes":{"/data":{}},"ExposedPorts":{"80/tcp":{}},"Env":["A=1","PATH=/bin"],
    "Labels":{"l":"image","m":"image"},"StopSignal":"SIGQUIT"}"#;

fn host() -> HostFacts {
    let maps =
        |own| vec![IdRange { container: 0, host: own, size: 1 }, IdRange { container: 1, host: 100_000, size: 65_536 }];
    HostFacts {
        maps: IdMaps { uids: maps(2000), gids: maps(2000), single: None },
        kernel: (6, 1),
        last_capability: 40,
        hostname: "machine".into(),
        selinux: false,
        apparmor: false,
        may_raise_limits: false,
    }
}

fn options() -> RunOptions {
    RunOptions {
        root: RootSource::Image("bb".into()),
        command: vec![],
        entrypoint: None,
        tty: false,
        interactive: false,
        rm: false,
        init: false,
        environment: Environment::default(),
        workdir: None,
        user: None,
        groups: vec![],
        umask: defaults::UMASK,
        domainname: None,
        hostname: None,
        labels: [("m".to_owned(), "mine".to_owned())].into(),
        annotations: [].into(),
        stop_signal: None,
        stop_timeout: None,
        mounts: vec![],
        volumes_from: vec![],
        secrets: vec![],
        image_volumes: ImageVolumes::default(),
        devices: vec![],
        cdi: vec![],
        shm_size: defaults::SHM_SIZE,
        read_only: false,
        read_only_tmpfs: true,
        network: NetworkOptions::default(),
        capabilities: capabilities::Changes::default(),
        security: Security::default(),
        privileged: false,
        userns: UserNamespace::default(),
        pid: NamespaceMode::Private,
        sharing: crate::engine::container::options::ipc::Sharing::default(),
        systemd: crate::engine::container::options::systemd::Systemd::default(),
        ipc: NamespaceMode::Private,
        uts: NamespaceMode::Private,
        cgroup: NamespaceMode::Private,
        resources: crate::spec::settings::Resources::default(),
        cgroups: crate::runtime::cgroup::Wish::default(),
        ignored: vec![],
        ulimits: limits::Ulimits::default(),
        sysctls: vec![],
        oom_score_adj: None,
        life: Life::default(),
        log: Log::default(),
        surroundings: crate::engine::container::options::surroundings::Surroundings::default(),
        asked: crate::engine::container::asked::Asked::default(),
    }
}

fn run_on(host: &HostFacts, image: &ImageConfig, change: impl FnOnce(&mut RunOptions)) -> Result<Resolved> {
    let mut options = options();
    change(&mut options);
    resolve(&Request {
        id: ID,
        options: &options,
        image: Some(image),
        files: &files(),
        host,
        maps: Some(&host.maps),
        joined: None,
        images: &[],
        cdi: &super::cdi::Edits::default(),
        volumes: Path::new("/data/volumes"),
        record: Path::new("/record"),
        root: Path::new("/root/fs"),
    })
}

fn run(change: impl FnOnce(&mut RunOptions)) -> Result<Resolved> {
    run_on(&host(), &image(BUSYBOX), change)
}

fn spec(resolved: &Resolved) -> Value {
    let spec = crate::spec::build(&resolved.settings).expect("a Spec");
    let json = serde_json::to_value(&spec).expect("JSON");
    let again: Spec = serde_json::from_value(json.clone()).expect("readable");
    assert_eq!(again, spec);
    json
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn sorted(value: &Value) -> Vec<&str> {
    let mut words = words(value);
    words.sort_unstable();
    words
}

fn mount<'a>(spec: &'a Value, destination: &str) -> Option<&'a Value> {
    spec["mounts"].as_array()?.iter().find(|mount| mount["destination"] == destination)
}

fn options_of(spec: &Value, destination: &str) -> String {
    mount(spec, destination).map(|mount| words(&mount["options"]).join(",")).unwrap_or_default()
}

const DEFAULT_CAPABILITIES: [&str; 11] = [
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
    "CAP_SYS_CHROOT",
];

#[test]
fn defaults_are_podmans() {
    let resolved = run(|_| {}).expect("resolved");
    let spec = spec(&resolved);
    let process = &spec["process"];
    assert_eq!(process["user"], serde_json::json!({"uid": 0, "gid": 0, "umask": 18, "additionalGids": [50]}));
    assert_eq!(words(&process["args"]), ["/bin/sh"]);
    assert_eq!(words(&process["env"]), ["PATH=/bin", "container=rpod", "A=1", "HOME=/root", "HOSTNAME=ae9703178e18"]);
    assert_eq!(process["cwd"], "/");
    for set in ["bounding", "effective", "permitted"] {
        assert_eq!(sorted(&process["capabilities"][set]), DEFAULT_CAPABILITIES, "{set}");
    }
    assert!(process["capabilities"].get("ambient").is_none() && process["capabilities"].get("inheritable").is_none());
    assert!(process.get("noNewPrivileges").is_none());
    let kinds: Vec<_> = process["rlimits"].as_array().expect("limits").iter().map(|l| l["type"].as_str()).collect();
    assert_eq!(kinds, [Some("RLIMIT_NOFILE"), Some("RLIMIT_NPROC")]);
    assert_eq!(spec["hostname"], "ae9703178e18");
    let destinations: Vec<_> =
        spec["mounts"].as_array().expect("mounts").iter().filter_map(|m| m["destination"].as_str()).collect();
    assert_eq!(
        destinations,
        [
            "/proc",
            "/dev",
            "/sys",
            "/data",
            "/dev/pts",
            "/dev/shm",
            "/dev/mqueue",
            "/etc/resolv.conf",
            "/etc/hosts",
            "/etc/hostname",
            "/run/.containerenv",
            "/sys/fs/cgroup",
        ]
    );
    assert_eq!(options_of(&spec, "/dev/pts"), "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
    assert_eq!(options_of(&spec, "/data"), "rprivate,rw,nodev,exec,nosuid,rbind");
    let linux = &spec["linux"];
    let namespaces: Vec<_> =
        linux["namespaces"].as_array().expect("namespaces").iter().filter_map(|n| n["type"].as_str()).collect();
    assert_eq!(namespaces, ["user", "mount", "pid", "network", "ipc", "uts", "cgroup"]);
    assert_eq!(linux["sysctl"], serde_json::json!({"net.ipv4.ping_group_range": "0 0"}));
    assert_eq!(words(&linux["maskedPaths"]), defaults::MASKED_PATHS);
    assert_eq!(words(&linux["readonlyPaths"]), defaults::READONLY_PATHS);
    assert_eq!(linux["uidMappings"][1], serde_json::json!({"containerID": 1, "hostID": 100_000, "size": 65_536}));
    assert_eq!(linux["seccomp"]["defaultErrnoRet"], 38);
    assert_eq!(linux["resources"], serde_json::json!({}));
    assert_eq!(resolved.stop_signal, 3);
    assert_eq!(resolved.labels.values().collect::<Vec<_>>(), ["image", "mine"]);
    assert_eq!(resolved.volumes.len(), 1);
    assert!(resolved.volumes[0].anonymous && resolved.volumes[0].name.len() == 64);
    assert_eq!(resolved.warnings, ["supplementary groups [90000] are left out: they are not in the user namespace"]);
}

#[test]
fn another_user_gets_only_what_is_named() {
    let added = capabilities::Changes::parse(&["sys_admin".into()], &["CHOWN".into()]).expect("names");
    let spec = spec(
        &run(|o| {
            o.user = Some("bob:29".into());
            o.groups = vec!["audio".into()];
            o.capabilities = added;
        })
        .expect("resolved"),
    );
    let capabilities = &spec["process"]["capabilities"];
    for set in ["effective", "permitted", "inheritable", "ambient"] {
        assert_eq!(words(&capabilities[set]), ["CAP_SYS_ADMIN"], "{set}");
    }
    let bounding = sorted(&capabilities["bounding"]);
    assert!(bounding.contains(&"CAP_SYS_ADMIN") && !bounding.contains(&"CAP_CHOWN"));
    assert_eq!(
        spec["process"]["user"],
        serde_json::json!({"uid": 1000, "gid": 29, "umask": 18, "additionalGids": [29]})
    );
    assert!(words(&spec["process"]["env"]).contains(&"HOME=/home/bob"));
}

#[test]
fn privileged_and_host_network() {
    let privileged = spec(&run(|o| o.privileged = true).expect("resolved"));
    assert!(privileged["linux"].get("maskedPaths").is_none() && privileged["linux"].get("seccomp").is_none());
    assert_eq!(privileged["process"]["capabilities"]["effective"].as_array().map(Vec::len), Some(41));
    assert!(options_of(&privileged, "/sys").contains("rw"));

    let host_network = run(|o| {
        o.network.mode = mode::Mode::Host;
        o.network.publish_all = true;
    })
    .expect("resolved");
    assert!(host_network.ports.is_empty() && host_network.warnings.iter().any(|w| w.starts_with("Port mappings")));
    let host_network = spec(&host_network);
    assert_eq!(host_network["hostname"], "machine");
    assert_eq!(mount(&host_network, "/sys").map(|m| &m["type"]), Some(&"bind".into()));
    assert!(host_network["linux"].get("sysctl").is_none());
    assert!(words(&host_network["linux"]["maskedPaths"]).contains(&"/sys/kernel"));
}

#[test]
fn read_only_keeps_places_to_write() {
    let tmpfs = requests(&[], &[], &["/tmp:size=1m".into()]).expect("a tmpfs");
    let spec = spec(
        &run(|o| {
            o.read_only = true;
            o.mounts = tmpfs;
        })
        .expect("resolved"),
    );
    assert_eq!(spec["root"]["readonly"], true);
    assert_eq!(options_of(&spec, "/tmp"), "size=1m,rw,rprivate,nosuid,nodev,tmpcopyup");
    assert_eq!(options_of(&spec, "/run"), "rw,rprivate,nosuid,nodev,tmpcopyup");
    assert_eq!(options_of(&spec, "/etc/hosts"), "bind,rprivate,ro,nosuid,noexec,nodev");
}

#[test]
fn asked_for_mounts_replace_default_ones() {
    let mounts = requests(&["/dev:/dev".into(), "web:/data:ro,nocopy".into(), "/tmp:/etc/hosts".into()], &[], &[]);
    let mounts = mounts.expect("mounts");
    let resolved = run(|o| {
        o.mounts = mounts;
        o.devices = vec![device("/dev/null:/dev/x:r").expect("a device")];
    })
    .expect("resolved");
    assert_eq!(resolved.volumes.iter().map(|v| (v.name.as_str(), v.copy)).collect::<Vec<_>>(), [("web", false)]);
    let spec = spec(&resolved);
    assert!(mount(&spec, "/dev/pts").is_none() && mount(&spec, "/dev/shm").is_none());
    assert_eq!(mount(&spec, "/dev").map(|m| &m["type"]), Some(&"bind".into()));
    assert_eq!(mount(&spec, "/data").map(|m| &m["source"]), Some(&"/data/volumes/web/_data".into()));
    assert_eq!(mount(&spec, "/etc/hosts").map(|m| &m["source"]), Some(&"/tmp".into()));
    assert_eq!(options_of(&spec, "/dev/x"), "bind,rprivate,nosuid,noexec,ro");
}

#[test]
fn one_id_is_enough_for_any_user() {
    let mut host = host();
    host.maps = IdMaps::single_id(2000, 2000);
    let resolved = run_on(&host, &image(r#"{"Cmd":["x"],"User":"bob"}"#), |_| {}).expect("resolved");
    let maps = resolved.maps.as_ref().expect("maps");
    assert_eq!((maps.host_uid(1000), maps.host_gid(1001)), (Some(2000), Some(2000)));
    assert_eq!(resolved.settings.process.user.groups, [] as [u32; 0]);
    assert_eq!(resolved.settings.sysctls["net.ipv4.ping_group_range"], "1001 1001");
    assert_eq!(options_of(&spec(&resolved), "/dev/pts"), "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
}

#[test]
fn what_is_executed() {
    let both = r#"{"Entrypoint":["e"],"Cmd":["c"]}"#;
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (config, entrypoint, command, expected) in [
        (both, None, list(&[]), Some("e c")),
        (both, None, list(&["x", "y"]), Some("e x y")),
        (both, Some(list(&["z"])), list(&[]), Some("z")),
        (both, Some(list(&[])), list(&["x"]), Some("x")),
        (both, Some(list(&[])), list(&[]), None),
        ("{}", None, list(&[]), None),
        ("{}", None, list(&[""]), None),
        (r#"{"Cmd":["a\u0000b"]}"#, None, list(&[]), None),
    ] {
        let resolved = run_on(&host(), &image(config), |o| {
            o.entrypoint = entrypoint;
            o.command = command;
        });
        assert_eq!(resolved.ok().map(|r| r.settings.process.args.join(" ")).as_deref(), expected, "{config}");
    }
}

#[test]
fn refusals() {
    type Change = fn(&mut RunOptions);
    let cases: [(Change, &str); 10] = [
        (|o| o.user = Some("99999".into()), "potentially insufficient UIDs or GIDs available in user namespace"),
        (|o| o.workdir = Some("rel".into()), "the working directory \"rel\" is invalid"),
        (|o| o.workdir = Some("/missing".into()), "workdir \"/missing\" does not exist on container"),
        (
            |o| (o.init, o.pid) = (true, NamespaceMode::Host),
            "cannot add init binary as PID 1 (PID namespace isn't private)",
        ),
        (
            |o| (o.hostname, o.uts) = (Some("x".into()), NamespaceMode::Host),
            "invalid config provided: cannot set hostname when running in the host UTS namespace",
        ),
        (
            |o| {
                o.network.mode = mode::Mode::Host;
                o.sysctls = vec![limits::sysctl("net.ipv4.ip_forward=1").expect("a sysctl")];
            },
            "sysctl net.ipv4.ip_forward=1 can't be set since Network Namespace set to host: invalid argument",
        ),
        (
            |o| {
                o.network.mode = mode::Mode::None;
                o.network.dns.servers = vec!["1.1.1.1".parse().expect("an address")];
            },
            "conflicting options: dns and the network mode: none",
        ),
        (
            |o| {
                o.network.mode = mode::Mode::Container("x".into());
                o.network.add_hosts = vec![add_host("a:192.0.2.1").expect("an entry")];
            },
            "invalid config provided: cannot set extra host entries",
        ),
        (
            |o| o.security = security(&["apparmor=x".into()]).expect("an option"),
            "apparmor profile \"x\" specified, but Apparmor is not enabled on this system",
        ),
        (|o| o.devices = vec![device("/dev/nonexistent").expect("a device")], "stat /dev/nonexistent: no such file"),
    ];
    for (change, message) in cases {
        let error = run(change).map(|_| ()).expect_err(message).to_string();
        assert!(error.starts_with(message), "{error}");
    }
    assert!(run(|o| o.workdir = Some("/there".into())).is_ok());
    assert!(run(|o| o.workdir = Some("/data/sub".into())).is_ok(), "below a volume");
}

#[test]
fn hostile_images() {
    for (config, message) in [
        (r#"{"Cmd":["x"],"Volumes":{"/":{}}}"#, "the image has an impossible volume \"/\""),
        (r#"{"Cmd":["x"],"Volumes":{"../..":{}}}"#, "the image has an impossible volume \"../..\""),
        (r#"{"Cmd":["x"],"Env":["A=\u0000"]}"#, "the environment contains a NUL byte"),
        (r#"{"Cmd":["x"],"WorkingDir":"/\u0000"}"#, "the image's working directory contains a NUL byte"),
        (r#"{"Cmd":["x"],"StopSignal":"NOPE"}"#, "cannot use the image's stop signal: invalid signal: NOPE"),
    ] {
        let error = run_on(&host(), &image(config), |_| {}).map(|_| ()).expect_err(message).to_string();
        assert!(error.starts_with(message), "{error}");
    }
    let odd =
        image(r#"{"Cmd":["x"],"Volumes":{"a/../b":{},"/b/":{}},"WorkingDir":"w/../../x","Env":["=1","","NOVALUE"]}"#);
    let resolved = run_on(&host(), &odd, |_| {}).expect("resolved");
    assert_eq!(resolved.volumes.len(), 1);
    assert_eq!(resolved.settings.process.cwd, "/x");
    assert!(resolved.settings.process.env.contains(&"NOVALUE=".to_owned()));
}
