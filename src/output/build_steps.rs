//! What steps of a build are called, as BuildKit calls them: `[STAGE STEP/STEPS] INSTRUCTION`.

use std::collections::BTreeMap;

use super::escape;

/// What stages are called, by number. Empty: there is one, and it has no name.
#[derive(Debug, Default)]
pub(super) struct StepNames(BTreeMap<usize, String>);

impl StepNames {
    pub(super) fn new(stages: &[(usize, Option<String>)]) -> Self {
        let several = stages.len() > 1;
        let name = |index: usize, name: &Option<String>| match name {
            Some(name) => escape::line(name).into_owned(),
            None if several => format!("stage-{index}"),
            None => String::new(),
        };
        Self(stages.iter().map(|(index, given)| (*index, name(*index, given))).collect())
    }

    pub(super) fn stage(&self, stage: usize) -> &str {
        self.0.get(&stage).map_or("", String::as_str)
    }

    /// On one line, without what a terminal would obey.
    pub(super) fn step(&self, stage: usize, step: usize, total: usize, text: &str) -> String {
        let words: Vec<&str> = text.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        let name = self.stage(stage);
        let gap = if name.is_empty() { "" } else { " " };
        format!("[{name}{gap}{step}/{total}] {}", escape::line(words.join(" ").trim()))
    }
}
