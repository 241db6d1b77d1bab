//! What the instructions say, before variables are replaced.

use super::error::Span;
use super::lines::Heredoc;

/// One instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub kind: Kind,
    pub span: Span,
    /// As it stands, on one line.
    pub text: String,
    /// As the keyword was written.
    pub keyword: String,
    /// The comments right in front of it.
    pub comments: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    From { image: String, name: Option<String>, platform: Option<String> },
    Run(Run),
    Cmd(Command),
    Entrypoint(Command),
    Shell(Vec<String>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Arg(Vec<(String, Option<String>)>),
    Expose(Vec<String>),
    Volume(Vec<String>),
    User(String),
    Workdir(String),
    Transfer(Transfer),
    Onbuild(String),
    StopSignal(String),
    Healthcheck(Healthcheck),
    Maintainer(String),
}

/// A program: words, or one text for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Exec(Vec<String>),
    Shell(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub command: Command,
    pub mounts: Vec<String>,
    pub network: Option<String>,
    pub security: Option<String>,
    /// `NAME[,required]`.
    pub devices: Vec<String>,
    pub heredocs: Vec<Heredoc>,
}

/// `COPY` and `ADD`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Transfer {
    pub add: bool,
    pub sources: Vec<String>,
    pub destination: String,
    pub heredocs: Vec<Heredoc>,
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub link: bool,
    pub parents: bool,
    pub exclude: Vec<String>,
    pub checksum: Option<String>,
    pub keep_git_dir: bool,
    pub unpack: Option<bool>,
}

/// Durations are nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Healthcheck {
    /// `None`: `HEALTHCHECK NONE`.
    pub command: Option<Command>,
    pub interval: i64,
    pub timeout: i64,
    pub start_period: i64,
    pub start_interval: i64,
    pub retries: i64,
}
