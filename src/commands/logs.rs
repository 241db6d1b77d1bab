//! `rpod logs`.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Context;
use crate::cli::container::Logs;
use crate::engine::container::select::Selection;
use crate::engine::container::store::Container;
use crate::engine::when;
use crate::error::{Error, Result};
use crate::monitor::log::Options;
use crate::monitor::log::reader::{self, Entry, Filter, Sink};
use crate::monitor::protocol::Stream;
use crate::output::ui::Ui;
use crate::state::id;
use crate::sys::process::{self, Fork};

/// Colours of `--color`, one container after the other, as Podman's.
const COLOURS: [&str; 6] = ["\x1b[37m", "\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[35m", "\x1b[36m"];

pub(crate) fn run(args: Logs, context: &Context<'_>) -> Result<u8> {
    let filter = Filter {
        since: args.since.as_deref().map(|text| when::parse("--since", text)).transpose()?,
        until: args.until.as_deref().map(|text| when::parse("--until", text)).transpose()?,
        tail: u64::try_from(args.tail).ok(),
    };
    let dirs = context.dirs()?;
    let selection = Selection { names: &args.containers, latest: args.latest, ..Selection::default() };
    let containers = selection.resolve(dirs, "specify at least one container name or ID to log")?;
    let several = containers.len() > 1;
    let mut followers = Vec::new();
    for (index, (_, container)) in containers.iter().enumerate() {
        let options = container.config()?.log;
        if options.driver.keeps_nothing() {
            return Err(Error::new(format!(
                "this container is using the '{}' log driver, cannot read logs: this container is not logging output",
                options.driver.as_str()
            )));
        }
        let monitor = if args.follow { running_monitor(container, context)? } else { None };
        let prefix = match (args.names, several) {
            (true, _) if several || !options.tag.is_empty() => format!("{} ", container.record.name),
            (false, true) => format!("{} ", id::short(container.id())),
            _ => String::new(),
        };
        let colour = if args.color { COLOURS[index % COLOURS.len()] } else { "" };
        let details = if args.details { details(&options) } else { String::new() };
        let mut printer = Printer {
            ui: context.ui,
            prefix,
            details,
            colour,
            timestamps: args.timestamps,
            piece: [false; 2],
            line: Vec::new(),
        };
        let mut show = || show(container, &options, &filter, monitor.as_ref(), &mut printer);
        // Logs that go on are read side by side, each by a process of its own.
        if several && monitor.is_some() {
            context.ui.flush()?;
            match process::fork().map_err(|e| Error::wrap("cannot follow several logs", e))? {
                Fork::Parent(child) => followers.push(child),
                Fork::Child => process::exit_now(show().is_err().into()),
            }
        } else {
            show()?;
        }
    }
    for follower in followers {
        let _ = follower.wait();
    }
    Ok(0)
}

/// `a=1,b=2 `, escaped as in a URL's query, as Docker writes it.
fn details(options: &Options) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b' ' => "+".to_owned(),
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect()
    };
    let pairs: Vec<String> =
        options.attributes.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    // A line without any still has the separator.
    format!("{} ", pairs.join(","))
}

/// The process whose end ends the log; `None` when the container does not run.
fn running_monitor(container: &Container, context: &Context<'_>) -> Result<Option<OwnedFd>> {
    let state = container.state(context.dirs()?)?;
    if !state.status.is_alive() {
        return Ok(None);
    }
    Ok(Pid::from_raw(state.monitor).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()))
}

fn show(
    container: &Container,
    options: &Options,
    filter: &Filter,
    monitor: Option<&OwnedFd>,
    printer: &mut Printer<'_>,
) -> Result<()> {
    reader::read(options, &container.place.disk, filter, monitor, printer)
}

/// Writes lines the way they were written: standard error to standard error.
struct Printer<'a> {
    ui: &'a Ui,
    prefix: String,
    /// Behind the time.
    details: String,
    colour: &'static str,
    timestamps: bool,
    /// Which stream is in the middle of a line.
    piece: [bool; 2],
    /// The line as it is shown; here for its memory.
    line: Vec<u8>,
}

impl Sink for Printer<'_> {
    fn entry(&mut self, entry: &Entry<'_>) -> Result<bool> {
        let line = &mut self.line;
        line.clear();
        let middle = std::mem::replace(&mut self.piece[entry.stream as usize], entry.partial);
        if !middle {
            line.extend_from_slice(self.prefix.as_bytes());
            if self.timestamps {
                line.extend_from_slice(format!("{:.9} ", entry.time).as_bytes());
            }
            line.extend_from_slice(self.details.as_bytes());
        }
        line.extend_from_slice(self.colour.as_bytes());
        line.extend_from_slice(&entry.text);
        if !self.colour.is_empty() {
            line.extend_from_slice(b"\x1b[0m");
        }
        if !entry.partial {
            line.push(b'\n');
        }
        match entry.stream {
            Stream::Stdout => self.ui.bytes(line)?,
            Stream::Stderr => self.ui.stderr_bytes(line),
        }
        Ok(true)
    }

    fn idle(&mut self) -> Result<()> {
        self.ui.flush()
    }
}
