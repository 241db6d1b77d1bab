//! Go's text/template over JSON values, as `--format` of Docker and Podman has it.
//!
//! lexer → parser → [`ast`] → eval. Written here because the `gtmpl` crate keeps objects in hash maps (`{{json .}}` and
//! `{{range}}` in random order), starts a thread for each template, and lacks `break`, `slice` and `else with`.
//!
//! What a value is beyond JSON is said by its type, where there is one ([`types`]). Elsewhere a field that an object lacks
//! is an error when the object looks like a Go struct (each key begins with a capital letter), and `<no value>` when it
//! looks like a map (labels, networks by name): what is given to a template must have all its fields, empty ones too.

mod ast;
mod compare;
mod eval;
mod functions;
mod lexer;
mod literal;
mod parser;
mod printf;
mod text;
mod time;
pub(crate) mod types;

use serde_json::Value;

use crate::error::{Error, Result};

/// A byte offset in the template's text.
type Position = usize;

/// A parsed template.
pub(crate) struct Template {
    name: String,
    text: String,
    parsed: parser::Parsed,
    options: Options,
}

/// How values are read and written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Fields are found whatever their case: `info`, whose JSON keys are `host` while templates say `.Host`.
    pub any_case: bool,
    /// What a value prints is made safe for a terminal; the template's own text is not touched.
    pub escape: bool,
    /// The data are the headers of a table: unknown fields are no error, and `.Label "x"` is headed `x`.
    pub headers: bool,
}

impl Template {
    /// Parses `text`; `name` (the verb) is what error messages call it. `\t` and `\n` outside actions mean a tab and a
    /// line end, as in Docker.
    pub(crate) fn parse(name: &str, text: &str, options: Options) -> Result<Self> {
        let text = unescape_outside_actions(text);
        match parser::parse(&text) {
            Ok(parsed) => Ok(Self { name: name.to_owned(), text, parsed, options }),
            Err((at, message)) => Err(Error::new(format!("template: {name}:{}: {message}", line(&text, at)))
                .hint("the format is a Go template, for example '{{.ID}} {{.Names}}'")),
        }
    }

    /// The template carried out with `data` as its dot.
    pub(crate) fn render(&self, data: &Value) -> Result<String> {
        eval::run(&self.parsed, self.options, data).map_err(|fault| {
            let line = line(&self.text, fault.at);
            let column = fault.at - self.text[..fault.at].rfind('\n').map_or(0, |i| i + 1);
            let quoted = self.text[fault.at..fault.end].trim();
            let (name, message) = (&self.name, &fault.message);
            let error =
                Error::new(format!("template: {name}:{line}:{column}: executing {name:?} at <{quoted}>: {message}"));
            match fault.hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }
}

fn line(text: &str, at: Position) -> usize {
    text[..at].matches('\n').count() + 1
}

fn unescape_outside_actions(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let end = rest[start..].find("}}").map_or(rest.len(), |i| start + i + 2);
        result.push_str(&rest[..start].replace("\\t", "\t").replace("\\n", "\n"));
        result.push_str(&rest[start..end]);
        rest = &rest[end..];
    }
    result.push_str(&rest.replace("\\t", "\t").replace("\\n", "\n"));
    result
}

#[cfg(test)]
mod tests;
