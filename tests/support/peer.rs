//! Podman, Buildah and Skopeo, to compare with and to exchange images with.
//!
//! On PATH for the test user, or where `RPOD_TEST_PEER` says: a command that runs `bash -c SCRIPT` there (its words are split at
//! blanks), such as `ssh peer bash`. It shares this machine's loopback, and no files: what a script needs comes
//! through its standard input.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::need::find_program;
use super::sandbox::Sandbox;
use super::trial::{Stop, skip};

#[derive(Debug)]
pub struct Peer {
    /// `None`: here.
    command: Option<String>,
}

impl Peer {
    /// The place that has all of `programs`.
    pub fn find<const N: usize>(programs: [&str; N]) -> Result<Self, Stop> {
        if let Ok(command) = std::env::var("RPOD_TEST_PEER") {
            return Ok(Self { command: Some(command) });
        }
        match programs.iter().find(|program| find_program(program).is_none()) {
            Some(missing) => skip(format!("there is no {missing} here (RPOD_TEST_PEER names another place)")),
            None => Ok(Self { command: None }),
        }
    }

    /// Runs a bash script there; its output, whatever its exit code is.
    pub fn run(&self, t: &Sandbox, script: &str, input: &[u8]) -> Result<String, Stop> {
        let Some(command) = &self.command else {
            let limit = Duration::from_secs(300);
            return Ok(t.script(&format!("set +eu +o pipefail\n{script}")).stdin(input).limit(limit).run().stdout);
        };
        let mut words = command.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or("bash"));
        command.args(words).args(["-c", script]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output()?;
        let _ = writer.join();
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
