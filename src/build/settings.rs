//! Instructions that change only the image's settings.

use std::cell::Cell;

use super::context::ignore::clean;
use super::dockerfile::expand::{self, Lookup};
use super::dockerfile::instruction::Healthcheck as Check;
use super::dockerfile::{Command, Kind};
use super::variables::{Arguments, Globals};
use crate::engine::container::options::values;
use crate::image::config::{Empty, Healthcheck, ImageConfig};

const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The words that a text for the shell is given to.
pub(crate) fn shell(config: &ImageConfig) -> Vec<String> {
    match config.config.shell.is_empty() {
        true => SHELL.map(str::to_owned).to_vec(),
        false => config.config.shell.clone(),
    }
}

/// The words of a command.
pub(crate) fn words(command: &Command, config: &ImageConfig) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) if text.is_empty() => Vec::new(),
        Command::Shell(text) => shell(config).into_iter().chain([text.clone()]).collect(),
    }
}

/// A stage's own instructions so far, as far as later ones depend on them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub arguments: Arguments,
    /// A CMD was among them.
    cmd: bool,
}

/// Carries out one instruction; answers what history says of it, `None` for those that make files.
pub(crate) fn apply(
    kind: &Kind,
    config: &mut ImageConfig,
    seen: &mut Seen,
    globals: &Globals,
    escape: char,
) -> Result<Option<String>, String> {
    let env = config.config.env.clone();
    let arguments = seen.arguments.clone();
    let lookup = super::variables::lookup(&env, &arguments);
    let length = Cell::new(0);
    let count = |word: String| {
        length.set(length.get() + word.len());
        if length.get() > expand::LONGEST { Err(expand::too_long(expand::LONGEST)) } else { Ok(word) }
    };
    let word = |text: &str| expand::word(text, escape, &*lookup).and_then(count);
    let settings = &mut config.config;
    let line = match kind {
        Kind::From { .. } | Kind::Run(_) | Kind::Transfer(_) | Kind::Workdir(_) => return Ok(None),
        Kind::Env(pairs) => {
            let mut line = String::from("ENV");
            for (name, value) in pairs {
                let (name, value) = (word(name)?, word(value)?);
                set_env(&mut settings.env, &name, &value);
                line = format!("{line} {name}={value}");
            }
            line
        }
        Kind::Label(pairs) => {
            let mut line = String::from("LABEL");
            for (name, value) in pairs {
                let (name, value) = (word(name)?, word(value)?);
                line = format!("{line} {name}={value}");
                settings.labels.insert(name, value);
            }
            line
        }
        Kind::Arg(list) => {
            let mut line = String::from("ARG");
            for (name, default) in list {
                let name = word(name)?;
                let arguments = seen.arguments.clone();
                let lookup = super::variables::lookup(&env, &arguments);
                let value = default.as_deref().map(|text| expand::word(text, escape, &*lookup).and_then(count));
                let value = value.transpose()?;
                line = match &value {
                    Some(value) => format!("{line} {name}={value}"),
                    None => format!("{line} {name}"),
                };
                seen.arguments.declare(&name, value, globals);
            }
            line
        }
        Kind::Cmd(command) => {
            let words = words(command, config);
            let line = format!("CMD {}", quoted(&words));
            config.config.cmd = words;
            seen.cmd = true;
            line
        }
        Kind::Entrypoint(command) => {
            let words = words(command, config);
            let line = format!("ENTRYPOINT {}", quoted(&words));
            config.config.entrypoint = words;
            // The base's command was for the base's entrypoint.
            if !seen.cmd {
                config.config.cmd.clear();
            }
            line
        }
        Kind::Shell(words) => {
            settings.shell.clone_from(words);
            format!("SHELL [{}]", words.join(" "))
        }
        Kind::Expose(texts) => {
            let mut ports = Vec::new();
            for text in texts {
                for text in expand::words(text, escape, &*lookup)? {
                    ports.extend(exposed(&count(text)?)?);
                }
            }
            let line = format!("EXPOSE [{}]", ports.join(" "));
            settings.exposed_ports.extend(ports.into_iter().map(|port| (port, Empty {})));
            line
        }
        Kind::Volume(paths) => {
            let paths = paths.iter().map(|path| word(path)).collect::<Result<Vec<_>, _>>()?;
            let line = format!("VOLUME [{}]", paths.join(" "));
            settings.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
            line
        }
        Kind::User(user) => {
            settings.user = word(user)?;
            format!("USER {}", settings.user)
        }
        Kind::StopSignal(signal) => {
            let signal = word(signal)?;
            values::signal(&signal).map_err(|e| e.to_string())?;
            settings.stop_signal.clone_from(&signal);
            format!("STOPSIGNAL {signal}")
        }
        Kind::Onbuild(trigger) => {
            settings.on_build.push(trigger.clone());
            format!("ONBUILD {trigger}")
        }
        Kind::Healthcheck(check) => {
            let check = healthcheck(check, config);
            let line = match check.test.first().map(String::as_str) {
                Some("NONE") => "HEALTHCHECK NONE".to_owned(),
                _ => format!("HEALTHCHECK {}", quoted(&check.test)),
            };
            config.config.healthcheck = Some(check);
            line
        }
        Kind::Maintainer(name) => {
            config.author = Some(name.clone());
            format!("MAINTAINER {name}")
        }
    };
    Ok(Some(line))
}

/// Changes a variable in place, or adds it.
pub(crate) fn set_env(env: &mut Vec<String>, name: &str, value: &str) {
    let variable = format!("{name}={value}");
    match env.iter_mut().find(|known| known.split('=').next() == Some(name)) {
        Some(known) => *known = variable,
        None => env.push(variable),
    }
}

/// The new working directory.
pub(crate) fn workdir(current: &str, path: &str) -> String {
    match path.starts_with('/') {
        true => clean(path),
        false => clean(&format!("/{current}/{path}")),
    }
}

/// As Go's `%q` writes a list.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| serde_json::Value::from(word.as_str()).to_string()).collect();
    format!("[{}]", words.join(" "))
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn exposed(text: &str) -> Result<Vec<String>, String> {
    let bad = || format!("invalid containerPort: {text}");
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    // A published form, IP:HOST:CONTAINER, names the container's port last.
    let range = range.rsplit(':').next().unwrap_or(range);
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    if first > last {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn healthcheck(check: &Check, config: &ImageConfig) -> Healthcheck {
    let test = match &check.command {
        None => vec!["NONE".to_owned()],
        Some(Command::Exec(words)) => ["CMD".to_owned()].into_iter().chain(words.iter().cloned()).collect(),
        Some(Command::Shell(text)) if config.config.shell.is_empty() => vec!["CMD-SHELL".to_owned(), text.clone()],
        Some(command) => ["CMD".to_owned()].into_iter().chain(words(command, config)).collect(),
    };
    Healthcheck {
        test,
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    }
}

/// For callers that need a value with the variables of a place.
pub(crate) fn expanded(text: &str, escape: char, lookup: &Lookup<'_>) -> Result<String, String> {
    expand::word(text, escape, lookup)
}
