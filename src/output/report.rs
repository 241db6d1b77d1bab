//! How an error looks: `Error: what: why`, then a `hint:` line for each thing the person can do.

use super::escape;
use super::ui::Ui;
use crate::error::Error;

/// Writes `error` and its hints to standard error.
pub(crate) fn error(ui: &Ui, error: &Error) {
    ui.stderr(&render(error));
}

fn render(error: &Error) -> String {
    // Indented, so that no line of a quoted text (a registry's answer) can pass for a message of rpod's.
    let message = escape::text(&error.to_string()).trim_end().replace('\n', "\n  ");
    let mut text = format!("Error: {message}\n");
    for hint in error.hints() {
        text.push_str("hint: ");
        text.push_str(&escape::text(hint));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::error::Error;

    #[test]
    fn hostile_text_stays_inside_the_message() {
        let error = Error::new("cannot pull x: registry said \"\x1b[2J\nError: disk on fire\"").hint("try y");
        assert_eq!(
            super::render(&error),
            "Error: cannot pull x: registry said \"\\u{1b}[2J\n  Error: disk on fire\"\nhint: try y\n"
        );
    }
}
