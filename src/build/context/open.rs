//! From what was typed to a Dockerfile, a context and what is ignored of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use super::Context;
use super::ignore::Ignore;
use crate::build::extract;
use crate::build::fetch;
use crate::build::git::{self, Rights};
use crate::build::git_reference::GitReference;
use crate::build::redact;
use crate::build::request::{Request, Where};
use crate::build::variables::{KEEP_GIT_DIR, is_true};
use crate::build::workroom::Workroom;
use crate::error::{Context as _, Error, Result};
use crate::state::id;
use crate::state::paths::create_private;

/// Looked for in this order, as Podman does.
const NAMES: [&str; 2] = ["Containerfile", "Dockerfile"];
const NAMES_OF_IGNORE: [&str; 2] = [".containerignore", ".dockerignore"];
/// Nobody writes longer ones.
const MAX_FILE: u64 = 16 << 20;

/// `--ssh`: sockets of agents by their names.
type Agents = BTreeMap<String, PathBuf>;

/// What a build begins with.
#[derive(Debug)]
pub(crate) struct Opened {
    pub context: Context,
    /// How messages call the Dockerfile.
    pub name: String,
    pub text: String,
}

/// Opens everything; reads standard input when something is to come from there.
pub(crate) fn open(room: &Workroom, request: &Request) -> Result<Opened> {
    open_all(room, request).map_err(redact::error)
}

fn open_all(room: &Workroom, request: &Request) -> Result<Opened> {
    let mut context = match &request.context {
        Where::Nothing => Context::nothing(),
        Where::Directory(path) => {
            let path = std::fs::canonicalize(path).context(|| format!("cannot use the context {}", path.display()))?;
            Context::directory(path, None)?
        }
        Where::StandardInput => {
            let dir = scratch(room)?;
            let mut input = spool(std::io::stdin(), &dir)?;
            if extract::is_archive(&input)? {
                archive(&input, &dir)?
            } else {
                // A Dockerfile alone.
                input.rewind().context(|| "cannot read standard input")?;
                let text = text(input, "standard input")?;
                crate::storage::remove_path(&dir)?;
                return Ok(Opened { context: Context::nothing(), name: "Dockerfile".to_owned(), text });
            }
        }
        Where::Remote(url) => match remote(room, url, &request.ssh, is_true(request.arguments.get(KEEP_GIT_DIR)))? {
            Remote::Context(context) => context,
            Remote::Dockerfile(text) => {
                return Ok(Opened { context: Context::nothing(), name: "Dockerfile".to_owned(), text });
            }
        },
    };
    let (name, text, file) = dockerfile(room, request, &context)?;
    let ignore = ignore_text(request, &context, file.as_deref())?;
    if let Some((path, text)) = ignore {
        context.set_ignore(parsed(&path, &text)?);
    }
    Ok(Opened { context, name, text })
}

/// A context of `--build-context`: a directory, an archive's URL or a git repository.
pub(crate) fn named(room: &Workroom, value: &str, ssh: &Agents) -> Result<Context> {
    if fetch::is_git(value) || fetch::is_url(value) {
        return match remote(room, value, ssh, false)? {
            Remote::Context(context) => Ok(context),
            Remote::Dockerfile(_) => Err(Error::new(format!("{value} is no archive"))),
        };
    }
    if let Some((scheme, _)) = value.split_once("://") {
        return Err(Error::new(format!("{scheme}:// is not known"))
            .hint("a directory, a URL, a git repository, docker-image://IMAGE and oci-layout://DIRECTORY are"));
    }
    let path = std::fs::canonicalize(value).context(|| format!("cannot find {value}"))?;
    let mut context = Context::directory(path, None)?;
    if let Some((path, text)) = first_of(&context, NAMES_OF_IGNORE.map(|name| context.path().join(name)))? {
        context.set_ignore(parsed(&path, &text)?);
    }
    Ok(context)
}

fn parsed(path: &Path, text: &str) -> Result<Ignore> {
    Ignore::parse(text).map_err(|why| Error::new(format!("{}: {why}", path.display())))
}

/// The Dockerfile's name, text, and path if it is a file.
fn dockerfile(room: &Workroom, request: &Request, context: &Context) -> Result<(String, String, Option<PathBuf>)> {
    if request.files.is_empty() {
        let root = context.path();
        for name in NAMES {
            let path = root.join(name);
            match context.document(&path) {
                Ok(file) => return Ok((name.to_owned(), text(file, name)?, Some(path))),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::wrap(format!("cannot read {}", path.display()), e)),
            }
        }
        return Err(Error::new(format!(
            "no Containerfile or Dockerfile specified or found in context directory, {}: no such file or directory",
            root.display()
        )));
    }
    let mut whole = String::new();
    let mut found = None;
    for file in &request.files {
        let part = if file == "-" {
            text(std::io::stdin(), "standard input")?
        } else if fetch::is_url(file) {
            let dir = scratch(room)?;
            let path = dir.join("Dockerfile");
            fetch::url(file, &path, None)?;
            let read = text(File::open(&path).context(|| format!("cannot read {file}"))?, file);
            crate::storage::remove_path(&dir)?;
            read?
        } else {
            let path = locate(file, context)?;
            let open = || match path.starts_with(context.path()) && context.root.is_some() {
                true => context.document(&path),
                // It may be a pipe of the shell's.
                false => File::open(&path),
            };
            let read = text(open().context(|| format!("cannot read {file}"))?, file)?;
            found.get_or_insert(path);
            read
        };
        whole.push_str(&part);
        if !whole.ends_with('\n') {
            whole.push('\n');
        }
    }
    let name = match &found {
        Some(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        None => "Dockerfile".to_owned(),
    };
    Ok((name, whole, found))
}

/// A path of here, else one in the context (Podman's order: as it is first).
fn locate(file: &str, context: &Context) -> Result<PathBuf> {
    let missing = || {
        Error::new(format!(
            "the specified Containerfile or Dockerfile does not exist, {file}: no such file or directory"
        ))
    };
    let here = PathBuf::from(file);
    let candidates = [Some(here.clone()), here.is_relative().then(|| context.path().join(file))];
    let found = candidates.into_iter().flatten().find(|path| path.exists()).ok_or_else(missing)?;
    if found.is_dir() {
        return NAMES.iter().map(|name| found.join(name)).find(|path| path.is_file()).ok_or_else(missing);
    }
    Ok(found)
}

/// The ignore file that counts: `--ignorefile`, one named after the Dockerfile, `.containerignore`, `.dockerignore`.
fn ignore_text(request: &Request, context: &Context, file: Option<&Path>) -> Result<Option<(PathBuf, String)>> {
    if let Some(path) = &request.ignore_file {
        let file = File::open(path).context(|| format!("cannot read {}", path.display()))?;
        return Ok(Some((path.clone(), text(file, "the ignore file")?)));
    }
    if context.root.is_none() {
        return Ok(None);
    }
    let named = file.map(|file| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        NAMES_OF_IGNORE.map(|ending| file.with_file_name(format!("{name}{ending}")))
    });
    let plain = NAMES_OF_IGNORE.map(|name| context.path().join(name));
    first_of(context, named.into_iter().flatten().chain(plain))
}

/// The first ignore file that is there.
fn first_of(context: &Context, paths: impl IntoIterator<Item = PathBuf>) -> Result<Option<(PathBuf, String)>> {
    for path in paths {
        match context.document(&path) {
            Ok(file) => return Ok(Some((path, text(file, "the ignore file")?))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::wrap(format!("cannot read {}", path.display()), e)),
        }
    }
    Ok(None)
}

fn text(input: impl Read, name: &str) -> Result<String> {
    let mut bytes = Vec::new();
    input.take(MAX_FILE + 1).read_to_end(&mut bytes).context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::new(format!("{name} is larger than {} MiB", MAX_FILE >> 20)));
    }
    String::from_utf8(bytes).or_else(|error| with_odd_comments(error.as_bytes(), name))
}

/// What people wrote in comments before UTF-8 does no harm.
fn with_odd_comments(bytes: &[u8], name: &str) -> Result<String> {
    let lines =
        bytes.split_inclusive(|byte| *byte == b'\n').enumerate().map(|(index, line)| match std::str::from_utf8(line) {
            Ok(line) => Ok(line.to_owned()),
            Err(_) if line.trim_ascii_start().starts_with(b"#") => Ok(String::from_utf8_lossy(line).into_owned()),
            Err(_) => Err(Error::new(format!("{name}:{}: the line is not UTF-8", index + 1))),
        });
    lines.collect()
}

enum Remote {
    Context(Context),
    Dockerfile(String),
}

fn remote(room: &Workroom, url: &str, ssh: &Agents, keep_git_dir: bool) -> Result<Remote> {
    let dir = scratch(room)?;
    if fetch::is_git(url) {
        let checkout = dir.join("git");
        create_private(&checkout)?;
        let (_, path) = git::fetch(
            url,
            &GitReference::parse(url)?,
            &checkout,
            keep_git_dir,
            Rights::User(ssh.get("default").map(PathBuf::as_path)),
        )?;
        return Context::directory(path, Some(dir)).map(Remote::Context);
    }
    let file = dir.join("download");
    fetch::url(url, &file, None)?;
    let mut input = File::open(&file).context(|| format!("cannot read {}", file.display()))?;
    if extract::is_archive(&input)? {
        return archive(&input, &dir).map(Remote::Context);
    }
    input.rewind().context(|| format!("cannot read {}", file.display()))?;
    let text = text(input, url);
    crate::storage::remove_path(&dir)?;
    text.map(Remote::Dockerfile)
}

/// Unpacks a context; everything in it belongs to this user.
fn archive(input: &File, dir: &Path) -> Result<Context> {
    let path = dir.join("context");
    create_private(&path)?;
    let root = super::select::Root::open(&path)?;
    let attributes = crate::build::copy::Attributes {
        owner: Some((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())),
        ..Default::default()
    };
    let mut target = crate::build::copy::Target::new(&root, &attributes);
    extract::unpack(&mut target, input, b"")?;
    if target.done()?.devices > 0 {
        return Err(Error::new("the build context has device nodes, which only root can make"));
    }
    Context::directory(path, Some(dir.to_path_buf()))
}

fn spool(mut input: impl Read, dir: &Path) -> Result<File> {
    let path = dir.join("input");
    let mut file =
        File::options().read(true).write(true).create_new(true).open(&path).context(|| "cannot keep standard input")?;
    std::io::copy(&mut input, &mut file).context(|| "cannot read standard input")?;
    file.rewind().context(|| "cannot read standard input")?;
    Ok(file)
}

fn scratch(room: &Workroom) -> Result<PathBuf> {
    room.directory(&format!("context-{}", id::short(&id::random()?)))
}
