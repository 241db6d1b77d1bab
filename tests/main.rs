//! End-to-end tests: the real binary, the real kernel, real helpers, as the users rpod is made for.
//!
//! `support` is the harness, `cases` the tests, one file per topic. A test that cannot run here says why and is
//! counted as ignored. `cargo test --test rpod -- FILTER` runs some of them; `--list` shows their names.
//!
//! | variable | meaning |
//! |---|---|
//! | `RPOD_TEST_CACHE` | where images made for the tests are kept (default `/var/cache/rpod-tests`, or below `~/.cache`) |
//! | `RPOD_TEST_TMP` | where each test's home directory is made (default `/var/tmp`): a file system overlay works on |
//! | `RPOD_TEST_KEEP` | set: the directories of failed tests are kept |
//! | `RPOD_TEST_LARGE` | set: also trials that fetch hundreds of megabytes from Debian's archive |
//! | `RPOD_TEST_STORM` | how often the `kill -9` tests strike (default 60 in all; a release wants hundreds) |

#![allow(unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]

mod cases;
mod support;

fn main() -> std::process::ExitCode {
    if support::run_as_probe() {
        return std::process::ExitCode::SUCCESS;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    support::start();
    let conclusion = libtest_mimic::run(&arguments, cases::trials());
    support::end();
    conclusion.exit_code()
}
