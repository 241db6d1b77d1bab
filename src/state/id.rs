//! Identifiers of containers: 64 hexadecimal digits from the kernel's random source, 12 when shown.

use crate::error::{Context, Result};

/// How many digits of an id listings show.
pub(crate) const SHORT: usize = 12;

/// A new random id of 64 hexadecimal digits.
pub(crate) fn random() -> Result<String> {
    let mut bytes = [0u8; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            .context(|| "cannot read random bytes from the kernel")?;
    }
    Ok(hex(&bytes))
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

/// The shortened form of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}
