//! `-v`, `--mount` and `--tmpfs` as typed → [`MountRequest`].

use std::path::PathBuf;

use crate::error::{Context, Error, Result};
use crate::state::names;

/// One mount that was asked for. Destinations are absolute and clean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountRequest {
    Bind {
        source: PathBuf,
        destination: String,
        options: Vec<String>,
    },
    /// Without a name it belongs to the container.
    Volume {
        name: Option<String>,
        destination: String,
        options: Vec<String>,
        /// A new volume gets what the image has at its destination.
        copy: bool,
    },
    Tmpfs {
        destination: String,
        options: Vec<String>,
    },
}

impl MountRequest {
    pub(crate) fn destination(&self) -> &str {
        match self {
            Self::Bind { destination, .. } | Self::Volume { destination, .. } | Self::Tmpfs { destination, .. } => {
                destination
            }
        }
    }
}

/// `--image-volume`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ImageVolumes {
    #[default]
    Anonymous,
    Tmpfs,
    Ignore,
}

pub(crate) fn image_volumes(text: &str) -> Result<ImageVolumes> {
    match text {
        "" | "anonymous" | "bind" => Ok(ImageVolumes::Anonymous),
        "tmpfs" => Ok(ImageVolumes::Tmpfs),
        "ignore" => Ok(ImageVolumes::Ignore),
        _ => Err(Error::new(format!("invalid image-volume type {text:?}. Pick one of bind, tmpfs, or ignore"))),
    }
}

/// All mounts, in the order of their options; one per destination.
pub(crate) fn requests(volumes: &[String], mounts: &[String], tmpfs: &[String]) -> Result<Vec<MountRequest>> {
    let mut requests: Vec<MountRequest> = Vec::new();
    let parsed = mounts.iter().map(|m| mount(m)).chain(volumes.iter().map(|v| volume(v)));
    for request in parsed.chain(tmpfs.iter().map(|t| tmpfs_mount(t))) {
        let request = request?;
        if requests.iter().any(|other| other.destination() == request.destination()) {
            return Err(Error::new(format!("{}: duplicate mount destination", request.destination())));
        }
        requests.push(request);
    }
    Ok(requests)
}

/// Lexically: no `.`, no `..`, no doubled or final slash.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn destination(path: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::new(format!("invalid container path {path:?}, must be an absolute path")));
    }
    let path = clean(path);
    if path == "/" {
        return Err(Error::new("invalid container path \"/\", it is the root file system itself")
            .hint("use --rootfs to run from a directory"));
    }
    Ok(path)
}

/// A path of the host, made absolute; it must exist (the kernel resolves links in it when it is mounted).
fn host_path(path: &str) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).context(|| format!("cannot make {path} an absolute path"))?;
    match std::fs::metadata(&absolute) {
        Ok(_) => Ok(absolute),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::new(format!("statfs {}: no such file or directory", absolute.display())))
        }
        Err(e) => Err(Error::wrap(format!("cannot examine {}", absolute.display()), e)),
    }
}

/// `[SOURCE:]DESTINATION[:OPTIONS]`.
fn volume(text: &str) -> Result<MountRequest> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, place, options) = match parts[..] {
        [place] => (None, place, ""),
        [source, place] => (Some(source), place, ""),
        [source, place, options] => (Some(source), place, options),
        _ => {
            return Err(Error::new(format!("{text}: incorrect volume format, should be [host-dir:]ctr-dir[:option]")));
        }
    };
    let destination = destination(place)?;
    let words: Vec<&str> = options.split(',').filter(|word| !word.is_empty()).collect();
    match source {
        Some("") => Err(Error::new("host directory cannot be empty").hint(format!("in --volume {text}"))),
        // As with Podman and Docker, what begins with a slash or a dot is a path, anything else a name.
        Some(path) if path.starts_with(['/', '.']) => {
            let source = host_path(path)?;
            let (options, _) = volume_options(&words, Kind::Bind)?;
            Ok(MountRequest::Bind { source, destination, options })
        }
        name => {
            if let Some(name) = name {
                check_name(name)?;
            }
            let (options, copy) = volume_options(&words, Kind::Volume)?;
            Ok(MountRequest::Volume { name: name.map(ToOwned::to_owned), destination, options, copy })
        }
    }
}

fn check_name(name: &str) -> Result<()> {
    names::check(name)
        .map_err(|e| Error::wrap(format!("creating named volume {name:?}: running volume create option"), e))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bind,
    Volume,
}

/// Groups of options of which one may be given.
const EXCLUSIVE: [(&[&str], &str); 6] = [
    (&["ro", "rw"], "'rw' or 'ro'"),
    (&["exec", "noexec"], "'exec' or 'noexec'"),
    (&["suid", "nosuid"], "'suid' or 'nosuid'"),
    (&["dev", "nodev"], "'dev' or 'nodev'"),
    (&["bind", "rbind"], "'rbind' or 'bind'"),
    (
        &["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"],
        "'[r]shared', '[r]private', '[r]slave' or '[r]unbindable'",
    ),
];

/// Mount options in the words of the OCI Spec, and whether to copy the image's content up.
fn volume_options(words: &[&str], kind: Kind) -> Result<(Vec<String>, bool)> {
    let mut copy = true;
    let mut options: Vec<String> = Vec::new();
    for word in words {
        match *word {
            // Relabelling is of use with SELinux only, where rpod's containers run with the user's own label; the rest
            // are Docker's words for other systems.
            "z" | "Z" | "cached" | "delegated" | "consistent" | "default" => {}
            "copy" if kind == Kind::Volume => copy = true,
            "nocopy" if kind == Kind::Volume => copy = false,
            "copy" | "nocopy" => return Err(Error::new(format!("invalid option {word:?}: only for named volumes"))),
            "U" | "O" => return Err(later(word)),
            _ if word.starts_with("idmap") || word.starts_with("upperdir=") || word.starts_with("workdir=") => {
                return Err(later(word));
            }
            _ if EXCLUSIVE.iter().any(|(group, _)| group.contains(word)) => options.push((*word).to_owned()),
            _ => return Err(Error::new(format!("invalid option type {word:?}"))),
        }
    }
    check_exclusive(&options)?;
    Ok((with_defaults(options, kind), copy))
}

fn later(option: &str) -> Error {
    Error::new(format!("mount option {option:?} is not supported yet: it comes later"))
}

fn check_exclusive(options: &[String]) -> Result<()> {
    for (group, shown) in EXCLUSIVE {
        let given: Vec<&str> = options.iter().map(String::as_str).filter(|option| group.contains(option)).collect();
        if given.len() > 1 {
            let given = given.join(", ");
            return Err(Error::new(format!("invalid options {given:?}, can only specify 1 {shown} option")));
        }
    }
    Ok(())
}

/// What Podman adds: private propagation, everything below the source, and no devices or setuid programs from volumes.
fn with_defaults(mut options: Vec<String>, kind: Kind) -> Vec<String> {
    let mut default = |group: usize, value: &str| {
        if !options.iter().any(|option| EXCLUSIVE[group].0.contains(&option.as_str())) {
            options.push(value.to_owned());
        }
    };
    default(0, "rw");
    default(5, "rprivate");
    if kind == Kind::Volume {
        default(2, "nosuid");
        default(3, "nodev");
    }
    default(4, "rbind");
    options
}

/// `DIR[:OPTIONS]`.
fn tmpfs_mount(text: &str) -> Result<MountRequest> {
    let (place, options) = text.split_once(':').unwrap_or((text, ""));
    let destination = destination(place)?;
    let words = options.split(',').filter(|word| !word.is_empty());
    Ok(MountRequest::Tmpfs { destination, options: tmpfs_options(words.map(ToOwned::to_owned).collect())? })
}

/// The options of a tmpfs that rpod mounts by itself.
pub(crate) fn default_tmpfs_options() -> Vec<String> {
    ["rw", "rprivate", "nosuid", "nodev", "tmpcopyup"].map(ToOwned::to_owned).to_vec()
}

/// The options of a tmpfs that was asked for, with the defaults.
pub(crate) fn tmpfs_options(mut options: Vec<String>) -> Result<Vec<String>> {
    const FLAGS: [&str; 15] = [
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "tmpcopyup",
        "notmpcopyup",
        "noswap",
        "mand",
    ];
    const VALUES: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "huge"];
    for option in &options {
        let known = match option.split_once('=') {
            Some((name, value)) => VALUES.contains(&name) && !value.is_empty(),
            None => FLAGS.contains(&option.as_str()) || EXCLUSIVE.iter().any(|(g, _)| g.contains(&option.as_str())),
        };
        if !known || option == "bind" || option == "rbind" {
            return Err(Error::new(format!("unknown mount option {option:?}: invalid mount option")));
        }
    }
    check_exclusive(&options)?;
    let copy_up = !options.iter().any(|option| option == "notmpcopyup");
    options.retain(|option| option != "notmpcopyup" && option != "tmpcopyup");
    let mut default = |group: usize, value: &str| {
        if !options.iter().any(|option| EXCLUSIVE[group].0.contains(&option.as_str())) {
            options.push(value.to_owned());
        }
    };
    default(0, "rw");
    default(5, "rprivate");
    default(2, "nosuid");
    default(3, "nodev");
    if copy_up {
        options.push("tmpcopyup".to_owned());
    }
    Ok(options)
}

/// `type=…,src=…,dst=…,…`.
fn mount(text: &str) -> Result<MountRequest> {
    let format = || {
        Error::new(
            "incorrect mount format: should be --mount type=<bind|tmpfs|volume>,[src=<host-dir|volume-name>,]target=<ctr-dir>[,options]",
        )
    };
    let fields = fields(text).ok_or_else(format)?;
    if !text.contains('=') {
        return Err(format());
    }
    // Docker's default.
    let mut kind = "volume";
    let mut given = Given::default();
    for field in &fields {
        let (name, value) = field.split_once('=').map_or((field.as_str(), None), |(n, v)| (n, Some(v)));
        match (name, value) {
            ("type", Some(value)) => kind = value,
            ("src" | "source", Some(value)) => given.source = Some((name, value)),
            ("dst" | "destination" | "target", Some(value)) => given.destination = Some(value),
            ("type" | "src" | "source" | "dst" | "destination" | "target", None) => return Err(format()),
            _ => given.rest.push((name, value)),
        }
    }
    match kind {
        "bind" => given.bind(),
        "volume" => given.volume(),
        "tmpfs" => given.tmpfs(),
        "glob" | "image" | "devpts" | "ramfs" | "artifact" => {
            Err(Error::new(format!("--mount type={kind} is not supported yet: it comes later")))
        }
        _ => Err(Error::new(format!("invalid filesystem type {kind:?}"))),
    }
}

/// Comma-separated; a field in double quotes may hold commas, and doubled quotes for one.
fn fields(text: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut()?;
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    (!quoted).then_some(fields)
}

#[derive(Default)]
struct Given<'a> {
    source: Option<(&'a str, &'a str)>,
    destination: Option<&'a str>,
    rest: Vec<(&'a str, Option<&'a str>)>,
}

impl Given<'_> {
    fn destination(&self) -> Result<String> {
        destination(self.destination.ok_or_else(|| Error::new("must set volume destination"))?)
    }

    fn bind(self) -> Result<MountRequest> {
        let destination = self.destination()?;
        // Podman's shorthand: the same path on both sides.
        let source = host_path(self.source.map_or(destination.as_str(), |(_, path)| path))?;
        let mut words = Vec::new();
        let mut recursive = true;
        for (name, value) in self.rest {
            match (name, value) {
                ("ro" | "readonly" | "rw", _) => words.push(read_only(name, value)?),
                ("bind-propagation", Some(value)) if EXCLUSIVE[5].0.contains(&value) => words.push(value),
                ("bind-nonrecursive", _) => recursive = !boolean(name, value)?,
                ("relabel", Some("shared" | "private")) | ("consistency" | "z" | "Z", _) => {}
                ("U" | "chown" | "idmap" | "no-dereference", _) => return Err(later(name)),
                (flag, None) if flag != "copy" && flag != "nocopy" => words.push(flag),
                _ => return Err(Error::new(format!("{name}: invalid mount option"))),
            }
        }
        if !recursive {
            words.push("bind");
        }
        let (options, _) = volume_options(&words, Kind::Bind).map_err(|e| {
            if e.to_string().starts_with("invalid option type") { invalid_option(&words, e) } else { e }
        })?;
        Ok(MountRequest::Bind { source, destination, options })
    }

    fn volume(self) -> Result<MountRequest> {
        let destination = self.destination()?;
        if let Some((_, name)) = self.source {
            check_name(name)?;
        }
        let mut words = Vec::new();
        for (name, value) in self.rest {
            match (name, value) {
                ("ro" | "readonly" | "rw", _) => words.push(read_only(name, value)?),
                ("nocopy" | "volume-nocopy", _) => {
                    if boolean(name, value)? {
                        words.push("nocopy");
                    }
                }
                ("consistency" | "z" | "Z", _) => {}
                (
                    "U" | "chown" | "idmap" | "subpath" | "volume-subpath" | "volume-opt" | "volume-label"
                    | "volume-driver",
                    _,
                ) => {
                    return Err(later(name));
                }
                ("tmpfs-size" | "tmpfs-mode" | "bind-propagation" | "bind-nonrecursive", _) => {
                    return Err(Error::new(format!("{name:?} option not supported for \"volume\" mount types")));
                }
                (flag, None) => words.push(flag),
                _ => return Err(Error::new(format!("{name}: invalid mount option"))),
            }
        }
        let (options, copy) = volume_options(&words, Kind::Volume).map_err(|e| {
            if e.to_string().starts_with("invalid option type") { invalid_option(&words, e) } else { e }
        })?;
        Ok(MountRequest::Volume { name: self.source.map(|(_, n)| n.to_owned()), destination, options, copy })
    }

    fn tmpfs(self) -> Result<MountRequest> {
        let destination = self.destination()?;
        if let Some((name, _)) = self.source {
            return Err(Error::new(format!("{name:?} option not supported for \"tmpfs\" mount types")));
        }
        let mut options = Vec::new();
        for (name, value) in self.rest {
            match (name, value) {
                ("ro" | "readonly" | "rw", _) => options.push(read_only(name, value)?.to_owned()),
                ("tmpfs-size", Some(value)) => options.push(format!("size={}", super::values::size(value)?)),
                ("tmpfs-mode", Some(value)) => options.push(format!("mode={value}")),
                ("consistency", _) => {}
                ("U" | "chown", _) => return Err(later(name)),
                ("bind-propagation" | "bind-nonrecursive" | "volume-opt" | "volume-nocopy", _) => {
                    return Err(Error::new(format!("{name:?} option not supported for \"tmpfs\" mount types")));
                }
                (flag, None) => options.push(flag.to_owned()),
                _ => return Err(Error::new(format!("{name}: invalid mount option"))),
            }
        }
        Ok(MountRequest::Tmpfs { destination, options: tmpfs_options(options)? })
    }
}

/// `--mount` has other words for an unknown option than `-v`.
fn invalid_option(words: &[&str], error: Error) -> Error {
    let known = |word: &&&str| EXCLUSIVE.iter().any(|(group, _)| group.contains(*word));
    words.iter().find(|word| !known(word)).map_or(error, |word| Error::new(format!("{word}: invalid mount option")))
}

fn boolean(name: &str, value: Option<&str>) -> Result<bool> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(value) => {
            Err(Error::new(format!("{name}={value}: invalid mount option: the value must be true or false")))
        }
    }
}

fn read_only(name: &str, value: Option<&str>) -> Result<&'static str> {
    Ok(if boolean(name, value)? == (name != "rw") { "ro" } else { "rw" })
}
