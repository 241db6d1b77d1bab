//! `rpod healthcheck run`.

use super::Context;
use crate::cli::health::HealthcheckRun;
use crate::engine::container::{health, store};
use crate::error::{Error, Result};
use crate::monitor::health::check::Verdict;

pub(crate) fn run(args: HealthcheckRun, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let container = store::find(dirs, &args.container).map_err(|error| {
        let kind = error.kind();
        Error::wrap(format!("unable to look up {} to perform a health check", args.container), error).with_kind(kind)
    })?;
    let outcome = health::check(dirs, &container)?;
    if let Some(timeout) = outcome.timeout {
        return Err(Error::new(format!("healthcheck command exceeded timeout of {}s", timeout.as_secs_f64())));
    }
    match outcome.verdict {
        Verdict::Passed | Verdict::Started => Ok(0),
        Verdict::Failed | Verdict::Unhealthy | Verdict::GaveUp => {
            context.ui.line("unhealthy")?;
            Ok(1)
        }
    }
}
