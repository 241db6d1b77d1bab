//! JSON for people and programs: indented by four, like Podman's.

use serde::Serialize;

use super::ui::Ui;
use crate::error::{Context, Result};

/// Prints `value` over several lines. JSON escapes control characters itself, so this is safe for a terminal.
pub(crate) fn pretty(ui: &Ui, value: &impl Serialize) -> Result<()> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value.serialize(&mut serializer).context(|| "cannot encode the answer as JSON")?;
    bytes.push(b'\n');
    ui.bytes(&bytes)
}

/// Prints `value` on one line.
pub(crate) fn compact(ui: &Ui, value: &impl Serialize) -> Result<()> {
    let mut bytes = serde_json::to_vec(value).context(|| "cannot encode the answer as JSON")?;
    bytes.push(b'\n');
    ui.bytes(&bytes)
}
