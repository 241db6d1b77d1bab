//! `--mount type=…,src=…,dst=…,…`.

use super::words::{self, CHOWN, Kind, PROPAGATION, is_of};
use super::{MountRequest, PlainKind, check_name, destination, glob, host_path, memory};
use crate::engine::container::options::values;
use crate::error::{Context, Error, Kind as ErrorKind, Result};

/// One mount, or with a pattern as many as it matches.
pub(super) fn mount(text: &str) -> Result<Vec<MountRequest>> {
    let format = || {
        Error::new(
            "incorrect mount format: should be --mount type=<bind|glob|tmpfs|volume>,[src=<host-dir|volume-name>,]target=<ctr-dir>[,options]",
        )
    };
    let fields = fields(text).ok_or_else(format)?;
    if !text.contains('=') {
        return Err(format());
    }
    let split = |field: &'_ String| match field.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (field.clone(), None),
    };
    let mut fields: Vec<(String, Option<String>)> = fields.iter().map(split).collect();
    // Docker's default.
    let mut kind = "volume".to_owned();
    for (_, value) in fields.extract_if(.., |(name, _)| name == "type") {
        kind = value.ok_or_else(format)?;
    }
    let fields = Fields { kind: &kind, fields: &fields };
    match kind.as_str() {
        "bind" => fields.bind().map(|request| vec![request]),
        "glob" => fields.glob(),
        "volume" => fields.volume().map(|request| vec![request]),
        "tmpfs" => fields.tmpfs().map(|request| vec![request]),
        "ramfs" => fields.ramfs().map(|request| vec![request]),
        "devpts" => fields.devpts().map(|request| vec![request]),
        "image" => fields.image().map(|request| vec![request]),
        "artifact" => Err(Error::new("--mount type=artifact is not supported: rpod keeps no artifacts")),
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

/// What was said about one mount, without its type.
#[derive(Debug, Clone, Copy)]
struct Fields<'a> {
    kind: &'a str,
    fields: &'a [(String, Option<String>)],
}

/// The fields that most types have.
#[derive(Debug, Default)]
struct Common {
    source: Option<String>,
    destination: Option<String>,
    subpath: Option<String>,
    /// In the words of `-v` and of tmpfs.
    words: Vec<String>,
}

impl Common {
    fn destination(&self) -> Result<String> {
        self.destination.clone().ok_or_else(|| Error::new("must set volume destination"))
    }

    fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }
}

/// Flags that may be given once, in pairs.
const ONCE: [(&[&str], &str); 5] = [
    (&["nodev", "dev"], "'nodev' and 'dev'"),
    (&["noexec", "exec"], "'noexec' and 'exec'"),
    (&["nosuid", "suid"], "'nosuid' and 'suid'"),
    (&["tmpcopyup", "notmpcopyup"], "'tmpcopyup' and 'notmpcopyup'"),
    (&["noswap"], "'noswap'"),
];

impl Fields<'_> {
    /// Sorts the fields by what they say; one that this type does not have is an error.
    fn common(&self) -> Result<Common> {
        let mut common = Common::default();
        let mut access = false;
        for (name, value) in self.fields {
            let (name, value) = (name.as_str(), value.as_deref());
            let argument = || value.ok_or_else(|| Error::new(format!("{name}: {ARGUMENT}")));
            let other_type = || Error::new(format!("{name:?} option not supported for {:?} mount types", self.kind));
            let is = |kinds: &[&str]| kinds.contains(&self.kind);
            match name {
                "src" | "source" if is(&["tmpfs", "ramfs"]) => return Err(other_type()),
                "src" | "source" => once(&mut common.source, name, checked_source(argument()?)?)?,
                "dst" | "destination" | "target" => once(&mut common.destination, name, destination(argument()?)?)?,
                "ro" | "readonly" | "rw" => {
                    if std::mem::replace(&mut access, true) {
                        return Err(Error::new(format!(
                            "cannot pass 'readonly', 'ro', or 'rw' mnt.Options more than once: {ARGUMENT}"
                        )));
                    }
                    common.words.push(read_only(name, value)?.to_owned());
                }
                "U" | "chown" => match value.map(str::to_ascii_lowercase).as_deref() {
                    None | Some("true") => common.words.push(CHOWN.to_owned()),
                    Some("false") => {}
                    Some(_) => {
                        let value = value.unwrap_or_default();
                        return Err(Error::new(format!(
                            "'U' or 'chown' must be set to true or false, instead received {value:?}: {ARGUMENT}"
                        )));
                    }
                },
                "relabel" => common.words.push(match value {
                    Some("shared") => "z".to_owned(),
                    Some("private") => "Z".to_owned(),
                    _ => {
                        return Err(Error::new(
                            "relabel mount option must be 'private' or 'shared': invalid mount option",
                        ));
                    }
                }),
                "bind-propagation" if is(&["bind", "glob"]) => {
                    let value = argument()?;
                    if !is_of(PROPAGATION, value) {
                        return Err(Error::new(format!("invalid value \"{name}={value}\"")));
                    }
                    common.words.push(value.to_owned());
                }
                "bind-nonrecursive" if is(&["bind", "glob"]) => {
                    if boolean(name, value)? {
                        common.words.push("bind".to_owned());
                    }
                }
                "tmpfs-size" if is(&["tmpfs"]) => common.words.push(size(argument()?)?),
                "tmpfs-mode" if is(&["tmpfs"]) => common.words.push(format!("mode={}", argument()?)),
                "tmpcopyup" | "notmpcopyup" if is(&["tmpfs"]) => common.words.push(name.to_owned()),
                "bind-propagation" | "bind-nonrecursive" | "tmpfs-size" | "tmpfs-mode" | "tmpcopyup"
                | "notmpcopyup" => return Err(other_type()),
                "subpath" | "volume-subpath" if is(&["volume"]) => common.subpath = Some(argument()?.to_owned()),
                "subpath" | "volume-subpath" => {
                    return Err(Error::new(format!("cannot set option {name:?} on non-volume mounts")));
                }
                "nocopy" | "volume-nocopy" if is(&["volume"]) => {
                    if boolean(name, value)? {
                        common.words.push("nocopy".to_owned());
                    }
                }
                "volume-opt" | "volume-label" | "volume-driver" => {
                    return Err(Error::new(format!("{name} is not possible in --mount"))
                        .hint("make the volume first: rpod volume create --opt … --label … NAME"));
                }
                // Docker's word for other systems.
                "consistency" => {}
                "idmap" => common.words.push(match value {
                    None | Some("true") => "idmap".to_owned(),
                    Some("false") => continue,
                    Some(value) => format!("idmap={value}"),
                }),
                "noswap" if !rustix::process::geteuid().is_root() => {
                    return Err(Error::new(format!(
                        "the 'noswap' option is only allowed with rootful tmpfs mounts: {ARGUMENT}"
                    )));
                }
                "nodev" | "dev" | "noexec" | "exec" | "nosuid" | "suid" | "noswap" | "z" | "Z" | "no-dereference" => {
                    common.words.push(name.to_owned());
                }
                _ if is_of(PROPAGATION, name) => common.words.push(name.to_owned()),
                _ => return Err(invalid(name)),
            }
        }
        for (flags, shown) in ONCE {
            if common.words.iter().filter(|word| flags.contains(&word.as_str())).count() > 1 {
                return Err(Error::new(format!("cannot pass {shown} mnt.Options more than once: {ARGUMENT}")));
            }
        }
        Ok(common)
    }

    fn bind(self) -> Result<MountRequest> {
        let common = self.common()?;
        let destination = common.destination()?;
        // Podman's shorthand: the same path on both sides.
        let source = host_path(common.source.as_deref().unwrap_or(&destination))?;
        Ok(MountRequest::Bind { source, destination, options: words::options(&common.words(), Kind::Bind)? })
    }

    /// Without a destination every path is at the same place inside, with one it is in that directory.
    fn glob(self) -> Result<Vec<MountRequest>> {
        let common = self.common()?;
        let pattern = common.source.clone().unwrap_or_default();
        let none = || Error::new(format!("no file paths matching glob {pattern:?}"));
        if pattern.is_empty() {
            return Err(none());
        }
        let absolute = match pattern.starts_with('/') {
            true => pattern.clone(),
            false => {
                let here = std::env::current_dir().context(|| "cannot find the working directory")?;
                format!("{}/{pattern}", escaped(here.to_str().unwrap_or_default()))
            }
        };
        let found = glob::paths(&absolute)?;
        if found.is_empty() {
            return Err(none());
        }
        let options = words::options(&common.words(), Kind::Bind)?;
        let request = |path: &std::path::PathBuf| {
            let text = path.to_str().ok_or_else(|| Error::new(format!("{} is not UTF-8", path.display())))?;
            let inside = match (&common.destination, path.file_name().and_then(|name| name.to_str())) {
                (Some(dir), Some(name)) => destination(&format!("{dir}/{name}"))?,
                _ => destination(text)?,
            };
            Ok(MountRequest::Bind { source: host_path(text)?, destination: inside, options: options.clone() })
        };
        found.iter().map(request).collect()
    }

    fn volume(self) -> Result<MountRequest> {
        let common = self.common()?;
        let destination = common.destination()?;
        if let Some(name) = &common.source {
            check_name(name)?;
        }
        let options = words::options(&common.words(), Kind::Volume)?;
        let copy = !options.iter().any(|option| option == "nocopy");
        let subpath = common.subpath.filter(|path| !path.is_empty());
        if let Some(path) = subpath.as_deref().filter(|path| leaves(path)) {
            return Err(
                Error::new(format!("subpath {path:?} is outside of the volume")).with_kind(ErrorKind::CannotInvoke)
            );
        }
        Ok(MountRequest::Volume { name: common.source, destination, options, copy, subpath })
    }

    fn tmpfs(self) -> Result<MountRequest> {
        let common = self.common()?;
        if common.words.iter().any(|word| word == "z" || word == "Z") {
            return Err(Error::new("the 'z' and 'Z' options are not allowed with tmpfs mounts: invalid mount option"));
        }
        let destination = common.destination()?;
        Ok(MountRequest::Tmpfs { destination, options: memory::tmpfs_options(common.words)? })
    }

    /// Its size has no limit.
    fn ramfs(self) -> Result<MountRequest> {
        let common = self.common()?;
        let destination = common.destination()?;
        if let Some(word) = common.words.iter().find(|word| matches!(word.as_str(), "U" | "z" | "Z" | "no-dereference"))
        {
            return Err(invalid(word));
        }
        words::check_exclusive(&common.words)?;
        Ok(MountRequest::Plain { kind: PlainKind::Ramfs, destination, options: common.words })
    }

    fn devpts(self) -> Result<MountRequest> {
        let (mut place, mut options) = (None, Vec::new());
        for (name, value) in self.fields {
            let argument = || value.as_deref().ok_or_else(|| Error::new(format!("{name}: {ARGUMENT}")));
            match name.as_str() {
                "uid" | "gid" | "mode" | "max" => options.push(format!("{name}={}", argument()?)),
                "dst" | "destination" | "target" => place = Some(destination(argument()?)?),
                _ => return Err(invalid(name)),
            }
        }
        let destination = place.ok_or_else(|| Error::new("must set volume destination"))?;
        Ok(MountRequest::Plain { kind: PlainKind::Devpts, destination, options })
    }

    fn image(self) -> Result<MountRequest> {
        let (mut source, mut place, mut subpath) = (None, None, None);
        let mut writable = false;
        for (name, value) in self.fields {
            let argument = || value.as_deref().ok_or_else(|| Error::new(format!("{name}: {ARGUMENT}")));
            match name.as_str() {
                "src" | "source" => source = Some(argument()?.to_owned()),
                "dst" | "destination" | "target" => place = Some(destination(argument()?)?),
                "rw" | "readwrite" => match value.as_deref().unwrap_or_default() {
                    "true" => writable = true,
                    "false" => {}
                    other => return Err(Error::new(format!("invalid rw value {other:?}: invalid mount option"))),
                },
                "subpath" => subpath = Some(argument()?.to_owned()),
                "consistency" => {}
                "idmap" => words::options(&["idmap"], Kind::Volume).map(drop)?,
                _ => return Err(invalid(name)),
            }
        }
        if let Some(path) = subpath.as_deref().filter(|path| !path.starts_with('/')) {
            return Err(Error::new(format!("volume subpath {path:?} must be an absolute path")));
        }
        match (source.filter(|image| !image.is_empty()), place) {
            (Some(image), Some(destination)) => Ok(MountRequest::Image { image, destination, writable, subpath }),
            _ => Err(Error::new("must set source and destination for image volume")),
        }
    }
}

/// Whether a path below a directory leads out of it by its `..`.
fn leaves(path: &str) -> bool {
    let mut depth = 0;
    path.split('/').any(|part| {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        depth < 0
    })
}

/// What Podman ends such messages with.
const ARGUMENT: &str = "must provide an argument for option";

fn invalid(name: &str) -> Error {
    Error::new(format!("{name}: invalid mount option"))
}

fn once(field: &mut Option<String>, name: &str, value: String) -> Result<()> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(format!("cannot pass {name:?} option more than once: {ARGUMENT}"))),
    }
}

fn checked_source(source: &str) -> Result<String> {
    match source {
        "" => Err(Error::new(format!("host directory cannot be empty: {ARGUMENT}"))),
        source => Ok(source.to_owned()),
    }
}

/// As typed where the kernel understands it.
fn size(text: &str) -> Result<String> {
    let bytes = values::size(text)?;
    let digits = text.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G']).unwrap_or(text);
    Ok(match !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => format!("size={text}"),
        false => format!("size={bytes}"),
    })
}

/// A path in a pattern, as it stands.
fn escaped(path: &str) -> String {
    path.chars().flat_map(|c| "*?[\\".contains(c).then_some('\\').into_iter().chain([c])).collect()
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
