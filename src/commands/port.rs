//! `rpod port`.

use super::Context;
use crate::cli::container::Port;
use crate::engine::container::ports;
use crate::engine::container::select::Selection;
use crate::error::{Error, Result};
use crate::state::id;

pub(crate) fn run(args: Port, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    // With --latest the only word is a port.
    let (names, port) = match args.words.as_slice() {
        [_, ..] if args.all => return Err(Error::new("no arguments are needed with --all")),
        [] => (&[][..], None),
        [port] if args.latest => (&[][..], Some(port)),
        [name] => (std::slice::from_ref(name), None),
        [name, port] if !args.latest => (std::slice::from_ref(name), Some(port)),
        _ => return Err(Error::new("too many arguments: give a container and a port")),
    };
    let selection = Selection { names, all: args.all, latest: args.latest, ..Selection::default() };
    for (_, container) in selection.resolve(dirs, "you must supply a running container name or id")? {
        let state = container.state(dirs)?;
        // What does not run has no ports, and that is the answer.
        if !state.status.is_up() {
            continue;
        }
        let mut found = false;
        for mapping in ports::current(&container, &state) {
            let inside = format!("{}/{}", mapping.container_port, mapping.protocol);
            let outside = mapping.host();
            match port {
                None if args.all => context.ui.line(format!("{}\t{inside} -> {outside}", id::short(container.id())))?,
                None => context.ui.line(format!("{inside} -> {outside}"))?,
                Some(port) if *port == inside || format!("{port}/tcp") == inside => {
                    found = true;
                    context.ui.line(outside)?;
                }
                Some(_) => {}
            }
        }
        if let (Some(port), false) = (port, found) {
            return Err(Error::new(format!("failed to find published port {port:?}")));
        }
    }
    Ok(0)
}
