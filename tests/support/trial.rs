//! From a test body to a libtest-mimic trial: panics become failures with their place, skips become "ignored".

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};

use super::{Sandbox, User};

/// Why a body stopped before its end.
#[derive(Debug)]
pub enum Stop {
    /// It cannot run here; the reason is printed and counted.
    Skip(String),
    Fail(String),
}

pub type Outcome = Result<(), Stop>;

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fail(format!("{error} ({error:?})"))
    }
}

/// Ends the trial as ignored, for this reason.
pub fn skip<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Skip(reason.into()))
}

/// Trials share the machine by reading; one that measures or counts processes takes it alone.
static MACHINE: RwLock<()> = RwLock::new(());

/// One trial as one user.
pub fn trial(name: impl Into<String>, user: User, body: impl FnOnce(&Sandbox) -> Outcome + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        run(user, body)
    })
}

/// A trial that runs while no other does.
pub fn serial_trial(
    name: impl Into<String>,
    user: User,
    body: impl FnOnce(&Sandbox) -> Outcome + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        run(user, body)
    })
}

/// The same trial for the user with a subordinate range and for the one without: `NAME::sub`, `NAME::nosub`.
pub fn for_each_user(name: &str, body: impl Fn(&Sandbox) -> Outcome + Clone + Send + 'static) -> Vec<Trial> {
    [User::Sub, User::NoSub].into_iter().map(|user| trial(format!("{name}::{user}"), user, body.clone())).collect()
}

fn run(user: User, body: impl FnOnce(&Sandbox) -> Outcome) -> Result<Completion, Failed> {
    let sandbox = match Sandbox::new(user) {
        Ok(sandbox) => sandbox,
        Err(stop) => return completion(Err(stop)),
    };
    IN_TRIAL.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| body(&sandbox)))
        .unwrap_or_else(|_| Err(Stop::Fail(PANIC.take().unwrap_or_else(|| "panicked".to_owned()))));
    let cleaned = catch_unwind(AssertUnwindSafe(|| sandbox.finish(outcome.is_ok())))
        .unwrap_or_else(|_| Err(Stop::Fail(PANIC.take().unwrap_or_else(|| "panicked".to_owned()))));
    IN_TRIAL.set(false);
    completion(outcome.and(cleaned))
}

fn completion(outcome: Outcome) -> Result<Completion, Failed> {
    match outcome {
        Ok(()) => Ok(Completion::Completed),
        Err(Stop::Skip(reason)) => Ok(Completion::ignored_with(reason)),
        Err(Stop::Fail(message)) => Err(message.into()),
    }
}

thread_local! {
    static IN_TRIAL: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A trial's panic is printed once, in the list of failures, with its place, and not in the middle of another's line.
pub(super) fn keep_panic_messages() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if IN_TRIAL.get() {
            let place = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
            let payload = info.payload();
            let text = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied())
                .unwrap_or("panicked");
            PANIC.set(Some(format!("{place}: {text}")));
        } else {
            default(info);
        }
    }));
}

/// Polls until the condition gives a value.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Polls until the condition holds, for ten seconds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, Duration::from_secs(10), || condition().then_some(()));
}
