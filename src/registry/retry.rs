//! How often a request is repeated, and how long to wait before.

use std::time::Duration;

use crate::error::Error;

/// Waits double from `delay`, with some chance in them so that many clients do not come back at once.
#[derive(Debug, Clone)]
pub(crate) struct RetryPolicy {
    /// Attempts beside the first.
    pub retries: u32,
    pub delay: Duration,
    /// Somebody asked for it, so a registry that refuses connections is one that is being started, not a wrong name.
    pub is_asked: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retries: 4, delay: Duration::from_millis(500), is_asked: false }
    }
}

/// No server may hold us longer than this at a time.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why a request did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Trying again may help; the server may have said when (`Retry-After`).
    Passing(Error, Option<Duration>),
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// Counts the attempts of one operation.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    policy: &'a RetryPolicy,
    used: u32,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(policy: &'a RetryPolicy) -> Self {
        Self { policy, used: 0 }
    }

    /// After progress the count starts again: a long download over a bad line is worth more attempts than a dead server.
    pub(super) fn reset(&mut self) {
        self.used = 0;
    }

    /// Waits before the next attempt, or gives up with the error.
    pub(super) async fn after(&mut self, failure: Failure) -> Result<(), Error> {
        let (error, asked) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing(error, asked) => (error, asked),
        };
        if self.used >= self.policy.retries {
            return Err(error);
        }
        if asked.is_some_and(|asked| asked > LONGEST_WAIT) {
            return Err(error.hint("the registry asks to try again later than rpod is willing to wait"));
        }
        tokio::time::sleep(asked.unwrap_or_else(|| self.wait())).await;
        self.used += 1;
        Ok(())
    }

    fn wait(&self) -> Duration {
        let doubled = self.policy.delay.saturating_mul(1 << self.used.min(10));
        let chance = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.subsec_nanos() % 256);
        // Between 3/4 and 5/4 of it.
        (doubled.saturating_mul(384 + chance) / 512).min(LONGEST_WAIT)
    }
}
