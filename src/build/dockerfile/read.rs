//! A logical line → an instruction.

use super::error::Problem;
use super::expand;
use super::flags;
use super::instruction::{Command, Healthcheck, Instruction, Kind, Run, Transfer};
use super::lines::Line;

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Reads one line.
pub(crate) fn instruction(line: &Line, escape: char) -> Result<Instruction, Problem> {
    let problem = |what: String| Problem::new(what, line.span);
    let text = line.text.trim();
    let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let kind = kind(keyword, rest.trim(), line, escape).map_err(problem)?;
    let (text, keyword) = (text.to_owned(), keyword.to_owned());
    Ok(Instruction { kind, span: line.span, text, keyword, comments: line.comments.clone() })
}

fn kind(keyword: &str, text: &str, line: &Line, escape: char) -> Result<Kind, String> {
    let upper = keyword.to_ascii_uppercase();
    if !KEYWORDS.contains(&upper.as_str()) {
        let similar = KEYWORDS.iter().find(|known| close(known, &upper));
        let hint = similar.map(|known| format!(" (did you mean {known}?)")).unwrap_or_default();
        return Err(format!("unknown instruction: {keyword}{hint}"));
    }
    let (mut flags, rest) = match upper.as_str() {
        "FROM" | "RUN" | "ADD" | "COPY" | "HEALTHCHECK" => flags::take(text, escape),
        _ => (flags::Flags::default(), text),
    };
    let rest = rest.trim();
    let needs = |what: &str| match rest.is_empty() {
        true => Err(format!("{upper} requires {what}")),
        false => Ok(()),
    };
    let kind = match upper.as_str() {
        "FROM" => {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let platform = flags.value("platform")?;
            match words[..] {
                [image] => Kind::From { image: image.to_owned(), name: None, platform },
                [image, word, name] if word.eq_ignore_ascii_case("as") => {
                    Kind::From { image: image.to_owned(), name: Some(stage_name(name)?), platform }
                }
                _ => return Err("FROM requires either one or three arguments".to_owned()),
            }
        }
        "RUN" => {
            let run = Run {
                mounts: flags.values("mount")?,
                network: flags.value("network")?,
                security: flags.value("security")?,
                devices: flags.values("device")?,
                command: command(rest)?,
                heredocs: line.heredocs.clone(),
            };
            if run.heredocs.is_empty() || matches!(run.command, Command::Exec(_)) {
                needs("at least one argument")?;
            }
            Kind::Run(run)
        }
        "CMD" => Kind::Cmd(command(rest)?),
        "ENTRYPOINT" => Kind::Entrypoint(command(rest)?),
        "SHELL" => match json(rest)? {
            Some(words) if !words.is_empty() => Kind::Shell(words),
            Some(_) => return Err("SHELL requires at least one argument".to_owned()),
            None => return Err("SHELL requires the arguments to be in JSON form".to_owned()),
        },
        "ENV" => Kind::Env(pairs("ENV", rest, escape)?),
        "LABEL" => Kind::Label(pairs("LABEL", rest, escape)?),
        "ARG" => {
            needs("at least one argument")?;
            let words = expand::raw_words(rest, escape);
            Kind::Arg(words.iter().map(|word| argument(word)).collect::<Result<_, _>>()?)
        }
        "EXPOSE" => {
            needs("at least one argument")?;
            Kind::Expose(rest.split_whitespace().map(str::to_owned).collect())
        }
        "VOLUME" => {
            needs("at least one argument")?;
            let paths = json(rest)?.unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            if paths.is_empty() || paths.iter().any(|path| path.trim().is_empty()) {
                return Err("VOLUME specified can not be an empty string".to_owned());
            }
            Kind::Volume(paths)
        }
        "USER" => needs("exactly one argument").map(|()| Kind::User(rest.to_owned()))?,
        "WORKDIR" => needs("exactly one argument").map(|()| Kind::Workdir(rest.to_owned()))?,
        "STOPSIGNAL" => needs("exactly one argument").map(|()| Kind::StopSignal(rest.to_owned()))?,
        "MAINTAINER" => needs("exactly one argument").map(|()| Kind::Maintainer(rest.to_owned()))?,
        "ONBUILD" => onbuild(rest, line, escape)?,
        "HEALTHCHECK" => healthcheck(rest, &mut flags)?,
        _ => Kind::Transfer(transfer(&upper, rest, &mut flags, line, escape)?),
    };
    flags.finish()?;
    Ok(kind)
}

fn close(known: &str, typed: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (known.chars().collect(), typed.chars().collect());
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    a.len().abs_diff(b.len()) <= 1 && same + tail + 2 >= a.len().max(b.len()) && same + tail > 0
}

/// `[a-z][a-z0-9-_.]*`, in any case.
fn stage_name(name: &str) -> Result<String, String> {
    let lower = name.to_lowercase();
    let good = lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
    match good {
        true => Ok(lower),
        false => {
            Err(format!("invalid name for build stage: {name:?}, name can't start with a number or contain symbols"))
        }
    }
}

/// A JSON list of texts; `None` when it is something else.
fn json(text: &str) -> Result<Option<Vec<String>>, String> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    match serde_json::from_str::<Vec<serde_json::Value>>(text) {
        Err(_) => Ok(None),
        Ok(values) => values
            .into_iter()
            .map(|value| match value {
                serde_json::Value::String(text) => Ok(text),
                _ => Err("when using JSON array syntax, arrays must be comprised of strings only".to_owned()),
            })
            .collect::<Result<_, _>>()
            .map(Some),
    }
}

fn command(text: &str) -> Result<Command, String> {
    Ok(json(text)?.map_or_else(|| Command::Shell(text.to_owned()), Command::Exec))
}

/// `name=value …`, or the old `name value`.
fn pairs(keyword: &str, text: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    let words = expand::raw_words(text, escape);
    let Some(first) = words.first() else { return Err(format!("{keyword} requires at least one argument")) };
    if !first.contains('=') {
        let (name, value) =
            text.split_once(char::is_whitespace).ok_or_else(|| format!("{keyword} must have two arguments"))?;
        return Ok(vec![(name.to_owned(), value.trim_start().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err(format!("{keyword} names can not be blank")),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")),
    };
    words.iter().map(pair).collect()
}

fn argument(word: &str) -> Result<(String, Option<String>), String> {
    match word.split_once('=') {
        Some(("", _)) => Err("ARG names can not be blank".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None => Ok((word.to_owned(), None)),
    }
}

fn onbuild(text: &str, line: &Line, escape: char) -> Result<Kind, String> {
    if text.is_empty() {
        return Err("ONBUILD requires at least one argument".to_owned());
    }
    let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match keyword.to_ascii_uppercase().as_str() {
        "ONBUILD" => return Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()),
        "FROM" | "MAINTAINER" => {
            return Err(format!("{} isn't allowed as an ONBUILD trigger", keyword.to_ascii_uppercase()));
        }
        // Says now what would be wrong later.
        _ => kind(keyword, rest.trim(), line, escape)?,
    };
    let mut trigger = text.to_owned();
    for heredoc in &line.heredocs {
        trigger = format!("{trigger}\n{}{}", heredoc.raw, heredoc.name);
    }
    Ok(Kind::Onbuild(trigger))
}

fn healthcheck(text: &str, flags: &mut flags::Flags) -> Result<Kind, String> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let mut check = Healthcheck::default();
    match word.to_ascii_uppercase().as_str() {
        "NONE" if rest.trim().is_empty() => return Ok(Kind::Healthcheck(check)),
        "NONE" => return Err("HEALTHCHECK NONE takes no arguments".to_owned()),
        "CMD" => {}
        "" => return Err("HEALTHCHECK requires at least one argument".to_owned()),
        _ => return Err(format!("Unknown type {word:?} in HEALTHCHECK (try CMD)")),
    }
    if rest.trim().is_empty() {
        return Err("Missing command after HEALTHCHECK CMD".to_owned());
    }
    check.command = Some(command(rest.trim())?);
    let duration = |name: &str, value: Option<String>| value.map_or(Ok(0), |value| nanoseconds(name, &value));
    check.interval = duration("interval", flags.value("interval")?)?;
    check.timeout = duration("timeout", flags.value("timeout")?)?;
    check.start_period = duration("start-period", flags.value("start-period")?)?;
    check.start_interval = duration("start-interval", flags.value("start-interval")?)?;
    if let Some(retries) = flags.value("retries")? {
        check.retries = retries
            .parse()
            .ok()
            .filter(|n| *n >= 0)
            .ok_or_else(|| format!("--retries must be at least 0, not {retries}"))?;
    }
    Ok(Kind::Healthcheck(check))
}

/// A duration in Go's form: `1h30m`, `1.5s`, `300ms`, `0`.
fn nanoseconds(flag: &str, text: &str) -> Result<i64, String> {
    let bad = || format!("invalid duration {text:?} for --{flag}");
    if text == "0" {
        return Ok(0);
    }
    let mut total = 0f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number
            * match &rest[..unit_end] {
                "h" => 3600e9,
                "m" => 60e9,
                "s" => 1e9,
                "ms" => 1e6,
                "us" | "µs" => 1e3,
                "ns" => 1.0,
                _ => return Err(bad()),
            };
        rest = &rest[unit_end..];
    }
    let value = total.round();
    if text.is_empty() || !(0.0..9e18).contains(&value) {
        return Err(bad());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked just now")]
    let value = value as i64;
    match value {
        // As Docker: shorter is taken for a mistake.
        1..1_000_000 => Err(format!("interval {flag:?} cannot be less than 1ms")),
        _ => Ok(value),
    }
}

fn transfer(
    keyword: &str,
    text: &str,
    flags: &mut flags::Flags,
    line: &Line,
    escape: char,
) -> Result<Transfer, String> {
    let add = keyword == "ADD";
    let mut words = match json(text)? {
        Some(words) => words,
        None => expand::raw_words(text, escape),
    };
    let destination = words.pop().filter(|_| !words.is_empty());
    let Some(destination) = destination else {
        return Err(format!(
            "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        ));
    };
    let mut transfer = Transfer {
        add,
        sources: words,
        destination,
        heredocs: line.heredocs.clone(),
        chown: flags.value("chown")?,
        chmod: flags.value("chmod")?,
        link: flags.switch("link")?.unwrap_or(false),
        exclude: flags.values("exclude")?,
        ..Transfer::default()
    };
    if add {
        transfer.checksum = flags.value("checksum")?;
        transfer.keep_git_dir = flags.switch("keep-git-dir")?.unwrap_or(false);
        transfer.unpack = flags.switch("unpack")?;
    } else {
        transfer.from = flags.value("from")?;
        transfer.parents = flags.switch("parents")?.unwrap_or(false);
    }
    Ok(transfer)
}
