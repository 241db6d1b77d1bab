//! Everything known about a container, in the fields of `podman inspect`.

mod host;

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::runtime::{Capability, LinuxCapabilities, Spec};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::attached;
use super::ports;
use super::record::{Config, GivenSecret, Mount, Root};
use super::resolve::MountKind;
use super::session::{self, Session};
use super::store::Container;
use crate::error::Result;
use crate::monitor::health::{Destination, Healthcheck, Report};
use crate::monitor::state::{State, Status};
use crate::network::keeper::order::Attached;
use crate::network::ports::PortMapping;
use crate::state::id::short;
use crate::state::paths::Dirs;
use crate::sys::signal;

/// Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// One container.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inspected {
    id: String,
    created: Timestamp,
    path: String,
    args: Vec<String>,
    state: Value,
    image: String,
    image_digest: String,
    image_name: String,
    rootfs: String,
    pod: &'static str,
    resolv_conf_path: String,
    hostname_path: String,
    hosts_path: String,
    static_dir: String,
    #[serde(rename = "OCIConfigPath")]
    oci_config_path: String,
    #[serde(rename = "OCIRuntime")]
    oci_runtime: String,
    conmon_pid_file: String,
    pid_file: String,
    name: String,
    restart_count: u32,
    driver: &'static str,
    mount_label: &'static str,
    process_label: &'static str,
    app_armor_profile: &'static str,
    effective_caps: Vec<String>,
    bounding_caps: Vec<String>,
    #[serde(rename = "ExecIDs")]
    exec_ids: Vec<String>,
    graph_driver: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    mounts: Vec<Value>,
    dependencies: [String; 0],
    network_settings: Value,
    namespace: &'static str,
    is_infra: bool,
    is_service: bool,
    kube_exit_code_propagation: &'static str,
    #[serde(rename = "lockNumber")]
    lock_number: u32,
    config: Value,
    host_config: Value,
    use_image_hosts: bool,
    use_image_hostname: bool,
    /// Processes of `exec` in the background with their exit codes, which Podman does not show.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exec_sessions: Vec<Session>,
    /// The plan itself, which Podman does not show either.
    spec: Spec,
}

/// Looks at a container; `size` measures its files as well.
pub(crate) fn inspect(dirs: &Dirs, container: &Container, size: bool) -> Result<Inspected> {
    let state = container.state(dirs)?;
    let sessions = session::list(container);
    let config = container.config()?;
    let record = &container.record;
    let at = |file: &str| container.place.record.join(file).display().to_string();
    let ports = ports::current(container, &state);
    let process = config.spec.process().clone().unwrap_or_default();
    let mut args = process.args().clone().unwrap_or_default();
    let path = if args.is_empty() { String::new() } else { args.remove(0) };
    let caps = process.capabilities().clone().unwrap_or_default();
    Ok(Inspected {
        id: record.id.clone(),
        created: record.created,
        path,
        args,
        state: state_of(container, &state),
        image: record.image_id.clone(),
        image_digest: config.image_digest.clone(),
        image_name: record.image.clone(),
        rootfs: match &config.root {
            Root::Image => String::new(),
            Root::Directory(path) | Root::Overlay(path) => path.display().to_string(),
        },
        pod: "",
        resolv_conf_path: at("resolv.conf"),
        hostname_path: at("hostname"),
        hosts_path: at("hosts"),
        static_dir: container.place.record.display().to_string(),
        oci_config_path: at(super::record::CONFIG),
        oci_runtime: config.runtime.as_ref().map_or_else(|| "rpod".to_owned(), |path| path.display().to_string()),
        conmon_pid_file: config.asked.conmon_pidfile.clone(),
        pid_file: config.asked.pidfile.clone(),
        name: record.name.clone(),
        restart_count: state.restarts,
        driver: config.rootfs.driver(),
        mount_label: "",
        process_label: "",
        app_armor_profile: "",
        effective_caps: names(&caps, LinuxCapabilities::effective),
        bounding_caps: names(&caps, LinuxCapabilities::bounding),
        exec_ids: running(&sessions),
        exec_sessions: sessions,
        graph_driver: graph_driver(container, &config),
        size_rw: size.then(|| container.written()),
        size_root_fs: size.then(|| container.written() + container.image_size()),
        mounts: mounts(&config),
        dependencies: [],
        network_settings: network(container, &state, ports)?,
        namespace: "",
        is_infra: false,
        is_service: false,
        kube_exit_code_propagation: "invalid",
        lock_number: 0,
        use_image_hosts: config.names.no_hosts,
        use_image_hostname: config.names.no_hostname,
        config: settings(container, &config, &process),
        host_config: host::host(container, &config, ports),
        spec: config.spec,
    })
}

fn state_of(container: &Container, state: &State) -> Value {
    let time = |time: Option<Timestamp>| time.map_or_else(|| NEVER.to_owned(), |time| time.to_string());
    let mut value = json!({
        "OciVersion": "1.2.0",
        "Status": state.status.as_str(),
        "Running": state.status == Status::Running,
        "Paused": state.status == Status::Paused,
        "Restarting": state.status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": false,
        "Pid": state.pid,
        "ConmonPid": state.monitor,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": time(state.started_at),
        "FinishedAt": time(state.finished_at),
        "CgroupPath": state.cgroup.as_deref().unwrap_or("".as_ref()),
        "CheckpointedAt": NEVER,
        "RestoredAt": NEVER,
    });
    if let Some(Report { status, failing_streak, log, .. }) = container.health() {
        let log = if log.is_empty() { Value::Null } else { json!(log) };
        value["Health"] = json!({ "Status": status, "FailingStreak": failing_streak, "Log": log });
    }
    value
}

/// `Config.Healthcheck` and its kin, as Podman names them; what is not set is left out.
fn add_health(value: &mut Value, health: &Healthcheck) {
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let nonzero = |object: Value| -> Value {
        let Value::Object(fields) = object else { return object };
        fields.into_iter().filter(|(_, value)| *value != json!(0)).collect::<Map<_, _>>().into()
    };
    value["Healthcheck"] = nonzero(json!({
        "Test": health.test,
        "StartPeriod": nanos(health.start_period),
        "Interval": nanos(health.interval),
        "Timeout": nanos(health.timeout),
        "Retries": health.retries,
    }));
    if let Some(startup) = &health.startup {
        value["StartupHealthCheck"] = nonzero(json!({
            "Test": startup.test,
            "Interval": nanos(startup.interval),
            "Timeout": nanos(startup.timeout),
            "Retries": startup.retries,
            "Successes": startup.success,
        }));
    }
    value["HealthcheckOnFailureAction"] = health.on_failure.as_str().into();
    value["HealthLogDestination"] = match &health.log {
        Destination::Local => "local".into(),
        Destination::Events => "events_logger".into(),
        Destination::Directory(path) => json!(path),
    };
    value["HealthcheckMaxLogCount"] = health.log_count.into();
    value["HealthcheckMaxLogSize"] = health.log_size.into();
}

/// Where the layers are; nothing is mounted in the host's namespace, so there is no `MergedDir`.
fn graph_driver(container: &Container, config: &Config) -> Value {
    let directories: Vec<String> = config.rootfs.directories().iter().map(|dir| dir.display().to_string()).collect();
    let data = match directories.split_first() {
        Some((upper, lower)) if config.rootfs.is_layered() => json!({
            "LowerDir": lower.join(":"),
            "UpperDir": upper,
            "WorkDir": container.place.disk.join("work"),
        }),
        _ => json!({ "RootDir": directories.first() }),
    };
    json!({ "Name": config.rootfs.driver(), "Data": data })
}

fn running(sessions: &[Session]) -> Vec<String> {
    sessions.iter().filter(|session| session.is_running()).map(|session| session.id.clone()).collect()
}

fn names(
    caps: &LinuxCapabilities,
    set: impl Fn(&LinuxCapabilities) -> &Option<std::collections::HashSet<Capability>>,
) -> Vec<String> {
    let mut names: Vec<String> = set(caps).iter().flatten().map(|cap| format!("CAP_{cap}")).collect();
    names.sort();
    names
}

fn mounts(config: &Config) -> Vec<Value> {
    let shown = config.mounts.iter().filter(|mount| mount.kind != MountKind::Tmpfs);
    let mount = |mount: &Mount| {
        let (options, propagation, mode) = sorted(&mount.options);
        let mut value = json!({
            // Podman's word for everything that is neither.
            "Type": if matches!(mount.kind, MountKind::Volume | MountKind::Image) { mount.kind } else { MountKind::Bind },
            "Source": mount.source,
            "Destination": mount.destination,
            "Driver": if mount.kind == MountKind::Volume { "local" } else { "" },
            "Mode": mode,
            "Options": if mount.kind == MountKind::Image { Value::Null } else { json!(options) },
            "RW": !mount.has("ro"),
            "Propagation": propagation,
        });
        if let Some(name) = &mount.name {
            value["Name"] = name.as_str().into();
        }
        if let Some(subpath) = &mount.subpath {
            value["SubPath"] = subpath.as_str().into();
        }
        value
    };
    shown.map(mount).collect()
}

/// The options, and what `inspect` shows of them in fields of their own: propagation and mode.
fn sorted(options: &[String]) -> (Vec<&str>, &str, &str) {
    const KINDS: [&str; 8] =
        ["shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable"];
    let words = || options.iter().map(String::as_str);
    let is_mode = |word: &&str| matches!(*word, "z" | "Z" | "O");
    let rest = words().filter(|word| !is_mode(word) && !KINDS.contains(word) && !matches!(*word, "ro" | "rw"));
    let propagation = words().find(|word| KINDS.contains(word)).unwrap_or_default();
    (rest.collect(), propagation, words().find(is_mode).unwrap_or_default())
}

/// `NetworkSettings`: with one network its addresses stand at the top as well.
fn network(container: &Container, state: &State, ports: &[PortMapping]) -> Result<Value> {
    let attached = if state.status.has_processes() { attached::load(&container.place)? } else { Vec::new() };
    let (Value::Object(mut all), single) = (addresses(None), attached.len() == 1) else { return Ok(Value::Null) };
    if let (true, Value::Object(own)) = (single, addresses(attached.first())) {
        all.extend(own);
    }
    let more = json!({
        "Bridge": "", "SandboxID": "", "HairpinMode": false,
        "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0,
        "Ports": bindings(ports, &container.record.exposed),
        "SandboxKey": if state.status.has_processes() { format!("/proc/{}/ns/net", state.pid) } else { String::new() },
        "Networks": {},
    });
    if let Value::Object(more) = more {
        all.extend(more);
    }
    if !container.record.networks.is_empty() {
        let mut networks = Map::new();
        for name in &container.record.networks {
            let link = attached.iter().find(|link| link.network == *name);
            let mut shown = addresses(link);
            shown["NetworkID"] = name.as_str().into();
            shown["DriverOpts"] = Value::Null;
            shown["IPAMConfig"] = Value::Null;
            shown["Links"] = Value::Null;
            let mut aliases = vec![short(container.id()).to_owned()];
            aliases.extend(link.iter().flat_map(|link| link.aliases.iter().cloned()));
            shown["Aliases"] = json!(aliases);
            networks.insert(name.clone(), shown);
        }
        all.insert("Networks".to_owned(), networks.into());
    }
    Ok(Value::Object(all))
}

/// The addresses on one network.
fn addresses(link: Option<&Attached>) -> Value {
    let of = |ipv6: bool| link.iter().flat_map(|l| &l.addresses).find(|address| address.ip.is_ipv6() == ipv6);
    let ip = |ipv6| of(ipv6).map(|address| address.ip.to_string()).unwrap_or_default();
    let prefix = |ipv6| of(ipv6).map_or(0, |address| address.prefix);
    let gateway = |ipv6| of(ipv6).and_then(|a| a.gateway).map(|ip| ip.to_string()).unwrap_or_default();
    json!({
        "EndpointID": "", "Gateway": gateway(false), "IPAddress": ip(false), "IPPrefixLen": prefix(false),
        "IPv6Gateway": gateway(true), "GlobalIPv6Address": ip(true), "GlobalIPv6PrefixLen": prefix(true),
        "MacAddress": link.map(|link| link.mac.as_str()).unwrap_or_default(),
    })
}

/// `{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}`; a port that is only exposed has null.
fn bindings(ports: &[PortMapping], exposed: &[String]) -> Value {
    let mut all: BTreeMap<String, Value> = exposed.iter().map(|port| (port.clone(), Value::Null)).collect();
    for port in ports {
        let host = port.host_ip.map_or_else(|| "0.0.0.0".to_owned(), |ip| ip.to_string());
        let binding = json!({ "HostIp": host, "HostPort": port.host_port.to_string() });
        match all.entry(format!("{}/{}", port.container_port, port.protocol)).or_insert(Value::Null) {
            Value::Array(bindings) => bindings.push(binding),
            empty => *empty = Value::Array(vec![binding]),
        }
    }
    json!(all)
}

/// `Config`: what image and command line said.
fn settings(container: &Container, config: &Config, process: &oci_spec::runtime::Process) -> Value {
    let record = &container.record;
    let attached = |stream| !config.asked.attach.is_empty() && config.asked.attaches(stream);
    let mut value = json!({
        "Hostname": config.names.hostname,
        "Domainname": "",
        "User": config.user,
        "AttachStdin": attached("stdin"),
        "AttachStdout": attached("stdout"),
        "AttachStderr": attached("stderr"),
        "Tty": record.tty,
        "OpenStdin": record.interactive,
        "StdinOnce": false,
        "Env": process.env().clone().unwrap_or_default(),
        "Cmd": host::null_if_empty(&record.command),
        "Image": record.image,
        "Volumes": host::null_if_empty(&[]),
        "WorkingDir": process.cwd(),
        "Entrypoint": host::null_if_empty(&config.entrypoint),
        "OnBuild": host::null_if_empty(&[]),
        "Labels": if record.labels.is_empty() { Value::Null } else { json!(record.labels) },
        "Annotations": config.spec.annotations(),
        "StopSignal": signal::name(record.stop_signal),
        "CreateCommand": config.create_command,
        "Umask": format!("{:04o}", process.user().umask().unwrap_or(0o022)),
        "Timeout": config.timeout,
        "SystemdMode": config.asked.systemd,
        "sdNotifyMode": config.sdnotify.as_str(),
        "StopTimeout": record.stop_timeout,
        "HealthcheckOnFailureAction": "none",
        "HealthLogDestination": "local",
        "HealthcheckMaxLogCount": 5,
        "HealthcheckMaxLogSize": 500,
        "Passwd": !config.asked.no_passwd,
        "ExposedPorts": exposed(&record.exposed, &record.ports),
    });
    if !config.secrets.is_empty() {
        let secret =
            |s: &GivenSecret| json!({ "Name": s.name, "ID": s.id, "UID": s.uid, "GID": s.gid, "Mode": s.mode });
        value["Secrets"] = config.secrets.iter().map(secret).collect();
    }
    if let Some(health) = &config.health {
        add_health(&mut value, health);
    }
    value
}

fn exposed(exposed: &[String], ports: &[PortMapping]) -> Value {
    let published = ports.iter().map(|port| format!("{}/{}", port.container_port, port.protocol));
    let all: Map<String, Value> = exposed.iter().cloned().chain(published).map(|p| (p, json!({}))).collect();
    if all.is_empty() { Value::Null } else { Value::Object(all) }
}
