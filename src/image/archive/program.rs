//! Archives compressed as few are are left to the programs that everybody has.

use std::fs::File;
use std::io::{Read, Result as IoResult};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::error::{Context, Error, Result};

/// Bytes that tell every compression.
pub(crate) const HEAD: usize = 6;

/// The program that decompresses what begins so, if it takes one.
pub(crate) fn for_head(head: &[u8]) -> Option<&'static str> {
    match head {
        [b'B', b'Z', b'h', ..] => Some("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        _ => None,
    }
}

/// What a program makes of a file. Reading gives an error at the end when the program failed.
#[derive(Debug)]
pub(crate) struct Decompressed {
    child: Child,
    out: ChildStdout,
}

impl Decompressed {
    /// From where `file` stands.
    ///
    /// # Errors
    /// When `program` is not installed.
    pub(crate) fn by(program: &str, file: File) -> Result<Self> {
        let child = Command::new(program).arg("-dc").stdin(file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child
            .context(|| format!("cannot decompress the archive: {program} does not run"))
            .map_err(|e| e.hint(format!("install {program}")))?;
        let out = child.stdout.take().ok_or_else(|| Error::new("a pipe is missing"))?;
        Ok(Self { child, out })
    }
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        let read = self.out.read(buffer)?;
        if read == 0 && !buffer.is_empty() && !self.child.wait()?.success() {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "its compressed stream is broken"));
        }
        Ok(read)
    }
}

impl Drop for Decompressed {
    fn drop(&mut self) {
        // It may still be writing what nobody wants.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
