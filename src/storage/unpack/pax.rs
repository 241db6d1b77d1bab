//! PAX extended headers: `LENGTH KEY=VALUE\n` records (POSIX pax, "pax Extended Header"). Values are binary: attributes
//! may hold newlines and zero bytes, so records are found by their length only.

use super::entry::Time;
use crate::error::{Error, Result};

/// What an extended header says about the entry that follows it.
#[derive(Debug, Default)]
pub(in crate::storage) struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<Time>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse_name: Option<Vec<u8>>,
    pub sparse_size: Option<u64>,
    pub sparse_major: Option<u64>,
    /// Offsets and lengths in turn (GNU.sparse formats 0.0 and 0.1).
    pub sparse_map: Vec<u64>,
}

impl Pax {
    pub(super) fn parse(mut data: &[u8]) -> Result<Self> {
        let mut pax = Self::default();
        while !data.is_empty() {
            // Some writers pad the data itself with zeros.
            if data.iter().all(|byte| *byte == 0) {
                break;
            }
            let (record, rest) = split(data).ok_or_else(damaged)?;
            data = rest;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(damaged)?;
            pax.set(&record[..equals], &record[equals + 1..])?;
        }
        Ok(pax)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let number = || decimal(value).ok_or_else(damaged);
        match key {
            // An empty value takes back what a global header said.
            b"path" if !value.is_empty() => self.path = Some(value.to_vec()),
            b"linkpath" if !value.is_empty() => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"mtime" => self.mtime = Some(time(value).ok_or_else(damaged)?),
            b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse_size = Some(number()?),
            b"GNU.sparse.major" => self.sparse_major = Some(number()?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse_map.push(number()?),
            b"GNU.sparse.map" => {
                let numbers: Option<Vec<u64>> = value.split(|byte| *byte == b',').map(decimal).collect();
                self.sparse_map = numbers.ok_or_else(damaged)?;
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// `(KEY=VALUE, what follows)`; the length counts itself, the space and the newline.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    let record = data.get(space + 1..length)?;
    Some((record.strip_suffix(b"\n")?, &data[length..]))
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `[-]SECONDS[.FRACTION]`; further digits than nanoseconds are cut off.
fn time(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: u32 = format!("{:0<9.9}", fraction).parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        // -1.5 is two seconds before the epoch and half a second on.
        return Some(Time { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds });
    }
    Some(Time { seconds, nanoseconds })
}

fn damaged() -> Error {
    Error::new("the tar is damaged: an extended header cannot be understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_be_binary() {
        let pax = Pax::parse(b"35 SCHILY.xattr.user.a=x\n=\0y\n12345\n12 path=a/b\n").expect("parses");
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), b"x\n=\0y\n12345".to_vec())]);
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
    }

    #[test]
    fn broken_records_are_refused() {
        for bad in [&b"5 a=b\n"[..], b"99 a=b\n", b"a=b\n", b"6 ab=\n\n", b"0 \n", b"9 size=x\n", b"6 a=b", b"2 \n"] {
            assert!(Pax::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn times() {
        for (text, seconds, nanoseconds) in [
            ("1", 1, 0),
            ("1.5", 1, 500_000_000),
            ("1.123456789", 1, 123_456_789),
            ("1.1234567899", 1, 123_456_789),
            ("-1.5", -2, 500_000_000),
            ("-0.25", -1, 750_000_000),
        ] {
            assert_eq!(time(text.as_bytes()), Some(Time { seconds, nanoseconds }), "{text}");
        }
        assert_eq!(time(b"1.x"), None);
    }
}
