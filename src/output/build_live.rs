//! A build on a terminal: steps that are done stay as a line each, those at work are drawn in place with the end of what they
//! write.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::build::View;
use super::build_steps::StepNames;
use super::escape;
use super::screen::{self, Line, Screen, cut, width};
use super::tail::LastLines;
use super::ui::Ui;
use crate::build::{Event, Reporter};

/// Lines of output below a step at work.
const LINES: usize = 4;
/// Lines of output of a step that fails.
const LAST: usize = 20;
/// From one picture to the next. A step that takes less is never seen at work.
const FRAME: Duration = Duration::from_millis(100);

/// SGR parameters.
const BOLD: &str = "1";
const FAINT: &str = "2";
const RED: &str = "31";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Whether standard error is a terminal that can be drawn on, or why not.
pub(crate) fn possible() -> Result<(), &'static str> {
    if !std::io::stderr().is_terminal() {
        return Err("standard error is not a terminal");
    }
    match std::env::var("TERM").as_deref() {
        Err(_) | Ok("" | "dumb") => Err("the terminal cannot move its cursor (TERM)"),
        Ok(_) => Ok(()),
    }
}

/// The view.
pub(crate) struct Live<'a> {
    ui: &'a Ui,
    /// <https://no-color.org>
    colour: bool,
    screen: Screen,
    names: StepNames,
    /// Steps at work by stage.
    steps: BTreeMap<usize, Step>,
    /// Lines that stay and have not been written.
    done: Vec<Line>,
    failed: Option<usize>,
    next: Instant,
}

struct Step {
    name: String,
    begun: Instant,
    lines: LastLines,
}

impl<'a> Live<'a> {
    pub(crate) fn new(ui: &'a Ui) -> Self {
        Self {
            ui,
            colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            screen: Screen::default(),
            names: StepNames::default(),
            steps: BTreeMap::new(),
            done: Vec::new(),
            failed: None,
            next: Instant::now() + FRAME,
        }
    }

    fn draw(&mut self) {
        let (rows, columns) = screen::size(std::io::stderr());
        let mut lines = picture(&self.steps, rows, columns);
        let mut stay: Vec<Line> = self.done.drain(..).map(|line| fitted(line, columns)).collect();
        if !self.colour {
            stay.iter_mut().chain(&mut lines).flatten().for_each(|(style, _)| *style = "");
        }
        let bytes = self.screen.draw(&stay, &lines, columns);
        if !bytes.is_empty() {
            self.ui.stderr_bytes(&bytes);
        }
        self.next = Instant::now() + FRAME;
    }

    /// Writes what stays and takes the rest away.
    fn clear(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        self.draw();
        self.steps = steps;
    }

    fn stay(&mut self, name: &str, style: &'static str, end: String) {
        self.done.push(vec![("", name.to_owned()), (style, end)]);
    }
}

/// The steps at work, in no more lines than fit above the cursor.
fn picture(steps: &BTreeMap<usize, Step>, rows: usize, columns: usize) -> Vec<Line> {
    let room = rows.saturating_sub(1);
    let each = room.checked_div(steps.len()).unwrap_or(0).saturating_sub(1).min(LINES);
    let named = if steps.len() > room { room.saturating_sub(1) } else { room };
    let mut lines = Vec::new();
    for step in steps.values().take(named) {
        let time = seconds(step.begun.elapsed());
        lines.push(fitted(vec![(BOLD, step.name.clone()), ("", time)], columns));
        for line in step.lines.last(each) {
            lines.push(vec![(FAINT, cut(&format!("  {line}"), columns.saturating_sub(1)))]);
        }
    }
    if room > 0 && steps.len() > room {
        let more = format!("… and {} more at work", steps.len() - named);
        lines.push(vec![(FAINT, cut(&more, columns.saturating_sub(1)))]);
    }
    lines
}

/// A name and what comes after it, one line; it is the name that is cut.
fn fitted(mut line: Line, columns: usize) -> Line {
    let columns = columns.saturating_sub(1);
    let end: usize = line.iter().skip(1).map(|(_, text)| width(text) + 1).sum();
    if let Some((_, name)) = line.first_mut() {
        *name = cut(name, columns.saturating_sub(end));
    }
    for (_, text) in line.iter_mut().skip(1) {
        *text = cut(&format!(" {text}"), columns);
    }
    line
}

fn seconds(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    match tenths / 600 {
        0 => format!("{}.{}s", tenths / 10, tenths % 10),
        minutes => format!("{minutes}m{:02}s", tenths / 10 % 60),
    }
}

impl Reporter for Live<'_> {
    fn stages(&mut self, stages: &[(usize, Option<String>)]) {
        self.names = StepNames::new(stages);
        self.steps.clear();
    }

    fn event(&mut self, stage: usize, event: Event) {
        match event {
            Event::Begin { step, total, text } => {
                let name = self.names.step(stage, step, total, &text);
                // The FROM: its image is here.
                if step == 1 {
                    self.done.push(vec![("", name)]);
                    return;
                }
                self.steps.insert(stage, Step { name, begun: Instant::now(), lines: LastLines::new(LAST) });
            }
            Event::Cached { .. } => {
                if let Some(step) = self.steps.remove(&stage) {
                    self.stay(&step.name, CYAN, "CACHED".to_owned());
                }
            }
            Event::Done { milliseconds, .. } => {
                if let Some(step) = self.steps.remove(&stage) {
                    self.stay(&step.name, FAINT, seconds(Duration::from_millis(milliseconds)));
                }
            }
            Event::Warning { text } => {
                self.clear();
                let name = match self.names.stage(stage) {
                    "" => String::new(),
                    name => format!("[{name}] "),
                };
                self.ui.warn(format!("{name}{text}"));
                self.draw();
            }
        }
    }

    fn output(&mut self, stage: usize, _stderr: bool, bytes: &[u8]) {
        if let Some(step) = self.steps.get_mut(&stage) {
            step.lines.push(bytes);
        }
    }

    fn tick(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if now >= self.next {
            self.draw();
            return Some(FRAME);
        }
        Some(self.next - now)
    }

    /// At once: each further change would break the lines anew.
    fn resized(&mut self) {
        self.draw();
    }

    fn failed(&mut self, stage: usize) {
        self.failed = Some(stage);
    }

    fn commit(&mut self, names: &[String]) {
        self.steps.clear();
        let line = format!("COMMIT {}", escape::line(names.first().map_or("", String::as_str)));
        self.done.push(vec![("", line.trim_end().to_owned())]);
        self.draw();
    }
}

impl View for Live<'_> {
    fn fail(&mut self, _why: &str) {
        let failed = self.failed.and_then(|stage| self.steps.remove(&stage));
        for step in std::mem::take(&mut self.steps).into_values() {
            self.stay(&step.name, YELLOW, "CANCELED".to_owned());
        }
        if let Some(step) = &failed {
            self.stay(&step.name, RED, format!("ERROR {}", seconds(step.begun.elapsed())));
        }
        self.draw();
        let lines: Vec<&str> = failed.iter().flat_map(|step| step.lines.last(LAST)).collect();
        if !lines.is_empty() {
            self.ui.stderr(&format!("{}\n", lines.join("\n")));
        }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        if !self.screen.is_empty() || !self.done.is_empty() {
            self.clear();
        }
    }
}
