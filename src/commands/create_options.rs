//! The flags of `run` and `create` → what the engine is asked for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::network_mode;
use crate::cli::health::Health;
use crate::cli::limits::Resources;
use crate::cli::run::{Container, Image, Network, Process, Storage};
use crate::cli::surroundings::Surroundings as Flags;
use crate::engine::container::asked::Asked;
use crate::engine::container::cdi;
use crate::engine::container::options::environment::{Environment, host_variables};
use crate::engine::container::options::health::{HealthOptions, Typed};
use crate::engine::container::options::life::Life;
use crate::engine::container::options::surroundings::{self, AccountOptions, Surroundings};
use crate::engine::container::options::{NetworkOptions, Pull, RootSource, RunOptions};
use crate::engine::container::options::{
    ipc, life, limits, mounts, resources, secrets, security, systemd, userns, values,
};
use crate::error::{Error, Result};
use crate::image::platform::Platform;
use crate::network::egress::policy::Policy;
use crate::network::mode::Mode;
use crate::network::ports;
use crate::spec::{capabilities, defaults};
use crate::state::names;

/// How the image is come by.
#[derive(Debug, Clone)]
pub(crate) struct PullOptions {
    pub policy: Pull,
    pub quiet: bool,
    /// `None`: this machine's.
    pub platform: Option<Platform>,
}

/// Typed values of everything that describes the container. Reads the files that flags name.
pub(crate) fn run_options(args: &Container) -> Result<RunOptions> {
    let mut words = args.words.iter().map(text).collect::<Result<Vec<_>>>()?.into_iter();
    let first = words.next().filter(|word| !word.is_empty());
    let first = first.ok_or_else(|| Error::new("an image name must be specified"))?;
    if let Some(name) = args.general.name.as_deref().filter(|name| !name.is_empty()) {
        names::check(name).map_err(|e| Error::wrap("running container create option", e))?;
    }
    if let Some(stream) = args.process.attach.iter().find(|s| !["stdin", "stdout", "stderr"].contains(&s.as_str())) {
        return Err(Error::new(format!(
            "invalid stream {stream:?} for --attach - must be one of stdin, stdout, or stderr: invalid argument"
        )));
    }
    let Container { general, process, storage, network, security, limits, .. } = args;
    let namespace =
        |option: &str, value: &Option<String>| values::namespace(option, value.as_deref().unwrap_or_default());
    let (devices, cdi) = devices(storage)?;
    let (ipc, sharing) = ipc::ipc(security.ipc.as_deref().unwrap_or_default(), storage.shm_size.as_deref())?;
    resources::device_rules(&limits.device_cgroup_rule)?;
    let (resources, ignored) = resources::resources(resources::Flags {
        oom_kill_disable: limits.oom_kill_disable,
        conf: &limits.cgroup_conf,
        ..resource_flags(&limits.resources)
    })?;
    if process.tty && general.log_driver.as_deref().is_some_and(|driver| driver.starts_with("passthrough")) {
        return Err(Error::new("--tty gives the program a terminal of its own: there is nothing to pass through"));
    }
    Ok(RunOptions {
        root: if storage.rootfs { values::rootfs(&first)? } else { RootSource::Image(first) },
        command: words.collect(),
        entrypoint: process.entrypoint.as_deref().map(values::entrypoint),
        tty: process.tty,
        interactive: process.interactive || process.attach.iter().any(|stream| stream == "stdin"),
        rm: general.rm,
        init: process.init,
        environment: environment(process, &host_variables())?,
        workdir: process.workdir.clone(),
        user: process.user.clone(),
        groups: process.group_add.clone(),
        umask: process.umask.as_deref().map_or(Ok(defaults::UMASK), values::umask)?,
        hostname: network.hostname.as_deref().map(values::hostname).transpose()?,
        labels: values::labels(&general.label, &general.label_file)?,
        annotations: values::annotations(&general.annotation)?,
        stop_signal: process.stop_signal.as_deref().map(values::signal).transpose()?,
        stop_timeout: process.stop_timeout,
        mounts: mounts::requests(&storage.volume, &storage.mount, &storage.tmpfs)?,
        volumes_from: storage.volumes_from.iter().map(|text| mounts::volumes_from(text)).collect::<Result<_>>()?,
        secrets: storage.secret.iter().map(|text| secrets::secret(text)).collect::<Result<_>>()?,
        image_volumes: mounts::image_volumes(storage.image_volume.as_deref().unwrap_or_default())?,
        devices,
        cdi,
        shm_size: shm_size(storage)?,
        read_only: storage.read_only,
        read_only_tmpfs: storage.read_only_tmpfs.unwrap_or(true),
        network: NetworkOptions { no_hostname: args.surroundings.no_hostname, ..network_options(network)? },
        capabilities: capabilities::Changes::parse(&security.cap_add, &security.cap_drop)?,
        security: security::security(&security.security_opt)?,
        privileged: security.privileged,
        userns: userns::user_namespace(userns::Flags {
            mode: security.userns.as_deref(),
            uidmap: &security.uidmap,
            gidmap: &security.gidmap,
            subuidname: security.subuidname.as_deref(),
            subgidname: security.subgidname.as_deref(),
        })?,
        pid: namespace("pid", &security.pid)?,
        ipc,
        sharing,
        systemd: systemd::systemd(args.surroundings.systemd.as_deref(), args.surroundings.shm_size_systemd.as_deref())?,
        uts: namespace("uts", &security.uts)?,
        cgroup: namespace("cgroupns", &security.cgroupns)?,
        resources,
        cgroups: resources::cgroup(limits.cgroups.as_deref(), limits.cgroup_parent.as_deref())?,
        ignored,
        ulimits: limits::ulimits(&limits.ulimit)?,
        sysctls: limits.sysctl.iter().map(|sysctl| limits::sysctl(sysctl)).collect::<Result<_>>()?,
        oom_score_adj: limits.oom_score_adj.map(limits::oom_score_adj).transpose()?,
        log: values::log(general.log_driver.as_deref(), &general.log_opt)?,
        surroundings: surroundings(&args.surroundings)?,
        asked: asked(args),
        life: Life {
            health: HealthOptions::parse(&health(&args.health))?,
            sdnotify: life::sdnotify(args.life.sdnotify.as_deref())?,
            requires: args.life.requires.clone(),
            restart: life::restart(general.restart.as_deref(), general.rm)?,
            timeout: general.timeout.unwrap_or(0),
        },
    })
}

/// `--device` and `--gpus`: by path, and by name.
fn devices(storage: &Storage) -> Result<(Vec<values::Device>, Vec<cdi::Name>)> {
    let (mut devices, mut names) = (Vec::new(), Vec::new());
    for text in &storage.device {
        match cdi::Name::parse(text) {
            Some(name) => names.push(name),
            None => devices.push(values::device(text)?),
        }
    }
    for text in &storage.gpus {
        names.extend(cdi::gpus(text)?);
    }
    Ok((devices, names))
}

pub(super) fn resource_flags(limits: &Resources) -> resources::Flags<'_> {
    resources::Flags {
        memory: limits.memory.as_deref(),
        memory_swap: limits.memory_swap.as_deref(),
        memory_reservation: limits.memory_reservation.as_deref(),
        memory_swappiness: limits.memory_swappiness,
        cpus: limits.cpus,
        cpu_quota: limits.cpu_quota,
        cpu_period: limits.cpu_period,
        cpu_shares: limits.cpu_shares,
        cpu_rt_period: limits.cpu_rt_period,
        cpu_rt_runtime: limits.cpu_rt_runtime,
        cpuset_cpus: limits.cpuset_cpus.as_deref(),
        cpuset_mems: limits.cpuset_mems.as_deref(),
        pids: limits.pids_limit,
        oom_kill_disable: false,
        blkio_weight: limits.blkio_weight,
        blkio_weight_device: &limits.blkio_weight_device,
        read_bps: &limits.device_read_bps,
        write_bps: &limits.device_write_bps,
        read_iops: &limits.device_read_iops,
        write_iops: &limits.device_write_iops,
        conf: &[],
    }
}

pub(super) fn health(flags: &Health) -> Typed<'_> {
    Typed {
        none: flags.no_healthcheck,
        cmd: flags.health_cmd.as_deref(),
        interval: flags.health_interval.as_deref(),
        timeout: flags.health_timeout.as_deref(),
        start_period: flags.health_start_period.as_deref(),
        retries: flags.health_retries,
        startup_cmd: flags.health_startup_cmd.as_deref(),
        startup_interval: flags.health_startup_interval.as_deref(),
        startup_timeout: flags.health_startup_timeout.as_deref(),
        startup_retries: flags.health_startup_retries,
        startup_success: flags.health_startup_success,
        on_failure: flags.health_on_failure.as_deref(),
        log_destination: flags.health_log_destination.as_deref(),
        log_count: flags.health_max_log_count,
        log_size: flags.health_max_log_size,
    }
}

/// The words of an OCI Spec are UTF-8.
fn text(word: &OsString) -> Result<String> {
    word.to_str().map(ToOwned::to_owned).ok_or_else(|| Error::new(format!("the argument {word:?} is not valid UTF-8")))
}

fn environment(process: &Process, host: &BTreeMap<String, String>) -> Result<Environment> {
    let mut environment =
        Environment { unset: process.unsetenv.clone(), unset_all: process.unsetenv_all, ..Environment::default() };
    if process.http_proxy.unwrap_or(true) {
        environment.pass_proxy(host);
    }
    if process.env_host {
        environment.set.extend(host.clone());
    }
    for file in &process.env_file {
        environment.add_file(file, host)?;
    }
    for variable in &process.env {
        environment.add(variable, host)?;
    }
    Ok(environment)
}

fn shm_size(storage: &Storage) -> Result<u64> {
    match storage.shm_size.as_deref() {
        None | Some("") => Ok(defaults::SHM_SIZE),
        // 0: as much as a tmpfs takes by itself.
        Some(size) => values::size(size).map_err(|e| Error::wrap("unable to translate --shm-size", e)),
    }
}

fn network_options(network: &Network) -> Result<NetworkOptions> {
    let mode = network_mode::mode(network)?;
    let links = network.link.iter().map(|link| network_mode::link(link)).collect::<Result<Vec<_>>>()?;
    if !links.is_empty() && !matches!(mode, Mode::Bridge(_)) {
        return Err(Error::new("--link needs a bridge network")
            .hint("add --network NAME, or --network bridge for the default one"));
    }
    let add_hosts = network.add_host.iter().map(|host| values::add_host(host)).collect::<Result<Vec<_>>>()?;
    if network.no_hosts && !add_hosts.is_empty() {
        return Err(Error::new("--no-hosts and --add-host cannot be set together"));
    }
    Ok(NetworkOptions {
        ports: ports::parse_all(&network.publish)?,
        publish_all: network.publish_all,
        expose: network.expose.clone(),
        dns: values::dns(&network.dns, &network.dns_search, &network.dns_option)?,
        add_hosts,
        no_hosts: network.no_hosts,
        no_hostname: false,
        links,
        egress: egress(network, &mode)?,
        mode,
    })
}

fn egress(network: &Network, mode: &Mode) -> Result<Option<Policy>> {
    let egress = Policy::parse(&network.egress)?;
    if egress.is_some() && !matches!(mode, Mode::Bridge(_)) {
        return Err(Error::new("--egress needs a bridge network, where the netkeeper sees what leaves")
            .hint("add --network NAME, or --network bridge for the default one; --network none lets nothing out"));
    }
    Ok(egress)
}

fn surroundings(flags: &Flags) -> Result<Surroundings> {
    Ok(Surroundings {
        accounts: AccountOptions {
            none: flags.passwd == Some(false),
            passwd_entry: flags.passwd_entry.clone(),
            group_entry: flags.group_entry.clone(),
            host_users: flags.hostuser.clone(),
        },
        hosts: surroundings::hosts(flags.hosts_file.as_deref().unwrap_or_default())?,
        chroot_dirs: flags.chrootdirs.iter().map(|dir| surroundings::chroot_dir(dir)).collect::<Result<_>>()?,
        localtime: surroundings::timezone(flags.tz.as_deref().unwrap_or_default())?,
        merge: flags.env_merge.iter().map(|text| surroundings::merge(text)).collect::<Result<_>>()?,
        init: flags.init_path.as_deref().map(surroundings::init).transpose()?,
        image_seccomp: surroundings::seccomp_policy(flags.seccomp_policy.as_deref().unwrap_or_default())?,
    })
}

/// For `inspect`.
fn asked(args: &Container) -> Asked {
    let path = |path: &Option<PathBuf>| {
        path.iter().filter_map(|path| std::path::absolute(path).ok()).map(|path| path.display().to_string()).collect()
    };
    Asked {
        attach: args.process.attach.clone(),
        userns: args.security.userns.clone().unwrap_or_default(),
        groups: args.process.group_add.clone(),
        security: args.security.security_opt.clone(),
        devices: args.storage.device.clone(),
        volumes_from: args.storage.volumes_from.clone(),
        publish_all: args.network.publish_all,
        hosts_file: args.surroundings.hosts_file.clone().unwrap_or_default(),
        timezone: args.surroundings.tz.clone().unwrap_or_default(),
        no_passwd: args.surroundings.passwd == Some(false),
        pidfile: path(&args.surroundings.pidfile),
        conmon_pidfile: path(&args.surroundings.conmon_pidfile),
        // The rest is known with the image.
        ..Asked::default()
    }
}

/// `--pull`, `--platform`, `--arch`, `--os`, `--variant`.
pub(crate) fn pull_options(image: &Image) -> Result<PullOptions> {
    let mut platform = image.platform.as_deref().map(Platform::parse).transpose()?;
    if image.arch.is_some() || image.os.is_some() || image.variant.is_some() {
        let host = platform.take().unwrap_or_else(Platform::host);
        let (os, arch) = (image.os.as_deref().unwrap_or(&host.os), image.arch.as_deref().unwrap_or(&host.architecture));
        let variant = image.variant.as_deref().map(|v| format!("/{v}")).unwrap_or_default();
        platform = Some(Platform::parse(&format!("{os}/{arch}{variant}"))?);
    }
    let policy = image.pull.as_deref().map_or(Ok(Pull::default()), values::pull)?;
    Ok(PullOptions { policy, quiet: image.quiet, platform })
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;
    use crate::cli::goflags;
    use crate::cli::run::Run;

    fn parse(line: &str) -> Result<RunOptions> {
        let command = goflags::relaxed(goflags::with_help(Run::augment_args(Command::new("run"))));
        let words = line.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace('~', " "));
        let matches = command.no_binary_name(true).try_get_matches_from(words).expect(line);
        run_options(&Run::from_arg_matches(&matches).expect(line).container)
    }

    /// In Podman's words, except where a comment says why not. `~` stands for a blank.
    #[test]
    fn refusals_have_podmans_words() {
        for (line, message) in [
            ("-e =x i", "invalid variable: \"=x\""),
            (
                "--env-file /nonexistent i",
                "parsing file \"/nonexistent\": open /nonexistent: No such file or directory",
            ),
            ("-v /nonexistent:/x i", "statfs /nonexistent: no such file or directory"),
            ("-v ./nonexistent:/x i", "statfs /"),
            ("-v /tmp:x i", "invalid container path \"x\", must be an absolute path"),
            ("-v x i", "invalid container path \"x\", must be an absolute path"),
            ("-v /tmp:/x:foo i", "invalid option type \"foo\""),
            ("-v /tmp:/x:ro,rw i", "invalid options \"ro, rw\", can only specify 1 'rw' or 'ro' option"),
            (
                "-v a/b:/x i",
                "creating named volume \"a/b\": running volume create option: names must match [a-zA-Z0-9]",
            ),
            ("-v ..:/x/.. i", "invalid container path \"/\""),
            ("-v /tmp:/x:a:b i", "/tmp:/x:a:b: incorrect volume format, should be [host-dir:]ctr-dir[:option]"),
            ("-v v1:/x -v v2:/x/ i", "/x: duplicate mount destination"),
            ("-v /tmp:/x --tmpfs /x i", "/x: duplicate mount destination"),
            ("--mount foo i", "incorrect mount format: should be --mount type="),
            ("--mount type=foo,dst=/x i", "invalid filesystem type \"foo\""),
            ("--mount type=bind,dst=/nonexistent i", "statfs /nonexistent: no such file or directory"),
            ("--mount type=bind,src=/tmp i", "must set volume destination"),
            ("--mount type=bind,src=/tmp,dst=/x,foo=1 i", "foo: invalid mount option"),
            ("--mount type=bind,src=/tmp,dst=/x,foo i", "foo: invalid mount option"),
            ("--mount type=tmpfs,src=/a,dst=/x i", "\"src\" option not supported for \"tmpfs\" mount types"),
            ("--mount type=tmpfs,dst=x i", "invalid container path \"x\", must be an absolute path"),
            (
                "--mount type=volume,dst=/x,tmpfs-size=1 i",
                "\"tmpfs-size\" option not supported for \"volume\" mount types",
            ),
            // Podman takes any value for true.
            ("--mount type=bind,src=/tmp,dst=/x,ro=maybe i", "ro=maybe: invalid mount option"),
            ("--tmpfs x i", "invalid container path \"x\", must be an absolute path"),
            ("--tmpfs /x:foo i", "unknown mount option \"foo\": invalid mount option"),
            ("--shm-size 1q i", "unable to translate --shm-size: invalid size: '1q'"),
            (
                "--ulimit foo=1 i",
                "ulimit option \"foo=1\" requires name=SOFT:HARD, failed to be parsed: invalid ulimit",
            ),
            ("--sysctl foo i", "foo is invalid, sysctl values must be in the form of KEY=VALUE"),
            ("--sysctl kernel.foo=1 i", "sysctl 'kernel.foo' is not allowed"),
            ("--device /dev/fuse:/dev/x:z i", "invalid device mode: z"),
            ("--label =x i", "unable to process labels: invalid label format: \"=x\""),
            ("--annotation foo i", "annotations must be formatted KEY=VALUE"),
            ("--stop-signal FOO i", "invalid signal: FOO"),
            ("--log-opt foo i", "invalid log option \"foo\""),
            ("--log-opt max-size=foo i", "invalid value for log-opt max-size: invalid size: 'foo'"),
            // Podman names neither the driver nor the choice, and passes over options it does not know.
            ("--log-driver foo i", "invalid log driver \"foo\""),
            ("--log-opt foo=1 i", "invalid log option \"foo=1\""),
            ("--memory foo i", "invalid value for memory: invalid size: 'foo'"),
            ("--memory -1 i", "invalid value for memory: invalid size: '-1'"),
            // Podman takes it for no limit.
            ("--cpus -1 i", "invalid value for cpus: -1"),
            ("--pids-limit -2 i", "invalid value for pids-limit: -2"),
            ("--security-opt foo i", "invalid --security-opt 1: \"foo\""),
            ("--security-opt foo=bar i", "invalid --security-opt 2: \"foo=bar\""),
            (
                "--security-opt seccomp=/nonexistent i",
                "opening seccomp profile failed: open /nonexistent: No such file",
            ),
            ("--cap-add foo i", "\"CAP_FOO\": unknown capability"),
            ("--cap-add chown --cap-drop CAP_CHOWN i", "capability \"CAP_CHOWN\" cannot be dropped and added"),
            ("--cap-add all --cap-drop all i", "adding all caps and removing all caps not allowed"),
            ("--rm --restart always i", "the --rm option conflicts with --restart, when the restartPolicy is not"),
            ("--health-on-failure bad i", "invalid on-failure action \"bad\" for health check: supported actions are"),
            ("--health-retries 0 --health-cmd x i", "healthcheck-retries must be greater than 0"),
            ("--health-timeout 0s --health-cmd x i", "healthcheck-timeout must be at least 1 second"),
            ("--health-interval x --health-cmd x i", "invalid healthcheck-interval: time: invalid duration \"x\""),
            ("--no-healthcheck --health-cmd x i", "cannot specify both --no-healthcheck and --health-cmd"),
            ("--health-start-period -1s --health-cmd x i", "healthcheck-start-period must be 0 seconds or greater"),
            ("--health-log-destination /nonexist i", "HealthCheck Log '/nonexist' destination error: No such file"),
            ("--health-startup-retries 3 i", "startup healthcheck options need --health-startup-cmd"),
            ("--sdnotify maybe i", "invalid sdnotify value \"maybe\": must be container, conmon, healthy or ignore"),
            ("--restart sometimes i", "\"sometimes\" is not a valid restart policy: invalid argument"),
            ("--restart on-failure:x i", "\"on-failure:x\" is not a valid restart policy: invalid argument"),
            ("--name a/b i", "running container create option: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*"),
            ("--add-host foo i", "bad format for add-host: \"foo\""),
            ("--add-host foo:bar i", "invalid IP address in add-host: \"bar\""),
            ("--dns foo i", "foo is not an ip address"),
            ("--rootfs /nonexistent", "cannot use the root file system /nonexistent: No such file or directory"),
            ("--uidmap 0:0:1 --userns host i", "--userns and --uidmap/--gidmap/--subuidname/--subgidname are mutually"),
            ("--userns foo i", "unrecognized namespace mode foo passed"),
            ("--network mine:foo i", "unknown option \"foo\" of network mine"),
            (
                "--network mine --network host i",
                "cannot set multiple networks without bridge network mode, selected mode host",
            ),
            ("--ip 10.1.1.1 i", "--ip, --ip6, --mac-address and --network-alias need a bridge network"),
            (
                "--network a --network b --ip 10.1.1.1 i",
                "--ip, --ip6 and --mac-address can be set for one network only",
            ),
            ("--network a --network-alias a~b i", "\"a b\" cannot be an alias on a network"),
            ("--network none --link db i", "--link needs a bridge network"),
            ("--network a --link a~b i", "invalid --link"),
            ("--pid foo:x i", "unrecognized namespace mode foo:x passed"),
            ("--uidmap x i", "initializing ID mappings: UID setting is malformed"),
            ("--hostname a~b i", "invalid hostname \"a b\""),
            ("--umask 999 i", "invalid umask 999: invalid argument"),
            ("--oom-score-adj 2000 i", "invalid value for oom-score-adj: 2000"),
        ] {
            let error = parse(line).map(|_| ()).expect_err(line);
            assert!(error.to_string().starts_with(message), "{line}: {error}");
            assert_eq!(error.kind().exit_code(), 125, "{line}");
        }
    }

    #[test]
    fn values() {
        let options = parse(
            "-it --rm --init -e A=1 -v web:/web:ro --mount type=volume,src=v5,dst=/m --mount dst=/n --tmpfs /t:size=1m \
             --cap-add sys_admin,net_admin --dns 1.1.1.1,::1 --dns-search a.b --add-host h;g:host-gateway --memory 1g \
             --cpus 0.5 --pids-limit 7 --ulimit nofile=1:2 --sysctl net.a=1,net.b=2 --entrypoint [\"a\",\"b\"] \
             -u bob:x --group-add a,b --stop-signal sigint -m 64m --log-opt max-size=1k -h box img -x --rm",
        )
        .expect("options");
        assert_eq!(options.root, RootSource::Image("img".into()));
        assert_eq!(options.command, ["-x", "--rm"]);
        assert_eq!(options.entrypoint.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
        assert!(options.tty && options.interactive && options.rm && options.init);
        assert_eq!(options.mounts.len(), 4);
        assert_eq!(options.resources.memory, Some(64 << 20));
        assert_eq!(options.resources.cpu_quota, Some(50_000));
        assert_eq!(options.stop_signal, Some(2));
        assert_eq!(options.sysctls.len(), 2);
        assert_eq!(options.network.dns.servers.len(), 2);
        assert_eq!(options.network.add_hosts[0].names, ["h", "g"]);
        assert_eq!(options.groups, ["a", "b"]);
        assert_eq!(options.log.max_size, Some(1024));
        assert_eq!(options.hostname.as_deref(), Some("box"));
        assert_eq!(options.shm_size, 65_536_000);
        for (text, number) in [("9", 9), ("SIGKILL", 9), ("rtmin+1", 35), ("RTMAX-1", 63), ("usr1", 10), ("CLD", 17)] {
            assert_eq!(values::signal(text).ok(), Some(number), "{text}");
        }
        for text in ["0", "65", "RTMIN+31", "RTMAX-31", "", "SIG", "-1"] {
            assert!(values::signal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn platforms() {
        let image = |arch: Option<&str>, platform: Option<&str>| Image {
            arch: arch.map(ToOwned::to_owned),
            platform: platform.map(ToOwned::to_owned),
            ..Image::default()
        };
        let chosen = |image: &Image| pull_options(image).map(|p| p.platform.map(|p| p.architecture));
        assert_eq!(chosen(&image(None, None)).ok(), Some(None));
        assert_eq!(chosen(&image(Some("arm64"), None)).ok(), Some(Some("arm64".into())));
        assert_eq!(chosen(&image(None, Some("linux/s390x"))).ok(), Some(Some("s390x".into())));
        let policy =
            |text: &str| pull_options(&Image { pull: Some(text.into()), ..Image::default() }).map(|p| p.policy);
        assert_eq!(policy("always").ok(), Some(Pull::Always));
        assert_eq!(policy("foo").expect_err("bad").to_string(), "unsupported pull policy \"foo\"");
    }
}
