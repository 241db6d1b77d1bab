//! `build`. Spellings, letters and defaults are Podman's; those of `docker build` and `docker buildx build` are known too.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::build_refused::Refused;

/// Show the version of what builds images
#[derive(Debug, Args)]
pub(crate) struct Version {}

/// Build an image from a Containerfile or Dockerfile
///
/// CONTEXT is a directory, `-` for an archive or a Dockerfile on standard input, the URL of an archive or of a git
/// repository; without it the directory of the Dockerfile that -f names, or the current one. What was built before
/// and has not changed is taken from the build cache.
///
/// The exit code is that of the program that failed; 125 when the build failed otherwise.
#[derive(Debug, Args)]
#[command(override_usage = "rpod build [options] [CONTEXT]")]
pub(crate) struct Build {
    #[command(flatten)]
    pub input: Input,
    #[command(flatten)]
    pub result: ResultFlags,
    #[command(flatten)]
    pub cache: Cache,
    #[command(flatten)]
    pub steps: Steps,
    #[command(flatten)]
    pub registry: Registry,
    #[command(flatten)]
    pub refused: Refused,

    /// Directory, `-`, or URL
    #[arg(value_name = "CONTEXT")]
    pub context: Option<String>,
}

/// What is built.
#[derive(Debug, Args)]
pub(crate) struct Input {
    /// Path or URL of a Dockerfile, `-` for standard input; several are read one after the other
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<String>,

    /// Path of an ignore file instead of .containerignore or .dockerignore
    #[arg(long, value_name = "FILE")]
    pub ignorefile: Option<PathBuf>,

    /// Value of an ARG (NAME=VALUE; without a value it is taken from here)
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,

    /// Read values of ARGs from a file, one NAME=VALUE per line
    #[arg(long, value_name = "FILE")]
    pub build_arg_file: Vec<PathBuf>,

    /// A further context for FROM, COPY --from and RUN --mount: NAME= a directory, a URL, a git repository, docker-image://IMAGE or oci-layout://DIRECTORY
    #[arg(long, value_name = "NAME=VALUE")]
    pub build_context: Vec<String>,

    /// Image to use instead of that of the first FROM
    #[arg(long, value_name = "IMAGE")]
    pub from: Option<String>,

    /// Stage to build (default the last)
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,

    /// Leave out stages that the target does not need (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub skip_unused_stages: Option<bool>,

    /// Check the Dockerfile and build nothing
    #[arg(long)]
    pub check: bool,

    /// Instead of building: check, outline (what the target can be given) or targets (the stages) (default "build")
    #[arg(long, value_name = "METHOD", conflicts_with = "check")]
    pub call: Option<String>,
}

/// What comes out.
#[derive(Debug, Args)]
pub(crate) struct ResultFlags {
    /// Name of the image; may be given several times
    #[arg(short, long, value_name = "NAME")]
    pub tag: Vec<String>,

    /// Write the image ID to a file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,

    /// Write what was built to a file as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,

    /// Set metadata on the image (NAME=VALUE)
    #[arg(long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,

    /// Add an annotation to the image's manifest, or with index: in front to the manifest list ([TYPE:]NAME=VALUE)
    #[arg(long, value_name = "NAME=VALUE")]
    pub annotation: Vec<String>,

    /// Set a variable of the image's environment (NAME[=VALUE])
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,

    /// Leave out a variable of the base image
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub unsetenv: Vec<String>,

    /// Leave out a label of the base image
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub unsetlabel: Vec<String>,

    /// Form of manifest and config: oci or docker (default "oci")
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,

    /// Make one layer of everything that the build adds
    #[arg(long)]
    pub squash: bool,

    /// Make one layer of everything, the base image included
    #[arg(long)]
    pub squash_all: bool,

    /// Leave out the history
    #[arg(long)]
    pub omit_history: bool,

    /// Time of image and history in seconds since 1970, and of the files in its new layers
    #[arg(long, value_name = "SECONDS")]
    pub timestamp: Option<i64>,

    /// Time of image and history in seconds since 1970 ($SOURCE_DATE_EPOCH)
    #[arg(long, value_name = "SECONDS")]
    pub source_date_epoch: Option<i64>,

    /// With --source-date-epoch: also the time of the files in new layers
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub rewrite_timestamp: Option<bool>,

    /// Platform of the image: OS/ARCH[/VARIANT], or local; several make a manifest list
    #[arg(long, value_name = "PLATFORM", conflicts_with_all = ["arch", "os", "variant"])]
    pub platform: Vec<String>,

    /// Build for every platform that all base images are there for, as a manifest list
    #[arg(long, conflicts_with_all = ["platform", "arch", "os", "variant"])]
    pub all_platforms: bool,

    /// Add the image to this manifest list, which is made when it is not there
    #[arg(long, value_name = "LIST")]
    pub manifest: Option<String>,

    /// Push what was built to the registries that its names say
    #[arg(long)]
    pub push: bool,

    /// Architecture of the image
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,

    /// Operating system of the image
    #[arg(long, value_name = "OS")]
    pub os: Option<String>,

    /// Variant of the image's architecture
    #[arg(long, value_name = "VARIANT")]
    pub variant: Option<String>,

    /// Write the result elsewhere: DIRECTORY, - (tar), or type=local|tar|oci|docker,dest=PATH, or type=registry
    #[arg(short, long, value_name = "OUTPUT")]
    pub output: Vec<String>,
}

/// What is done before and what is shown.
#[derive(Debug, Args)]
pub(crate) struct Cache {
    /// Carry out every step
    #[arg(long)]
    pub no_cache: bool,

    /// Carry out every step of these stages
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub no_cache_filter: Vec<String>,

    /// Use what --cache-to wrote: NAME, type=registry,ref=NAME or type=local,src=DIRECTORY
    #[arg(long, value_name = "CACHE")]
    pub cache_from: Vec<String>,

    /// Write the steps for other builds: NAME, type=registry,ref=NAME or type=local,dest=DIRECTORY, with mode=min for the target's only
    #[arg(long, value_name = "CACHE")]
    pub cache_to: Vec<String>,

    /// Carry out again what is in the cache for longer than this (24h; 0 for everything)
    #[arg(long, value_name = "DURATION")]
    pub cache_ttl: Option<String>,

    /// A layer for each step, kept for the next build (default true); without: one layer, nothing reused
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub layers: Option<bool>,

    /// Print only the image ID
    #[arg(short, long)]
    pub quiet: bool,

    /// How progress is shown: auto (tty on a terminal), plain, tty, quiet, or rawjson for programs (default $BUILDKIT_PROGRESS or "auto")
    #[arg(long, value_name = "MODE")]
    pub progress: Option<String>,

    /// Stages to build at the same time (default the number of CPUs; 0 for no limit)
    #[arg(long, value_name = "NUMBER")]
    pub jobs: Option<usize>,

    /// Write the output to a file
    #[arg(long, value_name = "FILE")]
    pub logfile: Option<PathBuf>,

    /// Accepted for compatibility: no container is left
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub rm: Option<bool>,

    /// Accepted for compatibility: no container is left
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub force_rm: Option<bool>,

    /// Accepted for compatibility: layers are stored uncompressed
    #[arg(long)]
    pub compress: bool,

    /// Accepted for compatibility: layers are stored uncompressed
    #[arg(short = 'D', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub disable_compression: Option<bool>,

    /// Accepted for compatibility: content trust is a service of Docker's
    #[arg(long)]
    pub disable_content_trust: bool,

    /// Accepted for compatibility: the image is always in the store
    #[arg(long)]
    pub load: bool,

    /// Accepted for compatibility: there is one builder
    #[arg(long, value_name = "NAME")]
    pub builder: Option<String>,
}

/// How RUN steps run.
#[derive(Debug, Args)]
pub(crate) struct Steps {
    /// A secret for RUN --mount=type=secret (id=NAME,src=FILE or id=NAME,env=VARIABLE)
    #[arg(long, value_name = "SECRET")]
    pub secret: Vec<String>,

    /// An SSH agent for RUN --mount=type=ssh (default or NAME=SOCKET)
    #[arg(long, value_name = "SSH")]
    pub ssh: Vec<String>,

    /// Mount a directory of the host in RUN steps (SOURCE:DESTINATION[:OPTIONS])
    #[arg(short, long, value_name = "VOLUME")]
    pub volume: Vec<String>,

    /// Network of RUN steps: none, host, private, slirp4netns[:OPTIONS], pasta[:OPTIONS]
    #[arg(long, alias = "net", value_name = "NETWORK")]
    pub network: Option<String>,

    /// Add a line to /etc/hosts in RUN steps (NAME:ADDRESS)
    #[arg(long, value_name = "NAME:ADDRESS", value_delimiter = ',')]
    pub add_host: Vec<String>,

    /// Leave the image's /etc/hosts in RUN steps
    #[arg(long)]
    pub no_hosts: bool,

    /// Use this name server in RUN steps
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub dns: Vec<String>,

    /// Set the DNS search domains in RUN steps
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',')]
    pub dns_search: Vec<String>,

    /// Set resolver options in RUN steps
    #[arg(long, value_name = "OPTION", value_delimiter = ',')]
    pub dns_option: Vec<String>,

    /// Pass the proxy variables of rpod's environment to RUN steps (default true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = BoolishValueParser::new())]
    pub http_proxy: Option<bool>,

    /// Pass standard input to RUN steps
    #[arg(long)]
    pub stdin: bool,

    /// Add Linux capabilities to RUN steps
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    pub cap_add: Vec<String>,

    /// Drop Linux capabilities in RUN steps
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',')]
    pub cap_drop: Vec<String>,

    /// Security options of RUN steps, as for run
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<String>,

    /// Add a device of the host to RUN steps
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,

    /// Add supplementary groups in RUN steps
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    pub group_add: Vec<String>,

    /// Size of /dev/shm in RUN steps
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,

    /// Resource limit of RUN steps (NAME=SOFT[:HARD])
    #[arg(long, value_name = "LIMIT", value_delimiter = ',')]
    pub ulimit: Vec<String>,

    /// Memory limit of RUN steps
    #[arg(short, long, value_name = "SIZE")]
    pub memory: Option<String>,

    /// CPU time of RUN steps in each period, microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_quota: Option<i64>,

    /// The period of --cpu-quota, microseconds (default 100000)
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,

    /// Limit of memory and swap together of RUN steps
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,

    /// Share of the CPU time of RUN steps against others
    #[arg(short = 'c', long, value_name = "SHARES")]
    pub cpu_shares: Option<u64>,

    /// CPUs for RUN steps (0-3,5)
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,

    /// Memory nodes for RUN steps (0-3,5)
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,

    /// Parent of the cgroups of RUN steps
    #[arg(long, value_name = "PATH")]
    pub cgroup_parent: Option<String>,

    /// Leave the image's /etc/hostname in RUN steps
    #[arg(long)]
    pub no_hostname: bool,

    /// User namespace of RUN steps: host or private, which both mean your whole map
    #[arg(long, value_name = "MODE")]
    pub userns: Option<String>,

    /// PID namespace of RUN steps: private or host
    #[arg(long, value_name = "MODE")]
    pub pid: Option<String>,

    /// IPC namespace of RUN steps: private or host
    #[arg(long, value_name = "MODE")]
    pub ipc: Option<String>,

    /// UTS namespace of RUN steps: private or host
    #[arg(long, value_name = "MODE")]
    pub uts: Option<String>,

    /// cgroup namespace of RUN steps: private or host
    #[arg(long, value_name = "MODE")]
    pub cgroupns: Option<String>,

    /// Privileges that RUN steps may ask for: network.host, security.insecure or device
    #[arg(long, value_name = "PRIVILEGE", value_delimiter = ',')]
    pub allow: Vec<String>,

    /// How RUN steps are isolated: default, oci or rootless mean what rpod does
    #[arg(long, value_name = "TYPE")]
    pub isolation: Option<String>,
}

/// How base images are come by.
#[derive(Debug, Args)]
pub(crate) struct Registry {
    /// When to pull base images: always, missing, never or newer (default "missing"; alone: "always")
    #[arg(long, value_name = "POLICY", num_args = 0..=1, require_equals = true, default_missing_value = "always")]
    pub pull: Option<String>,

    /// Pull base images even when they are here
    #[arg(long, hide = true)]
    pub pull_always: bool,

    /// Never pull base images
    #[arg(long, hide = true)]
    pub pull_never: bool,

    /// Path of the authentication file
    #[arg(long, value_name = "PATH")]
    pub authfile: Option<PathBuf>,

    /// Path of a directory with certificates and keys for the registry
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,

    /// Credentials to use for the registry
    #[arg(long, value_name = "USER:PASSWORD")]
    pub creds: Option<String>,

    /// Require HTTPS and verify certificates
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tls_verify: Option<bool>,

    /// Number of times to retry a request that failed
    #[arg(long, value_name = "N")]
    pub retry: Option<u32>,

    /// Delay before the first retry (2s, 500ms)
    #[arg(long, value_name = "DURATION")]
    pub retry_delay: Option<String>,
}

/// Remove what builds keep for the next one
///
/// Steps and their layers, digests of contexts, and with --all the directories of RUN --mount=type=cache, unless a filter or
/// limit is given: they have no age.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Also remove the directories of RUN --mount=type=cache
    #[arg(short, long)]
    pub all: bool,
    /// Only what is older: until=DURATION or until=TIME
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Keep the newest steps, as many as take this much space
    #[arg(long, value_name = "SIZE", alias = "reserved-space")]
    pub keep_storage: Option<String>,
    /// Remove the oldest steps until all take no more space than this
    #[arg(long, value_name = "SIZE")]
    pub max_used_space: Option<String>,
    /// Remove the oldest steps until this much of the disk is free
    #[arg(long, value_name = "SIZE")]
    pub min_free_space: Option<String>,
    /// Accepted for compatibility: there is one builder
    #[arg(long, value_name = "NAME")]
    pub builder: Option<String>,
}

/// Show what builds keep for the next one
#[derive(Debug, Args)]
pub(crate) struct Du {
    /// json or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Whole ids
    #[arg(long)]
    pub verbose: bool,
    /// Accepted for compatibility: there is one builder
    #[arg(long, value_name = "NAME")]
    pub builder: Option<String>,
}

/// List the builders: rpod itself
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// json or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}

/// Show the builder
#[derive(Debug, Args)]
pub(crate) struct InspectBuilder {
    /// The one there is
    #[arg(value_name = "NAME", default_value = "default", hide_default_value = true)]
    pub name: String,
    /// Accepted for compatibility: nothing is to be started
    #[arg(long)]
    pub bootstrap: bool,
}
