//! Changes to an image's settings written as Dockerfile instructions: `import --change`, `commit --change`.

use crate::error::{Error, Result};
use crate::image::config::{Empty, Settings};
use crate::image::healthcheck;
use crate::sys::signal;

/// Applies instructions in their order. As in a Dockerfile a new entrypoint takes the inherited command away.
pub(crate) fn apply_all(settings: &mut Settings, changes: &[String]) -> Result<()> {
    changes.iter().try_for_each(|change| apply(settings, change))?;
    let has = |instruction: &str| {
        changes.iter().any(|change| {
            let name = change.trim().split([' ', '\t', '=']).next().unwrap_or_default();
            name.eq_ignore_ascii_case(instruction)
        })
    };
    if has("ENTRYPOINT") && !has("CMD") {
        settings.cmd.clear();
    }
    Ok(())
}

/// Applies one instruction, `CMD ["sh"]` or, as Podman allows, `CMD=["sh"]`.
fn apply(settings: &mut Settings, change: &str) -> Result<()> {
    let change = change.trim();
    let bad = |why: &str| Error::new(format!("invalid change {change:?}: {why}"));
    let (instruction, value) = match change.find([' ', '\t', '=']) {
        Some(end) => (&change[..end], change[end + 1..].trim()),
        None => return Err(bad("an instruction and its value are needed, such as CMD /bin/sh")),
    };
    if value.is_empty() {
        return Err(bad("it has no value"));
    }
    match instruction.to_ascii_uppercase().as_str() {
        "CMD" => settings.cmd = command(value),
        "ENTRYPOINT" => settings.entrypoint = command(value),
        "ENV" => {
            for (key, value) in pairs(value).ok_or_else(|| bad("a variable is written as KEY=VALUE"))? {
                let prefix = format!("{key}=");
                settings.env.retain(|old| !old.starts_with(&prefix));
                settings.env.push(prefix + &value);
            }
        }
        "LABEL" => {
            for (key, value) in pairs(value).ok_or_else(|| bad("a label is written as KEY=VALUE"))? {
                settings.labels.insert(key, value);
            }
        }
        "EXPOSE" => {
            for port in value.split_ascii_whitespace() {
                settings
                    .exposed_ports
                    .insert(exposed(port).ok_or_else(|| bad("a port is written as 80 or 80/udp"))?, Empty {});
            }
        }
        "VOLUME" => {
            for path in list(value) {
                settings.volumes.insert(path, Empty {});
            }
        }
        "HEALTHCHECK" => settings.healthcheck = Some(healthcheck::parse(value).map_err(|e| bad(&e.to_string()))?),
        "SHELL" => {
            settings.shell = serde_json::from_str(value).map_err(|_| bad("a shell is written as a JSON list"))?;
        }
        "ONBUILD" => settings.on_build.push(value.to_owned()),
        "STOPSIGNAL" if signal::parse(value).is_none() => return Err(bad("no signal is called so")),
        "STOPSIGNAL" => settings.stop_signal = value.to_owned(),
        "USER" => settings.user = value.to_owned(),
        "WORKDIR" if value.starts_with('/') => settings.working_dir = value.to_owned(),
        "WORKDIR" => settings.working_dir = format!("{}/{value}", settings.working_dir.trim_end_matches('/')),
        other => {
            return Err(bad(&format!("{other} cannot be changed"))
                .hint("CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME and WORKDIR can"));
        }
    }
    Ok(())
}

/// A JSON list is run as it is, anything else by a shell.
fn command(value: &str) -> Vec<String> {
    serde_json::from_str(value).unwrap_or_else(|_| ["/bin/sh", "-c", value].map(str::to_owned).to_vec())
}

fn list(value: &str) -> Vec<String> {
    serde_json::from_str(value).unwrap_or_else(|_| value.split_ascii_whitespace().map(str::to_owned).collect())
}

fn exposed(port: &str) -> Option<String> {
    let (range, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let valid = first > 0 && first <= last && matches!(protocol, "tcp" | "udp" | "sctp");
    valid.then(|| format!("{range}/{protocol}"))
}

/// `a=1 b="2 3"`, or the old `a 1 2` which is one pair.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let words = words(text)?;
    if words.iter().all(|word| word.contains('=')) {
        let split = |word: &String| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        return words
            .iter()
            .map(split)
            .collect::<Option<Vec<_>>>()
            .filter(|all| all.iter().all(|(k, _)| !k.is_empty()));
    }
    let (key, value) = text.split_once(' ')?;
    (!key.contains('=')).then(|| vec![(key.to_owned(), value.trim().to_owned())])
}

/// Words separated by blanks outside quotes; quotes and backslashes are taken away.
fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.push(c),
            (_, '\\') => word.push(chars.next()?),
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => (quote, begun) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (None, c) => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions() {
        let mut settings = Settings::default();
        for change in [
            r#"CMD ["sh", "-l"]"#,
            "entrypoint=/init --now",
            "ENV A=1 B=\"2 3\" A=4",
            "ENV C old style",
            "LABEL x=y 'q q=z z'",
            "EXPOSE 80 53/udp 8000-8002",
            "VOLUME /a /b",
            "USER 1000:1000",
            "WORKDIR /srv",
            "WORKDIR www",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN true",
        ] {
            apply(&mut settings, change).expect(change);
        }
        assert_eq!(settings.cmd, ["sh", "-l"]);
        assert_eq!(settings.entrypoint, ["/bin/sh", "-c", "/init --now"]);
        assert_eq!(settings.env, ["B=2 3", "A=4", "C=old style"]);
        assert_eq!(settings.labels.get("q q").map(String::as_str), Some("z z"));
        assert_eq!(settings.exposed_ports.keys().collect::<Vec<_>>(), ["80/tcp", "53/udp", "8000-8002/tcp"]);
        assert_eq!(settings.volumes.keys().count(), 2);
        assert_eq!((settings.working_dir.as_str(), settings.on_build.len()), ("/srv/www", 1));
        apply_all(&mut settings, &["ENTRYPOINT [\"a\"]".to_owned(), "ENV A=5".to_owned()]).expect("applies");
        assert!(settings.cmd.is_empty() && settings.entrypoint == ["a"]);
        apply_all(&mut settings, &["cmd b".to_owned(), "entrypoint=c".to_owned()]).expect("applies");
        assert_eq!(settings.cmd, ["/bin/sh", "-c", "b"]);
        for bad in [
            "",
            "CMD",
            "CMD ",
            "RUN x",
            "ENV A",
            "ENV =x",
            "EXPOSE x",
            "EXPOSE 0",
            "EXPOSE 9-8",
            "LABEL 'a=b",
            "STOPSIGNAL X",
        ] {
            assert!(apply(&mut settings, bad).is_err(), "{bad}");
        }
    }
}
