//! `build --check` and `--call`: a Dockerfile is told about instead of built.

use super::Context;
use crate::build::describe::{self, Outline, Target};
use crate::build::request::Request;
use crate::cli::build::Build;
use crate::error::{Error, Result};
use crate::output::table;
use crate::userns::IdMaps;

/// What is asked for instead of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Check,
    Outline,
    Targets,
}

impl Call {
    /// `None`: an image.
    pub(super) fn of(args: &Build) -> Result<Option<Self>> {
        match args.input.call.as_deref() {
            _ if args.input.check => Ok(Some(Self::Check)),
            None | Some("" | "build") => Ok(None),
            Some("check") => Ok(Some(Self::Check)),
            Some("outline") => Ok(Some(Self::Outline)),
            Some("targets") => Ok(Some(Self::Targets)),
            Some(other) => {
                Err(Error::new(format!("--call {other} is not known")).hint("build, check, outline and targets are"))
            }
        }
    }

    pub(super) fn answer(self, context: &Context<'_>, request: &Request) -> Result<u8> {
        let (dirs, maps) = (context.dirs()?, IdMaps::for_user()?);
        match self {
            Self::Check => {
                let findings = describe::check(dirs, &context.store()?, &maps, request)?;
                findings.iter().try_for_each(|finding| context.ui.line(finding))?;
                return Ok(u8::from(!findings.is_empty()));
            }
            Self::Targets => context.ui.print(&targets(&describe::targets(dirs, &maps, request)?))?,
            Self::Outline => context.ui.print(&outline(&describe::outline(dirs, &maps, request)?))?,
        }
        Ok(0)
    }
}

fn targets(targets: &[Target]) -> String {
    let mut rows = vec![["TARGET".to_owned(), "DESCRIPTION".to_owned()]];
    rows.extend(targets.iter().map(|target| {
        let default = if target.default { "(default)" } else { "" };
        [format!("{} {default}", target.name).trim().to_owned(), target.description.clone()]
    }));
    table::render(&rows)
}

fn outline(outline: &Outline) -> String {
    let mut head = Vec::new();
    for (title, text) in [("TARGET:", &outline.target), ("DESCRIPTION:", &outline.description)] {
        if !text.is_empty() {
            head.push([title, text.as_str()]);
        }
    }
    let mut parts = vec![table::render(&head)];
    if !outline.arguments.is_empty() {
        let mut rows = vec![["BUILD ARG", "VALUE", "DESCRIPTION"]];
        rows.extend(
            outline.arguments.iter().map(|argument| [argument.name.as_str(), &argument.value, &argument.description]),
        );
        parts.push(table::render(&rows));
    }
    for (title, list) in [("SECRET", &outline.secrets), ("SSH", &outline.agents)] {
        if !list.is_empty() {
            let mut rows = vec![[title, "REQUIRED"]];
            rows.extend(list.iter().map(|(id, required)| [id.as_str(), if *required { "true" } else { "" }]));
            parts.push(table::render(&rows));
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}
