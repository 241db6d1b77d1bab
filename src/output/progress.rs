//! How far transfers are: a bar per layer on a terminal, plain lines elsewhere, nothing with `--quiet`. Always on standard error.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::escape;
use super::ui::Ui;
use crate::engine::images::{LayerProgress, LayerState, Progress};
use crate::image::digest::Digest;
use crate::state::id::short;

/// The progress for this command's standard error.
pub(crate) fn progress(ui: &Ui, quiet: bool) -> Box<dyn Progress> {
    // Bars and results share the terminal; results come after.
    let _ = ui.flush();
    match quiet {
        true => Box::new(Quiet),
        false if std::io::stderr().is_terminal() => Box::new(Bars(MultiProgress::new())),
        false => Box::new(Plain),
    }
}

fn line(text: &str) {
    let text = format!("{}\n", escape::text(text));
    // There is nowhere left to say that standard error cannot be written.
    let _ = rustix::io::write(std::io::stderr(), text.as_bytes());
}

/// Warnings only.
struct Quiet;

/// For logs: one line when a layer begins, as Podman writes them.
struct Plain;

/// For people.
struct Bars(MultiProgress);

struct PlainLayer {
    name: String,
    begun: AtomicBool,
}

struct Silent;

struct Bar(ProgressBar);

impl Progress for Quiet {
    fn message(&self, _text: &str) {}

    fn warning(&self, text: &str) {
        line(&format!("Warning: {text}"));
    }

    fn layer(&self, _digest: &Digest, _size: u64) -> Box<dyn LayerProgress> {
        Box::new(Silent)
    }
}

impl Progress for Plain {
    fn message(&self, text: &str) {
        line(text);
    }

    fn warning(&self, text: &str) {
        line(&format!("Warning: {text}"));
    }

    fn layer(&self, digest: &Digest, _size: u64) -> Box<dyn LayerProgress> {
        Box::new(PlainLayer { name: digest.to_string(), begun: AtomicBool::new(false) })
    }
}

impl Progress for Bars {
    fn message(&self, text: &str) {
        // A terminal that goes away ends the display, not the work.
        let _ = self.0.println(escape::text(text));
    }

    fn warning(&self, text: &str) {
        let _ = self.0.println(format!("Warning: {}", escape::text(text)));
    }

    fn layer(&self, digest: &Digest, size: u64) -> Box<dyn LayerProgress> {
        let bar = self.0.add(ProgressBar::new(size));
        bar.set_style(style(
            "{prefix} [{bar:20}] {binary_bytes:>10}/{binary_total_bytes:<10} {binary_bytes_per_sec:>12} {eta:>4}",
        ));
        bar.set_prefix(short(&digest.hex()).to_owned());
        Box::new(Bar(bar))
    }
}

impl LayerProgress for Silent {
    fn position(&self, _bytes: u64) {}

    fn state(&self, _state: LayerState) {}
}

impl LayerProgress for PlainLayer {
    fn position(&self, _bytes: u64) {}

    fn state(&self, state: LayerState) {
        match state {
            LayerState::Downloading if !self.begun.swap(true, Ordering::Relaxed) => {
                line(&format!("Copying blob {}", self.name));
            }
            LayerState::Exists => line(&format!("Copying blob {} skipped: already exists", self.name)),
            _ => {}
        }
    }
}

impl LayerProgress for Bar {
    fn position(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    fn state(&self, state: LayerState) {
        let text = match state {
            LayerState::Downloading => return,
            LayerState::Waiting => "waiting",
            LayerState::Unpacking => "unpacking",
            LayerState::Done => "done",
            LayerState::Exists => "already exists",
            LayerState::Failed => "failed",
        };
        if state == LayerState::Waiting {
            return;
        }
        self.0.set_style(style("{prefix} {msg}"));
        match state {
            LayerState::Unpacking => self.0.set_message(text),
            _ => self.0.finish_with_message(text),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
