//! One tar entry: the header block and the extension headers before it (ustar, GNU, PAX), as Go's archive/tar reads
//! them, because that is what wrote nearly every layer there is.

use super::pax::Pax;
use super::sparse::{self, Segment};
use super::tape::{BLOCK, Tape, truncated};
use crate::error::{Error, Result};

/// The longest extension header (names, attributes) that is believed.
pub(super) const EXTENSION_LIMIT: u64 = 1 << 20;
/// PATH_MAX: no longer name can be created or opened.
const NAME_LIMIT: usize = 4095;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    CharacterDevice,
    BlockDevice,
    Fifo,
}

/// Seconds and nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::storage) struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// What an entry's inode carries besides content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::storage) struct Attributes {
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: Time,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An entry whose payload is still to be read from the tape.
#[derive(Debug)]
pub(in crate::storage) struct Entry {
    pub kind: Kind,
    /// As written; may hold anything but zero bytes.
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub attributes: Attributes,
    /// Bytes of payload in the tar, without padding.
    pub payload: u64,
    /// Where the payload goes, for a sparse file.
    pub sparse: Option<Sparse>,
    pub device: (u32, u32),
}

/// A file with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct Sparse {
    pub size: u64,
    pub segments: Vec<Segment>,
}

/// Reads the entry that comes next; `None` at the end of the archive, with its blocks read and everything behind them
/// still to be.
pub(in crate::storage) fn next(tape: &mut dyn Tape) -> Result<Option<Entry>> {
    let mut pax = Pax::default();
    let (mut long_name, mut long_link) = (None, None);
    loop {
        let Some(block) = tape.block()? else { return Ok(None) };
        if block.iter().all(|byte| *byte == 0) {
            return end(tape);
        }
        let header = Header(&block);
        header.verify()?;
        match header.kind() {
            b'g' => drop(extension(&header, tape)?),
            b'x' | b'X' => pax = Pax::parse(&extension(&header, tape)?)?,
            b'L' => long_name = Some(text(extension(&header, tape)?)),
            b'K' => long_link = Some(text(extension(&header, tape)?)),
            _ => return Builder { header, pax, long_name, long_link }.build(tape).map(Some),
        }
    }
}

/// After a zero block: the archive ends with a second one, or with the input.
fn end(tape: &mut dyn Tape) -> Result<Option<Entry>> {
    match tape.block()? {
        Some(block) if block.iter().any(|byte| *byte != 0) => {
            Err(Error::new("the tar is damaged: data after a zero block"))
        }
        _ => Ok(None),
    }
}

/// The content of an extension header; its padding is read as well.
fn extension(header: &Header<'_>, tape: &mut dyn Tape) -> Result<Vec<u8>> {
    let size = header.number(124..136)?;
    if size > EXTENSION_LIMIT {
        return Err(Error::new(format!("the tar has an extension header of {size} bytes")));
    }
    let mut content = Vec::new();
    tape.take(size.next_multiple_of(BLOCK as u64), &mut |bytes| {
        content.extend_from_slice(bytes);
        Ok(())
    })?;
    content.truncate(usize::try_from(size).map_err(|_| truncated())?);
    Ok(content)
}

/// Up to the first zero byte.
pub(super) fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

struct Builder<'a> {
    header: Header<'a>,
    pax: Pax,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Builder<'_> {
    fn build(mut self, tape: &mut dyn Tape) -> Result<Entry> {
        let header = &self.header;
        let path = self.pax.path.take().or(self.long_name.take()).unwrap_or_else(|| header.name());
        let link = self.pax.link.take().or(self.long_link.take()).unwrap_or_else(|| header.field(157..257).to_vec());
        for name in [&path, &link] {
            if name.len() > NAME_LIMIT || name.contains(&0) {
                return Err(Error::new(format!("the tar has an impossible file name of {} bytes", name.len())));
            }
        }
        let kind = header.entry_kind(&path)?;
        // Everything but a file is its header alone, whatever size that claims (as Go's reader has it).
        let size = match self.pax.size {
            Some(size) => size,
            None => header.number(124..136)?,
        };
        let mut entry = Entry {
            kind,
            path,
            link,
            attributes: Attributes::of(header, &mut self.pax)?,
            payload: if kind == Kind::File { size } else { 0 },
            sparse: None,
            device: header.device(kind)?,
        };
        if kind == Kind::File {
            entry.sparse = sparse::map(self.header.0, &mut self.pax, &mut entry.payload, tape)?;
            if let Some(name) = self.pax.sparse_name.take() {
                entry.path = name;
            }
        }
        Ok(entry)
    }
}

impl Attributes {
    /// As a header and its extension say.
    pub(super) fn of(header: &Header<'_>, pax: &mut Pax) -> Result<Self> {
        let id = |pax: Option<u64>, field| pax.map_or_else(|| header.number(field), Ok);
        Ok(Self {
            mode: u32::try_from(header.number(100..108)? & 0o7777).unwrap_or_default(),
            uid: id(pax.uid, 108..116)?,
            gid: id(pax.gid, 116..124)?,
            mtime: match pax.mtime {
                Some(time) => time,
                // Negative only in base 256, where the cast brings the sign back.
                None => Time { seconds: header.number(136..148)?.cast_signed(), nanoseconds: 0 },
            },
            xattrs: std::mem::take(&mut pax.xattrs),
        })
    }
}

/// The fields of a header block by their offsets (tar(5)).
pub(super) struct Header<'a>(pub &'a [u8; BLOCK]);

impl Header<'_> {
    pub(super) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// What an entry called `path` makes.
    pub(super) fn entry_kind(&self, path: &[u8]) -> Result<Kind> {
        Ok(match self.kind() {
            // Before POSIX a directory was a file with a slash at its end.
            0 | b'0' if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharacterDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                return Err(Error::new(format!(
                    "{} has the unknown tar entry type {:?}",
                    path.escape_ascii(),
                    char::from(other)
                )));
            }
        })
    }

    /// Major and minor number.
    pub(super) fn device(&self, kind: Kind) -> Result<(u32, u32)> {
        if !matches!(kind, Kind::CharacterDevice | Kind::BlockDevice) || !self.is_posix() {
            return Ok((0, 0));
        }
        let number = |field| {
            let number = self.number(field)?;
            u32::try_from(number).map_err(|_| Error::new("a device of the tar has an impossible number"))
        };
        Ok((number(329..337)?, number(337..345)?))
    }

    /// ustar or GNU: the fields after the link name mean something.
    fn is_posix(&self) -> bool {
        &self.0[257..262] == b"ustar"
    }

    /// Bytes up to the first zero.
    pub(super) fn field(&self, range: std::ops::Range<usize>) -> &[u8] {
        let bytes = &self.0[range];
        bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
    }

    pub(super) fn name(&self) -> Vec<u8> {
        let name = self.field(0..100);
        // GNU's magic ends with spaces; it keeps times where POSIX has the prefix.
        let prefix = if &self.0[257..263] == b"ustar\0" { self.field(345..500) } else { &[] };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// A number in octal text, or base 256 when the first bit is set.
    pub(super) fn number(&self, range: std::ops::Range<usize>) -> Result<u64> {
        number(&self.0[range]).ok_or_else(|| Error::new("the tar is damaged: a header field is not a number"))
    }

    /// Old writers summed signed bytes.
    fn verify(&self) -> Result<()> {
        let stored = self.number(148..156)?;
        let (mut unsigned, mut signed) = (0u64, 0i64);
        for (at, byte) in self.0.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { *byte };
            unsigned += u64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if stored == unsigned || stored.cast_signed() == signed {
            return Ok(());
        }
        Err(Error::new("the tar is damaged: a header has a wrong checksum"))
    }
}

pub(super) fn number(field: &[u8]) -> Option<u64> {
    match field {
        // 0x80: positive; 0xff: negative. What does not fit 64 bits is nothing we could act on.
        [first @ (0x80 | 0xff), rest @ ..] => {
            let negative = *first == 0xff;
            let (high, low) = rest.split_at(rest.len().saturating_sub(8));
            if high.iter().any(|byte| *byte != if negative { 0xff } else { 0 }) {
                return None;
            }
            let start = if negative { u64::MAX } else { 0 };
            Some(low.iter().fold(start, |value, byte| value << 8 | u64::from(*byte)))
        }
        _ => {
            let text = field.split(|byte| *byte == 0).find(|part| !part.is_empty()).unwrap_or(&[]);
            let text = text.trim_ascii();
            text.iter().try_fold(0u64, |value, digit| match digit {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
                _ => None,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_as_writers_write_them() {
        let cases: [(&[u8], Option<u64>); 9] = [
            (b"0000644\0", Some(0o644)),
            (b"644 \0\0\0\0", Some(0o644)),
            (b"   644\0 ", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"0000648\0", None),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\x00", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", Some(u64::MAX - 1)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"77777777777777777777777", None),
        ];
        for (field, value) in cases {
            assert_eq!(number(field), value, "{}", field.escape_ascii());
        }
    }
}
