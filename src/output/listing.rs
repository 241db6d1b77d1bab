//! What `ps`, `images`, `volume ls` … share: a table by default, `--format` (`json`, a Go template, a template behind
//! `table `), `--quiet`, `--noheading`.
//!
//! A row is a JSON object whose fields have the names that templates use (`.ID`, `.Names`) and the texts that the table
//! shows. Give every row every field, an empty one where it has nothing: a template that names a missing field is an
//! error. `--no-trunc` is the caller's: it puts the full text into the fields.

use serde::Serialize;
use serde_json::{Map, Value};

use super::template::types::{Type, dress};
use super::template::{Options, Template};
use super::ui::Ui;
use super::{json, table};
use crate::error::{Context, Result};

/// A field and its heading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column(pub &'static str, pub &'static str);

/// How a list is to be shown.
pub(crate) struct Listing<'a> {
    /// The verb: template errors name it.
    pub name: &'a str,
    /// The table, from left to right.
    pub columns: &'a [Column],
    /// Headings of fields that only templates name; others get their name in capitals.
    pub other_headings: &'a [Column],
    /// `--format`
    pub format: Option<&'a str>,
    pub noheading: bool,
    /// With `--quiet`: the one field to show.
    pub quiet: Option<&'a str>,
}

impl Listing<'_> {
    /// Shows `rows`; `json` makes what `--format json` shows, which has more fields and machine values.
    pub(crate) fn print(&self, ui: &Ui, rows: &[Value], json: impl FnOnce() -> Result<Value>) -> Result<()> {
        let format = self.format.map(str::trim).filter(|format| !format.is_empty());
        match (format, self.quiet) {
            (Some("json"), _) => json::pretty(ui, &json()?),
            (None | Some("table"), Some(field)) => {
                rows.iter().try_for_each(|row| ui.line(table::render(&[[cell(row, field)]]).trim_end()))
            }
            (None | Some("table"), None) => self.default_table(ui, rows),
            (Some(format), _) => match format.strip_prefix("table") {
                Some(rest) if rest.starts_with([' ', '\\', '{', '\t']) => {
                    self.template_table(ui, rest.trim_start(), rows)
                }
                _ => self.template(ui, format, rows),
            },
        }
    }

    fn default_table(&self, ui: &Ui, rows: &[Value]) -> Result<()> {
        let mut lines: Vec<Vec<String>> = Vec::with_capacity(rows.len() + 1);
        if !self.noheading {
            lines.push(self.columns.iter().map(|column| column.1.to_owned()).collect());
        }
        lines.extend(rows.iter().map(|row| self.columns.iter().map(|column| cell(row, column.0)).collect()));
        ui.print(&table::render(&lines))
    }

    fn template_table(&self, ui: &Ui, format: &str, rows: &[Value]) -> Result<()> {
        // Podman's help: "{{.ID}} {{.Names}}" behind `table` means two columns as well.
        let format = format.replace("}} {{", "}}\\t{{");
        let template = Template::parse(self.name, &format, Options::default())?;
        let mut lines = Vec::with_capacity(rows.len() + 1);
        if !self.noheading {
            let headings = Template::parse(self.name, &format, Options { headers: true, ..Options::default() })?;
            // A template that looks into a field (`range .Mounts`) cannot be applied to the heading of it.
            if let Ok(line) = headings.render(&self.headings(rows)) {
                lines.push(split(&line));
            }
        }
        for row in rows {
            lines.push(split(&template.render(row)?));
        }
        ui.print(&table::render(&lines))
    }

    fn template(&self, ui: &Ui, format: &str, rows: &[Value]) -> Result<()> {
        let options = Options { escape: ui.stdout_is_terminal(), ..Options::default() };
        let template = Template::parse(self.name, format, options)?;
        if ranges_over_all(format) {
            return line(ui, format, &template.render(&Value::from(rows))?);
        }
        rows.iter().try_for_each(|row| line(ui, format, &template.render(row)?))
    }

    fn headings(&self, rows: &[Value]) -> Value {
        let mut headings = Map::new();
        if let Some(Value::Object(first)) = rows.first() {
            headings.extend(first.keys().map(|field| (field.clone(), Value::String(words(field)))));
        }
        for Column(field, heading) in self.other_headings.iter().chain(self.columns) {
            headings.insert((*field).to_owned(), Value::from(*heading));
        }
        Value::Object(headings)
    }
}

/// `inspect`, `info`, `version`: one object through `--format`. JSON keeps the order of the type's fields.
pub(crate) fn object<T: Serialize>(ui: &Ui, name: &str, format: &str, object: &T, any_case: bool) -> Result<()> {
    typed_object(ui, name, format, object, any_case, &Type::Any)
}

/// [`object`] whose type in Go is known.
pub(crate) fn typed_object<T: Serialize>(
    ui: &Ui,
    name: &str,
    format: &str,
    object: &T,
    any_case: bool,
    of: &Type,
) -> Result<()> {
    let compact: String = format.chars().filter(|c| !c.is_whitespace()).collect();
    match compact.as_str() {
        "json" => json::pretty(ui, object),
        "{{json.}}" | "{{json}}" => json::compact(ui, object),
        _ => {
            // A table without a heading: of one object nothing is to be lined up.
            let headless = format.strip_prefix("table ");
            let options = Options { escape: ui.stdout_is_terminal(), any_case, headers: false };
            let value = serde_json::to_value(object).context(|| "cannot encode the answer as JSON")?;
            let text = Template::parse(name, headless.unwrap_or(format), options)?.render(&dress(value, of))?;
            match headless {
                Some(_) => ui.print(&table::render(&[split(&text)])),
                None => line(ui, format, &text),
            }
        }
    }
}

/// Docker and Podman add a line end to each object's text unless the template itself ends in one.
fn line(ui: &Ui, format: &str, text: &str) -> Result<()> {
    if format.ends_with('\n') || format.ends_with("\\n") { ui.print(text) } else { ui.line(text) }
}

/// Whether the template begins with `{{range .}}`: Podman then applies it to the whole list instead of to each row.
fn ranges_over_all(format: &str) -> bool {
    let first = format.split("}}").next().unwrap_or_default();
    let compact: String = first.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    compact.strip_prefix("{{range").is_some_and(|over| over == "." || (over.starts_with('$') && over.ends_with(":=.")))
}

fn cell(row: &Value, field: &str) -> String {
    match row.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|i| i.as_str().unwrap_or_default()).collect::<Vec<_>>().join(","),
        Some(other) => other.to_string(),
    }
}

fn split(line: &str) -> Vec<String> {
    line.trim_end_matches('\n').split('\t').map(str::to_owned).collect()
}

/// "RunningFor" → "RUNNING FOR"
fn words(field: &str) -> String {
    let mut words = String::new();
    let mut previous = ' ';
    for c in field.chars() {
        if c.is_uppercase() && previous.is_lowercase() {
            words.push(' ');
        }
        words.extend(c.to_uppercase());
        previous = c;
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Column, Listing, Value};
    use crate::output::ui::Ui;

    fn show(format: Option<&str>, quiet: bool, noheading: bool) -> Result<String, String> {
        let rows = [
            json!({"ID": "0123456789ab", "Names": "web", "RunningFor": "2 hours", "Labels": {"a.b": "1"}}),
            json!({"ID": "ba9876543210", "Names": "evil\u{1b}", "RunningFor": "", "Labels": {}}),
        ];
        let ui = Ui::in_memory();
        let columns = [Column("ID", "CONTAINER ID"), Column("Names", "NAMES")];
        let quiet = quiet.then_some("ID");
        let listing = Listing { name: "ps", columns: &columns, other_headings: &[], format, noheading, quiet };
        listing.print(&ui, &rows, || Ok(json!([{"Id": "x"}]))).map_err(|e| e.to_string())?;
        Ok(ui.take())
    }

    #[test]
    fn formats() {
        let table = "CONTAINER ID  NAMES\n0123456789ab  web\nba9876543210  evil\\u{1b}\n";
        for (format, quiet, noheading, wanted) in [
            (None, false, false, table),
            (Some("table"), false, false, table),
            (Some(""), false, false, table),
            (None, false, true, "0123456789ab  web\nba9876543210  evil\\u{1b}\n"),
            (None, true, false, "0123456789ab\nba9876543210\n"),
            (Some("json"), false, false, "[\n    {\n        \"Id\": \"x\"\n    }\n]\n"),
            (Some("{{.ID}}\\t{{.Names}}"), false, false, "0123456789ab\tweb\nba9876543210\tevil\u{1b}\n"),
            (
                Some("table {{.Names}}\\t{{.ID}}"),
                false,
                false,
                "NAMES       CONTAINER ID\nweb         0123456789ab\nevil\\u{1b}  ba9876543210\n",
            ),
            (
                Some("table {{.ID}} {{.RunningFor}}"),
                false,
                false,
                "CONTAINER ID  RUNNING FOR\n0123456789ab  2 hours\nba9876543210  \n",
            ),
            (
                Some("table {{.ID}}\\t{{.Label \"a.b\"}}"),
                false,
                false,
                "CONTAINER ID  a.b\n0123456789ab  1\nba9876543210  \n",
            ),
            (Some("{{range .}}{{.Names}};{{end}}"), false, false, "web;evil\u{1b};\n"),
            (Some("{{range $i, $c := .}}{{$i}}{{$c.ID}} {{end}}"), false, false, "00123456789ab 1ba9876543210 \n"),
            (Some("{{range .Labels}}{{.}}{{end}}"), false, false, "1\n\n"),
            (Some("table {{upper .Names}}"), false, true, "WEB\nEVIL\\u{1b}\n"),
        ] {
            assert_eq!(show(format, quiet, noheading).as_deref(), Ok(wanted), "{format:?}");
        }
        let error = "template: ps:1:2: executing \"ps\" at <.Foo>: can't evaluate field Foo";
        assert_eq!(show(Some("{{.Foo}}"), false, false), Err(error.to_owned()));
    }

    #[test]
    fn objects() {
        let ui = Ui::in_memory();
        let data: Value = json!({"host": {"arch": "amd64"}});
        for format in ["json", "{{ json . }}", "{{.Host.Arch}}", "a\\n"] {
            assert!(super::object(&ui, "info", format, &data, true).is_ok());
        }
        assert_eq!(
            ui.take(),
            "{\n    \"host\": {\n        \"arch\": \"amd64\"\n    }\n}\n{\"host\":{\"arch\":\"amd64\"}}\namd64\na\n"
        );
    }
}
