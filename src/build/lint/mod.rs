//! `--check`: what is legal in a Dockerfile and probably not meant. Names of the rules are BuildKit's.

mod from;
mod stage;

use std::collections::BTreeSet;

use super::dockerfile::error::excerpt;
use super::dockerfile::{Dockerfile, Instruction, Problem, Span};
use super::variables::{CHECK, Globals, is_true};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub span: Span,
    pub rule: &'static str,
    pub text: String,
}

impl Finding {
    pub(crate) fn into_problem(self) -> Problem {
        Problem::new(format!("{}: {}", self.rule, self.text), self.span)
    }

    /// `name` and `text` are the file's.
    pub(crate) fn into_remark(self, name: &str, text: &str) -> Remark {
        let short = format!("{}: {} (line {})", self.rule, self.text, self.span.first);
        Remark { short, excerpt: excerpt(name, text, self.span) }
    }
}

/// A finding, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remark {
    pub short: String,
    /// The lines in question.
    pub excerpt: String,
}

/// What `# check=skip=RULE,RULE;error=true` says, or the argument that stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Checks {
    skip: Vec<String>,
    /// A finding makes the build fail.
    pub error: bool,
}

impl Checks {
    pub(crate) fn of(file: &Dockerfile, globals: &Globals) -> Self {
        let text = globals.given.get(CHECK).or(file.directives.check.as_ref());
        let mut checks = Self::default();
        for field in text.map(String::as_str).unwrap_or_default().split(';') {
            match field.trim().split_once('=') {
                Some(("skip", rules)) => checks.skip.extend(rules.split(',').map(|rule| rule.trim().to_owned())),
                Some(("error", value)) => checks.error = is_true(Some(&value.trim().to_owned())),
                _ => {}
            }
        }
        checks
    }

    fn skips(&self, rule: &str) -> bool {
        self.skip.iter().any(|skipped| skipped == rule || skipped == "all")
    }
}

/// Takes a finding.
type Add<'a> = dyn FnMut(Span, &'static str, String) + 'a;

/// Tells the names of an image's variables, when the image is here.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<Vec<String>> + 'a;

/// rpod's own: stages that only `--target` builds are meant so, most of the time.
const UNUSED: &str = "UnusedStage";

/// What a build tells, and what `# check=error=true` stops: the rules that BuildKit has.
pub(crate) fn of_buildkit(file: &Dockerfile, globals: &Globals, environment: &Environment<'_>) -> Vec<Finding> {
    let mut findings = lint(file, globals, environment);
    findings.retain(|finding| finding.rule != UNUSED);
    findings
}

/// Everything there is to say.
pub(crate) fn lint(file: &Dockerfile, globals: &Globals, environment: &Environment<'_>) -> Vec<Finding> {
    let mut findings = BTreeSet::new();
    let checks = Checks::of(file, globals);
    let mut add = |span: Span, rule: &'static str, text: String| {
        findings.insert(Finding { span, rule, text });
    };
    for span in &file.empty_continuations {
        add(*span, "NoEmptyContinuation", "Empty continuation line".to_owned());
    }
    let all: Vec<&Instruction> = file
        .global
        .iter()
        .chain(file.stages.iter().flat_map(|stage| std::iter::once(&stage.from).chain(&stage.instructions)))
        .collect();
    casing(&all, &mut add);
    from::lint(file, globals, &mut add);
    stage::lint(file, globals, environment, &mut add);
    findings.into_iter().filter(|finding| !checks.skips(finding.rule)).collect()
}

/// Keywords are written as most of them are.
fn casing(all: &[&Instruction], add: &mut Add<'_>) {
    let lower = all.iter().filter(|i| i.keyword.chars().all(char::is_lowercase)).count();
    let majority_lower = lower * 2 > all.len();
    for instruction in all {
        let word = &instruction.keyword;
        let wanted = if majority_lower { word.to_lowercase() } else { word.to_uppercase() };
        if *word != wanted {
            let case = if majority_lower { "lowercase" } else { "uppercase" };
            let text = format!("Command '{word}' should match the case of the command majority ({case})");
            add(instruction.span, "ConsistentInstructionCasing", text);
        }
    }
}

/// Names in `$NAME` and `${NAME…}`; with `defaulted` also those that have something to stand in for them (`${NAME:-x}`).
fn variables(text: &str, defaulted: bool) -> Vec<String> {
    let mut names = Vec::new();
    let unquoted = without_single_quotes(text);
    let mut rest = unquoted.as_str();
    while let Some(at) = rest.find('$') {
        let escaped = rest[..at].ends_with('\\');
        let braced = rest[at + 1..].strip_prefix('{');
        rest = braced.unwrap_or(&rest[at + 1..]);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let has_default = braced.is_some() && rest[end..].trim_start_matches(':').starts_with(['-', '+']);
        if end > 0 && !escaped && !rest.starts_with(|c: char| c.is_ascii_digit()) && (defaulted || !has_default) {
            names.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
    }
    names
}

/// Nothing is replaced between single quotes, which mean nothing between double ones.
fn without_single_quotes(text: &str) -> String {
    let (mut single, mut double, mut escaped) = (false, false, false);
    let mut kept = String::new();
    for c in text.chars() {
        let quoted = single;
        match c {
            _ if escaped => {}
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            _ => {}
        }
        escaped = c == '\\' && !escaped && !quoted;
        if !quoted && !single {
            kept.push(c);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::platform::Platform;

    fn rules(text: &str) -> Vec<(usize, &'static str)> {
        let file = super::super::dockerfile::parse(text).expect(text);
        let mut globals = Globals::new(&Default::default(), &Platform::host(), None);
        file.global.iter().for_each(|instruction| globals.declare(instruction, '\\').expect("declares"));
        lint(&file, &globals, &|image| (image == "known").then(|| vec!["HOME".to_owned()]))
            .into_iter()
            .map(|finding| (finding.span.first, finding.rule))
            .collect()
    }

    #[test]
    fn what_is_probably_not_meant_is_found() {
        for (text, wanted) in [
            ("FROM a\nCMD [\"x\"]\n", vec![]),
            ("FROM a\nrun x\nRUN y\n", vec![(2, "ConsistentInstructionCasing")]),
            ("FROM a\nCMD x\n", vec![(2, "JSONArgsRecommended")]),
            ("FROM a\nSHELL [\"x\"]\nCMD x\n", vec![]),
            ("FROM a\nCMD [\"x\"]\nCMD [\"y\"]\n", vec![(2, "MultipleInstructionsDisallowed")]),
            ("FROM a AS x\nFROM x AS x\n", vec![(2, "DuplicateStageName")]),
            ("FROM a:$V\n", vec![(1, "UndefinedArgInFrom")]),
            ("ARG V=1\nFROM a:$V\n", vec![]),
            ("ARG V\nFROM a:$V\n", vec![(2, "InvalidDefaultArgInFrom")]),
            ("ARG V\nFROM a:${V:-1}\n", vec![]),
            ("ARG V\nFROM $V\n", vec![(2, "InvalidDefaultArgInFrom")]),
            ("FROM a as x\n", vec![(1, "FromAsCasing")]),
            ("from a as x\n", vec![]),
            ("FROM a AS Big\n", vec![(1, "StageNameCasing")]),
            ("FROM --platform=linux/amd64 a\n", vec![(1, "FromPlatformFlagConstDisallowed")]),
            ("FROM --platform=linux/arm64 a AS build_arm64\nFROM build_arm64\n", vec![]),
            ("FROM --platform=$TARGETPLATFORM a\n", vec![(1, "RedundantTargetPlatform")]),
            ("FROM --platform=$BUILDPLATFORM a\n", vec![]),
            ("FROM a AS x\nFROM b AS y\nFROM c\nCOPY --from=y / /\n", vec![(1, "UnusedStage")]),
            ("FROM a\nEXPOSE 80/TCP\n", vec![(2, "ExposeProtoCasing")]),
            ("FROM a\nEXPOSE 127.0.0.1:80:80 81:82/udp 90-92\n", vec![(2, "ExposeInvalidFormat"); 2]),
            (
                "FROM a\nARG TOKEN\nENV AWS_SECRET_KEY=x PUBLIC_KEY=y MONKEY=z\n",
                vec![(2, "SecretsUsedInArgOrEnv"), (3, "SecretsUsedInArgOrEnv")],
            ),
            ("FROM scratch\nWORKDIR /$NOSUCH\n", vec![(2, "UndefinedVar")]),
            ("FROM scratch AS x\nARG A\nFROM x\nWORKDIR /$A/$B\n", vec![(4, "UndefinedVar")]),
            ("FROM known\nWORKDIR $HOME/$PATH/$B\n", vec![(2, "UndefinedVar")]),
            ("FROM a\nWORKDIR /$NOSUCH\n", vec![]),
            ("FROM scratch\nWORKDIR /${NOSUCH:-x}\n", vec![]),
            ("FROM a\nARG VERSION\nWORKDIR /$VERSON\n", vec![(3, "UndefinedVar")]),
            ("FROM a\nWORKDIR x\n", vec![(2, "WorkdirRelativePath")]),
            ("FROM a\nENV A b\n", vec![(2, "LegacyKeyValueFormat")]),
            ("FROM a\nENV DB_PASSWORD=x\n", vec![(2, "SecretsUsedInArgOrEnv")]),
            ("FROM a\nMAINTAINER x\n", vec![(2, "MaintainerDeprecated")]),
            ("FROM a\nRUN x \\\n\n y\n", vec![(2, "NoEmptyContinuation")]),
            ("FROM a AS context\nFROM context\n", vec![(1, "ReservedStageName")]),
            ("FROM scratch\nENV A='$X \"' B=\"'$Y'\" C=\\$Z\n", vec![(2, "UndefinedVar")]),
            (
                "FROM scratch\nLABEL a=$X\nVOLUME /$Y\nEXPOSE $Z\nSTOPSIGNAL $S\n",
                vec![(2, "UndefinedVar"), (3, "UndefinedVar"), (4, "UndefinedVar"), (5, "UndefinedVar")],
            ),
            ("FROM scratch\nCOPY --chown=$X a b\n", vec![(2, "UndefinedVar")]),
            ("FROM a\nLABEL a b\n", vec![(2, "LegacyKeyValueFormat")]),
            ("# check=skip=JSONArgsRecommended\nFROM a\nCMD x\n", vec![]),
        ] {
            assert_eq!(rules(text), wanted, "{text:?}");
        }
    }
}
