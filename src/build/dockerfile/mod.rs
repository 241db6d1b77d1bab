//! The Dockerfile language as plain data with line numbers; nothing here touches a file or a variable's value.
//!
//! ```text
//! text ── lines ──▶ directives, logical lines with here-documents ── read ──▶ instructions
//!                                                          expand: words with variables, when their values are known
//! ```
//! Reference: docs.docker.com/reference/dockerfile, and where it is silent BuildKit's parser.

pub(crate) mod error;
pub(crate) mod expand;
mod flags;
pub(crate) mod instruction;
mod lines;
mod pattern;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use error::{Problem, Span};
pub(crate) use instruction::{Command, Instruction, Kind};
pub(crate) use lines::Directives;

/// Whether a text announces a here-document and is nothing else.
pub(crate) fn is_heredoc(text: &str, escape: char) -> bool {
    let text = text.trim();
    matches!(&expand::raw_words(text, escape)[..], [word] if lines::heredoc(word, escape).is_some())
}

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Dockerfile {
    pub directives: Directives,
    /// Before the first FROM: ARGs only.
    pub global: Vec<Instruction>,
    pub stages: Vec<Stage>,
    /// Lines with an empty continuation line inside.
    pub empty_continuations: Vec<Span>,
}

/// A FROM and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    pub from: Instruction,
    pub instructions: Vec<Instruction>,
}

impl Dockerfile {
    pub(crate) fn escape(&self) -> char {
        self.directives.escape.unwrap_or('\\')
    }
}

/// Reads a Dockerfile.
pub(crate) fn parse(text: &str) -> Result<Dockerfile, Problem> {
    let (directives, lines) = lines::split(text)?;
    let mut file = Dockerfile { directives, ..Dockerfile::default() };
    for line in &lines {
        if line.has_empty_continuation {
            file.empty_continuations.push(line.span);
        }
        let instruction = read::instruction(line, file.escape())?;
        match (&instruction.kind, file.stages.last_mut()) {
            (Kind::From { .. }, _) => file.stages.push(Stage { from: instruction, instructions: Vec::new() }),
            (Kind::Arg(_), None) => file.global.push(instruction),
            (_, None) => {
                return Err(Problem::new("no build stage in current context: FROM must come first", instruction.span));
            }
            (_, Some(stage)) => stage.instructions.push(instruction),
        }
    }
    if file.stages.is_empty() {
        return Err(Problem::new("file with no instructions: it has no FROM", Span { first: 1, last: 1 }));
    }
    Ok(file)
}

/// Reads what an ONBUILD of a base image holds.
pub(crate) fn parse_trigger(text: &str, span: Span) -> Result<Instruction, Problem> {
    let moved = |problem: Problem| Problem { span, ..problem };
    let (_, lines) = lines::split(text).map_err(moved)?;
    match &lines[..] {
        [line] => {
            let instruction = read::instruction(line, '\\').map_err(moved)?;
            Ok(Instruction { span, ..instruction })
        }
        _ => Err(Problem::new(format!("the base image has an ONBUILD trigger that is no instruction: {text:?}"), span)),
    }
}
