//! Text on the stack, for where nothing may be allocated.

use std::ffi::CStr;

use rustix::io::Errno;

/// As long as mount(2) takes it: one page. Writing more is an error, and nothing of that piece is in it.
pub(crate) struct Text {
    bytes: [u8; 4096],
    length: usize,
}

impl Text {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; 4096], length: 0 }
    }

    /// What was written, which ends with its one NUL.
    ///
    /// # Errors
    /// EINVAL if it does not.
    pub(crate) fn as_c_str(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_with_nul(&self.bytes[..self.length]).map_err(|_| Errno::INVAL)
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
