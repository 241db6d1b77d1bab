//! Health checks: the flags of `run` and `create`, and `healthcheck run`.

use clap::Args;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Health {
    /// Check the container's health with this command ("none" for the image's no longer)
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,

    /// Time between two checks; "disable" for none but by hand (default "30s")
    #[arg(long, value_name = "DURATION")]
    pub health_interval: Option<String>,

    /// Where the log of checks goes: local, events_logger or a directory (default "local")
    #[arg(long, value_name = "DESTINATION")]
    pub health_log_destination: Option<String>,

    /// How many checks the log keeps; 0 for all (default 5)
    #[arg(long, value_name = "NUMBER")]
    pub health_max_log_count: Option<u32>,

    /// How many characters of a check's output the log keeps; 0 for all (default 500)
    #[arg(long, value_name = "NUMBER")]
    pub health_max_log_size: Option<u32>,

    /// What to do with an unhealthy container: none, kill, restart or stop (default "none")
    #[arg(long, value_name = "ACTION")]
    pub health_on_failure: Option<String>,

    /// How many checks in a row have to fail to make the container unhealthy (default 3)
    #[arg(long, value_name = "NUMBER")]
    pub health_retries: Option<u32>,

    /// Time after the start in which failed checks do not count (default "0s")
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub health_start_period: Option<String>,

    /// Check with this command first, until it has succeeded
    #[arg(long, value_name = "COMMAND")]
    pub health_startup_cmd: Option<String>,

    /// Time between two start-up checks (default "30s")
    #[arg(long, value_name = "DURATION")]
    pub health_startup_interval: Option<String>,

    /// How many start-up checks may fail before the container is started again; 0 for any number
    #[arg(long, value_name = "NUMBER")]
    pub health_startup_retries: Option<u32>,

    /// How many start-up checks in a row have to succeed (default 1)
    #[arg(long, value_name = "NUMBER")]
    pub health_startup_success: Option<u32>,

    /// Time after which a start-up check has failed (default "30s")
    #[arg(long, value_name = "DURATION")]
    pub health_startup_timeout: Option<String>,

    /// Time after which a check has failed (default "30s")
    #[arg(long, value_name = "DURATION")]
    pub health_timeout: Option<String>,

    /// Leave out the image's health check
    #[arg(long)]
    pub no_healthcheck: bool,
}

/// Check a container's health now
///
/// The exit code is 0 for a container that is healthy, 1 for one that is not.
#[derive(Debug, Args)]
pub(crate) struct HealthcheckRun {
    /// Container to check
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}
