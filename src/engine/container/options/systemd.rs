//! `--systemd` and `--shm-size-systemd`.

use super::values;
use crate::error::{Error, Result};

/// Whether the container is made as systemd wants it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// When the program is systemd or an init.
    #[default]
    Auto,
    Never,
    Always,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Systemd {
    pub mode: Mode,
    /// Bytes of each of the tmpfs file systems that it gets; 0: half of the memory, which is what a tmpfs takes by itself.
    pub size: u64,
}

pub(crate) fn systemd(mode: Option<&str>, size: Option<&str>) -> Result<Systemd> {
    let mode = match mode.unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "true" => Mode::Auto,
        "false" => Mode::Never,
        "always" => Mode::Always,
        _ => {
            return Err(Error::new(
                "invalid config provided: --systemd values must be one of \"true, false, always\": invalid configuration",
            ));
        }
    };
    let size = match size {
        None | Some("") => 0,
        Some(size) => values::size(size).map_err(|e| Error::wrap("unable to translate --shm-size-systemd", e))?,
    };
    Ok(Systemd { mode, size })
}

impl Systemd {
    /// Whether it is meant for these words, the container's program and its arguments.
    pub(crate) fn is_for(self, words: &[String]) -> bool {
        const INITS: [&str; 3] = ["/sbin/init", "/usr/sbin/init", "/usr/local/sbin/init"];
        match self.mode {
            Mode::Always => true,
            Mode::Never => false,
            Mode::Auto => {
                let program = match words {
                    [shell, flag, command, ..] if shell == "/bin/sh" && flag == "-c" => command,
                    [program, ..] => program,
                    [] => return false,
                };
                INITS.contains(&program.as_str()) || program.rsplit('/').next() == Some("systemd")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs() {
        for (line, wanted) in [
            ("systemd", true),
            ("/lib/systemd/systemd --show-status=false", true),
            ("/sbin/init", true),
            ("/usr/local/sbin/init 3", true),
            ("/bin/sh -c systemd", true),
            ("sh -c systemd", false),
            ("init", false),
            ("/sbin/init2", false),
            ("/bin/systemd-run x", false),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(Systemd::default().is_for(&words), wanted, "{line}");
        }
        let read = |mode| systemd(Some(mode), None).map(|systemd| systemd.mode).ok();
        assert_eq!(
            ["true", "", "FALSE", "Always", "1", "yes"].map(read),
            [Some(Mode::Auto), Some(Mode::Auto), Some(Mode::Never), Some(Mode::Always), None, None]
        );
        assert!(systemd(None, Some("x")).is_err_and(|e| e.to_string().starts_with("unable to translate")));
    }
}
