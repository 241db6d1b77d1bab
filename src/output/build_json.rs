//! `build --progress rawjson`: a JSON object per line on standard error, in the form of BuildKit's SolveStatus, for programs.
//!
//! ```text
//! {"vertexes":[{"digest","inputs","name","started","completed","cached","error"}]}   a step begins, or has ended
//! {"logs":[{"vertex","stream","data","timestamp"}]}                                   what it writes: 1 or 2, base64
//! {"warnings":[{"vertex","level","short"}]}                                           base64
//! ```

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::json;

use super::build::View;
use super::build_steps::StepNames;
use super::ui::Ui;
use crate::build::{Event, Reporter};
use crate::image::digest::Digest;

/// The view.
pub(crate) struct RawJson<'a> {
    ui: &'a Ui,
    names: StepNames,
    /// The last step of each stage, at work or done.
    steps: BTreeMap<usize, Vertex>,
    failed: Option<usize>,
}

#[derive(Debug, Clone, Serialize)]
struct Vertex {
    digest: Digest,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<Digest>,
    name: String,
    started: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cached: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

impl<'a> RawJson<'a> {
    pub(crate) fn new(ui: &'a Ui) -> Self {
        Self { ui, names: StepNames::default(), steps: BTreeMap::new(), failed: None }
    }

    fn line(&self, value: &serde_json::Value) {
        self.ui.stderr_bytes(format!("{value}\n").as_bytes());
    }

    fn begin(&mut self, stage: usize, name: String) {
        let inputs: Vec<Digest> = self.steps.get(&stage).map(|before| before.digest).into_iter().collect();
        let digest = Digest::of(format!("{stage} {inputs:?} {name}").as_bytes());
        let started = now();
        let step = Vertex { digest, inputs, name, started, completed: None, cached: false, error: String::new() };
        self.line(&json!({ "vertexes": [step] }));
        self.steps.insert(stage, step);
    }

    fn end(&mut self, stage: usize, cached: bool, error: &str) {
        let Some(step) = self.steps.get_mut(&stage).filter(|step| step.completed.is_none()) else { return };
        step.completed = Some(now());
        step.cached = cached;
        error.clone_into(&mut step.error);
        let line = json!({ "vertexes": [step] });
        self.line(&line);
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

impl Reporter for RawJson<'_> {
    fn stages(&mut self, stages: &[(usize, Option<String>)]) {
        self.names = StepNames::new(stages);
        self.steps.clear();
    }

    fn event(&mut self, stage: usize, event: Event) {
        match event {
            Event::Begin { step, total, text } => {
                self.begin(stage, self.names.step(stage, step, total, &text));
                // The FROM: its image is here.
                if step == 1 {
                    self.end(stage, false, "");
                }
            }
            Event::Cached { .. } => self.end(stage, true, ""),
            Event::Done { .. } => self.end(stage, false, ""),
            Event::Warning { text } => {
                let vertex = self.steps.get(&stage).map(|step| step.digest);
                self.line(&json!({ "warnings": [{ "vertex": vertex, "level": 1, "short": BASE64.encode(text) }] }));
            }
        }
    }

    fn output(&mut self, stage: usize, stderr: bool, bytes: &[u8]) {
        let vertex = self.steps.get(&stage).map(|step| step.digest);
        let stream = 1 + u8::from(stderr);
        let log = json!({ "vertex": vertex, "stream": stream, "data": BASE64.encode(bytes), "timestamp": now() });
        self.line(&json!({ "logs": [log] }));
    }

    fn failed(&mut self, stage: usize) {
        self.failed = Some(stage);
    }

    fn commit(&mut self, names: &[String]) {
        let name = format!("exporting to image {}", names.join(" "));
        let stage = self.steps.keys().last().copied().unwrap_or_default();
        self.begin(stage, name.trim_end().to_owned());
        self.end(stage, false, "");
    }
}

impl View for RawJson<'_> {
    fn fail(&mut self, why: &str) {
        let stages: Vec<usize> = self.steps.keys().copied().collect();
        for stage in stages {
            let error = if self.failed.is_none_or(|failed| failed == stage) { why } else { "canceled" };
            self.end(stage, false, error);
        }
    }
}
