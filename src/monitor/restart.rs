//! `--restart`: whether a container that has ended is started again, and after how long.
//!
//! The waits are Docker's: 100 ms, doubled each time up to a minute, and 100 ms again for one that ran for ten seconds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// Having run for this long counts as having come up.
pub(super) const UP: Duration = Duration::from_secs(10);

/// When it is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    #[default]
    No,
    /// After a code other than 0, at most this many times; 0: without a limit.
    OnFailure(u32),
    Always,
    /// As `Always`; not after a reboot when it was stopped before.
    UnlessStopped,
}

impl Policy {
    /// `no`, `always`, `unless-stopped`, `on-failure[:TIMES]`; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, times) = match text.split_once(':') {
            Some((name, times)) => (name, Some(times.parse().ok()?)),
            None => (text, None),
        };
        match (name, times) {
            ("" | "no" | "never", None) => Some(Self::No),
            ("always", None) => Some(Self::Always),
            ("unless-stopped", None) => Some(Self::UnlessStopped),
            ("on-failure", times) => Some(Self::OnFailure(times.unwrap_or(0))),
            _ => None,
        }
    }

    /// As `inspect` and filters name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// At most how often `on-failure` starts it again.
    pub(crate) fn times(self) -> u32 {
        if let Self::OnFailure(times) = self { times } else { 0 }
    }

    pub(crate) fn is_no(&self) -> bool {
        *self == Self::No
    }

    /// Whether a container that ended with `code` after `restarts` of these is started again.
    pub(super) fn wants(self, code: u8, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure(times) => code != 0 && (times == 0 || restarts < times),
            Self::Always | Self::UnlessStopped => true,
        }
    }
}

/// The waits between an end and the next start.
#[derive(Debug)]
pub(super) struct Backoff {
    last: Option<Duration>,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    pub(super) fn up_to(longest: Duration) -> Self {
        Self { last: None, longest }
    }

    /// How long to wait now, after a run of `ran`.
    pub(super) fn next(&mut self, ran: Duration) -> Duration {
        let wait = match self.last {
            Some(last) if ran < UP => (last * 2).min(self.longest),
            _ => FIRST,
        };
        self.last = Some(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        for (text, policy) in [
            ("", Some(Policy::No)),
            ("never", Some(Policy::No)),
            ("always", Some(Policy::Always)),
            ("unless-stopped", Some(Policy::UnlessStopped)),
            ("on-failure", Some(Policy::OnFailure(0))),
            ("on-failure:3", Some(Policy::OnFailure(3))),
            ("on-failure:", None),
            ("on-failure:-1", None),
            ("always:3", None),
            ("no:1", None),
            ("sometimes", None),
        ] {
            assert_eq!(Policy::parse(text), policy, "{text}");
        }
        assert!(!Policy::No.wants(1, 0) && Policy::Always.wants(0, 1000));
        assert!(!Policy::OnFailure(0).wants(0, 0) && Policy::OnFailure(0).wants(1, 1000));
        assert!(Policy::OnFailure(2).wants(1, 1) && !Policy::OnFailure(2).wants(1, 2));
    }

    #[test]
    fn waits_double_until_it_stays_up() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        let waits: Vec<_> = (0..12).map(|_| backoff.next(short).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(backoff.next(UP), FIRST);
        assert_eq!(backoff.next(short), FIRST * 2);
        let mut capped = Backoff::up_to(FIRST * 3);
        assert_eq!([(); 3].map(|()| capped.next(short)), [FIRST, FIRST * 2, FIRST * 3]);
    }
}
