//! `image scp`: an image between this host and others, as an archive through ssh. The other side needs rpod, Podman or
//! Docker and nothing else.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use super::{Loaded, Progress, SaveOptions, load, plan_save, save};
use crate::error::{Context, Error, Result};
use crate::image::archive::Format;
use crate::image::reference::Reference;
use crate::state::paths::Dirs;
use crate::storage::Store;
use crate::userns::IdMaps;

/// The program that is used instead of `ssh`.
pub(crate) const ENV_SSH: &str = "RPOD_SSH";

/// An image or a place for one: `[HOST::][IMAGE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// `[user@]host[:port]`, with the port apart.
    pub host: Option<(String, Option<u16>)>,
    pub image: Option<String>,
}

impl Place {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let Some((host, image)) = text.split_once("::") else {
            return Ok(Self { host: None, image: Some(text.to_owned()) });
        };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) => {
                (name, Some(port.parse().map_err(|_| Error::new(format!("{port:?} is not a port")))?))
            }
            None => (host, None),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
        if name.is_empty() || name.starts_with('-') || !name.chars().all(allowed) {
            return Err(Error::new(format!("{host:?} is not the name of a host")));
        }
        if name.rsplit('@').next() == Some("localhost") && port.is_none() {
            return Err(Error::new(
                "an image cannot be copied to or from another user of this machine: that takes root",
            )
            .hint("rpod save IMAGE | sudo -u USER -i rpod load"));
        }
        let image = Some(image).filter(|image| !image.is_empty()).map(str::to_owned);
        // It becomes a word of a shell over there.
        if let Some(image) = &image {
            let is_id = image.len() <= 64 && image.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_id {
                Reference::parse(image)?;
            }
        }
        Ok(Self { host: Some((name.to_owned(), port)), image })
    }
}

/// What [`scp`] did.
#[derive(Debug)]
pub(crate) enum Copied {
    /// Here now.
    Here(Vec<Loaded>),
    Elsewhere,
}

/// Copies the image. Must be called while the process has one thread.
pub(crate) fn scp(
    dirs: &Dirs,
    store: &Store,
    maps: &IdMaps,
    from: &Place,
    to: &Place,
    progress: &dyn Progress,
) -> Result<Copied> {
    let image = from.image.as_deref().ok_or_else(|| Error::new("the image to copy is missing"))?;
    if let (Some(name), Some((host, _))) = (&to.image, &to.host) {
        return Err(Error::new(format!(
            "an image keeps its name on the way: write {host}:: instead of {host}::{name}"
        )));
    }
    match (&from.host, &to.host) {
        (None, None) => Err(Error::new("neither side is on another host").hint("rpod tag gives an image another name")),
        (None, Some(host)) => {
            let options = SaveOptions { format: Format::Docker, only_images: true };
            let plan = plan_save(store, &[image.to_owned()], options)?;
            let mut ssh = ssh(host, LOAD)?.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().context(started)?;
            let input = ssh.stdin.take().ok_or_else(|| Error::new("ssh has no input"))?;
            let saved = save(store, maps, &plan, options, input);
            // When ssh ends early it has said why, which is worth more than a broken pipe.
            ended(ssh, host)?;
            saved.map(|()| Copied::Elsewhere)
        }
        (Some(host), None) => {
            let mut ssh = ssh(host, &save_command(image))?
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .context(started)?;
            let output = ssh.stdout.take().ok_or_else(|| Error::new("ssh has no output"))?;
            let loaded = load(dirs, store, maps, File::from(OwnedFd::from(output)), None, None, progress);
            ended(ssh, host)?;
            loaded.map(Copied::Here)
        }
        (Some(source), Some(target)) => {
            let mut out = ssh(source, &save_command(image))?
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .context(started)?;
            let pipe = out.stdout.take().ok_or_else(|| Error::new("ssh has no output"))?;
            let input = ssh(target, LOAD)?.stdin(pipe).stdout(Stdio::null()).spawn().context(started);
            let outcome = input.and_then(|input| ended(input, target));
            ended(out, source)?;
            outcome.map(|()| Copied::Elsewhere)
        }
    }
}

/// Whoever is there loads what comes.
const LOAD: &str = "for t in rpod podman docker; do command -v $t >/dev/null 2>&1 && exec $t load; done; \
                    echo 'neither rpod nor podman nor docker is installed' >&2; exit 127";

fn save_command(image: &str) -> String {
    LOAD.replace("exec $t load", &format!("exec $t save '{image}'"))
}

fn ssh((host, port): &(String, Option<u16>), command: &str) -> Result<Command> {
    let program = std::env::var_os(ENV_SSH).filter(|program| !program.is_empty()).unwrap_or_else(|| "ssh".into());
    let mut ssh = Command::new(program);
    if let Some(port) = port {
        ssh.args(["-p", &port.to_string()]);
    }
    ssh.args(["--", host, command]);
    Ok(ssh)
}

fn started() -> &'static str {
    "cannot run ssh, which image scp needs"
}

fn ended(mut ssh: Child, (host, _): &(String, Option<u16>)) -> Result<()> {
    let status = ssh.wait().context(|| "cannot wait for ssh")?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::new(format!("ssh to {host} failed ({status})")).hint("what it said is above")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let host = |name: &str, port, image: Option<&str>| Place {
            host: Some((name.to_owned(), port)),
            image: image.map(str::to_owned),
        };
        for (text, wanted) in [
            ("alpine:3", Place { host: None, image: Some("alpine:3".to_owned()) }),
            ("u@h.example::", host("u@h.example", None, None)),
            ("h:22::reg.example:5/a:b", host("h", Some(22), Some("reg.example:5/a:b"))),
        ] {
            assert_eq!(Place::parse(text).expect(text), wanted, "{text}");
        }
        for bad in ["::x", "-oProxyCommand=x::", "h;x::", "h::a'b", "h::$(x)", "h:x::", "other@localhost::a", "a b::x"]
        {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }
}
