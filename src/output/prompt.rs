//! Questions to the person at the terminal.

use std::io::{BufRead, stdin};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::ui::Ui;
use crate::error::{Context, Error, Result};

/// A line, without its end.
pub(crate) fn line(ui: &Ui, question: &str) -> Result<String> {
    ui.stderr(question);
    let mut answer = String::new();
    let read = stdin().lock().read_line(&mut answer).context(|| "cannot read from the terminal")?;
    if read == 0 {
        return Err(Error::new("the terminal's input ended"));
    }
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

/// A line that the terminal does not show.
pub(crate) fn secret(ui: &Ui, question: &str) -> Result<String> {
    let failed = || "cannot keep the terminal from showing the password";
    let before = tcgetattr(stdin()).context(failed)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(stdin(), OptionalActions::Flush, &silent).context(failed)?;
    let answer = line(ui, question);
    // The answer matters more than a terminal that is gone.
    let _ = tcsetattr(stdin(), OptionalActions::Flush, &before);
    ui.stderr("\n");
    answer
}
