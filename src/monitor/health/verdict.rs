//! From one more attempt to what is now known.

use super::{Attempt, Healthcheck, Report, Status};

/// What a check has come to; the number is the exit code by which the forked process tells its monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Verdict {
    Passed = 0,
    /// Not often enough to matter yet.
    Failed = 1,
    Unhealthy = 2,
    /// The start-up check has succeeded: the regular one begins.
    Started = 3,
    /// The start-up check has failed too often.
    GaveUp = 4,
}

impl Verdict {
    pub(super) fn from_code(code: u8) -> Option<Self> {
        [Self::Passed, Self::Failed, Self::Unhealthy, Self::Started, Self::GaveUp]
            .into_iter()
            .find(|v| *v as u8 == code)
    }
}

impl Report {
    /// Adds an attempt; `starting`: it was made within the start period.
    pub(super) fn add(&mut self, check: &Healthcheck, attempt: Attempt, starting: bool) -> Verdict {
        let passed = attempt.exit_code == 0;
        self.log.push(attempt);
        if check.log_count > 0 {
            let surplus = self.log.len().saturating_sub(check.log_count as usize);
            self.log.drain(..surplus);
        }
        if let (Some(startup), Some(progress)) = (&check.startup, &mut self.startup) {
            if passed {
                progress.successes += 1;
                if progress.successes >= startup.success.max(1) {
                    self.startup = None;
                    return Verdict::Started;
                }
                return Verdict::Passed;
            }
            progress.successes = 0;
            progress.failures += 1;
            let gave_up = startup.retries > 0 && progress.failures >= startup.retries;
            return if gave_up { Verdict::GaveUp } else { Verdict::Failed };
        }
        if passed {
            (self.status, self.failing_streak) = (Status::Healthy, 0);
            return Verdict::Passed;
        }
        // Once it was healthy, the start is over.
        if starting && self.status == Status::Starting {
            return Verdict::Failed;
        }
        self.failing_streak += 1;
        if self.failing_streak >= check.retries {
            self.status = Status::Unhealthy;
        }
        if self.status == Status::Unhealthy { Verdict::Unhealthy } else { Verdict::Failed }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::super::{Action, Destination, Progress, Startup};
    use super::*;

    fn check(startup: Option<(u32, u32)>) -> Healthcheck {
        let second = Duration::from_secs(1);
        Healthcheck {
            test: vec!["CMD".into(), "true".into()],
            interval: second,
            timeout: second,
            start_period: second,
            retries: 2,
            startup: startup.map(|(retries, success)| Startup {
                test: Vec::new(),
                interval: second,
                timeout: second,
                retries,
                success,
            }),
            on_failure: Action::None,
            log: Destination::Local,
            log_count: 3,
            log_size: 0,
        }
    }

    /// Exit codes, those in the start period in capitals: `p` and `f` for success and failure.
    fn run(check: &Healthcheck, codes: &str) -> (Vec<Verdict>, Report) {
        let startup = check.startup.as_ref().map(|_| Progress::default());
        let mut report = Report { startup, ..Report::default() };
        let attempt = |code: char| Attempt {
            start: Timestamp::UNIX_EPOCH,
            end: Timestamp::UNIX_EPOCH,
            exit_code: i32::from(!code.eq_ignore_ascii_case(&'p')),
            output: String::new(),
        };
        let verdicts = codes.chars().map(|code| report.add(check, attempt(code), code.is_uppercase())).collect();
        (verdicts, report)
    }

    #[test]
    fn streaks() {
        use Verdict::{Failed, Passed, Unhealthy};
        for (codes, verdicts, status, streak) in [
            ("", &[][..], Status::Starting, 0),
            ("p", &[Passed], Status::Healthy, 0),
            ("f", &[Failed], Status::Starting, 1),
            ("ff", &[Failed, Unhealthy], Status::Unhealthy, 2),
            ("ffp", &[Failed, Unhealthy, Passed], Status::Healthy, 0),
            ("fpf", &[Failed, Passed, Failed], Status::Healthy, 1),
            ("FFF", &[Failed, Failed, Failed], Status::Starting, 0),
            ("PFF", &[Passed, Failed, Unhealthy], Status::Unhealthy, 2),
            ("fff", &[Failed, Unhealthy, Unhealthy], Status::Unhealthy, 3),
        ] {
            let (got, report) = run(&check(None), codes);
            assert_eq!((got.as_slice(), report.status, report.failing_streak), (verdicts, status, streak), "{codes}");
        }
        assert_eq!(run(&check(None), "fffff").1.log.len(), 3);
    }

    #[test]
    fn the_start_up_check_comes_first() {
        use Verdict::{Failed, GaveUp, Passed, Started};
        for (startup, codes, verdicts) in [
            ((0, 0), "p", &[Started][..]),
            ((0, 2), "pfpp", &[Passed, Failed, Passed, Started]),
            ((2, 1), "ff", &[Failed, GaveUp]),
            ((0, 1), "ffff", &[Failed; 4]),
            ((3, 1), "ffp", &[Failed, Failed, Started]),
        ] {
            let (got, report) = run(&check(Some(startup)), codes);
            assert_eq!((got.as_slice(), report.status), (verdicts, Status::Starting), "{codes}");
        }
        assert_eq!(run(&check(Some((0, 1))), "pff").1.status, Status::Unhealthy);
    }
}
