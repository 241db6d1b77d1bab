//! How far transfers are: a bar per layer on a terminal, plain lines elsewhere, nothing with `--quiet`. Always on standard error.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::escape;
use super::screen;
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

/// Shown while something happens; what has become of the layer is a line above the bars, which stays.
struct Bar {
    all: MultiProgress,
    bar: ProgressBar,
    name: String,
}

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
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::hidden());
        bar.set_style(style(template(screen::size(std::io::stderr()).1)));
        let name = short(&digest.hex()).to_owned();
        bar.set_prefix(name.clone());
        Box::new(Bar { all: self.0.clone(), bar, name })
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

impl Bar {
    /// Not before something happens: as many layers as an image has need not fit on the screen.
    fn show(&self) {
        if self.bar.is_hidden() {
            self.all.add(self.bar.clone());
            self.bar.reset();
        }
    }
}

impl LayerProgress for Bar {
    fn position(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    fn state(&self, state: LayerState) {
        let text = match state {
            LayerState::Waiting => return,
            LayerState::Downloading => {
                self.show();
                return;
            }
            LayerState::Unpacking => {
                self.show();
                self.bar.set_style(style("{prefix} {msg}"));
                self.bar.set_message("unpacking");
                return;
            }
            LayerState::Done => "done",
            LayerState::Exists => "skipped: already exists",
            LayerState::Failed => "failed",
        };
        self.bar.finish_and_clear();
        let _ = self.all.println(format!("Copying blob {} {text}", self.name));
    }
}

/// What fits into so many columns: a bar whose line is broken in two is drawn anew below itself.
fn template(columns: usize) -> &'static str {
    match columns {
        78.. => "{prefix} [{bar:20}] {binary_bytes:>10}/{binary_total_bytes:<10} {binary_bytes_per_sec:>12} {eta:>4}",
        54.. => "{prefix} {binary_bytes:>10}/{binary_total_bytes:<10} {binary_bytes_per_sec:>12} {eta:>4}",
        38.. => "{prefix} {percent:>3}% {binary_bytes_per_sec:>12} {eta:>4}",
        _ => "{prefix:.6} {percent:>3}%",
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
