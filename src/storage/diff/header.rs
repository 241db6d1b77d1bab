//! One tar header: ustar, with a PAX extended header before it where ustar cannot say it (POSIX pax; attributes as
//! `SCHILY.xattr.NAME`, which every tool for layers reads).

use crate::image::digest::Digest;

const BLOCK: usize = 512;

/// Two blocks of zeros.
pub(super) static END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// What follows `size` bytes of content up to a whole block.
pub(super) fn padding(size: u64) -> &'static [u8] {
    let length = size.next_multiple_of(BLOCK as u64) - size;
    END.get(..usize::try_from(length).unwrap_or_default()).unwrap_or_default()
}

/// The type flags in use (tar(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    File = b'0' as isize,
    HardLink = b'1' as isize,
    Symlink = b'2' as isize,
    CharacterDevice = b'3' as isize,
    BlockDevice = b'4' as isize,
    Directory = b'5' as isize,
    Fifo = b'6' as isize,
}

/// What a header says.
#[derive(Debug)]
pub(super) struct Header<'a> {
    /// A directory's ends with a slash.
    pub path: &'a [u8],
    pub flag: Flag,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of what follows the header.
    pub size: u64,
    /// The file's own size, when what follows are a map and the stretches between its holes.
    pub sparse: Option<u64>,
    /// Seconds since the epoch, and nanoseconds.
    pub mtime: (i64, u32),
    pub link: &'a [u8],
    pub device: (u32, u32),
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// The largest number that seven octal digits hold.
const MAX_ID: u32 = 0o7_777_777;
/// The largest that eleven hold.
const MAX_NUMBER: u64 = 0o77_777_777_777;

impl Header<'_> {
    /// The header's blocks.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut records = Vec::new();
        if self.path.len() > 100 {
            record(&mut records, b"path", self.path);
        }
        if self.link.len() > 100 {
            record(&mut records, b"linkpath", self.link);
        }
        if self.size > MAX_NUMBER {
            record(&mut records, b"size", self.size.to_string().as_bytes());
        }
        if let Some(size) = self.sparse {
            record(&mut records, b"GNU.sparse.major", b"1");
            record(&mut records, b"GNU.sparse.minor", b"0");
            record(&mut records, b"GNU.sparse.name", self.path);
            record(&mut records, b"GNU.sparse.realsize", size.to_string().as_bytes());
        }
        for (key, id) in [(b"uid", self.uid), (b"gid", self.gid)] {
            if id > MAX_ID {
                record(&mut records, key, id.to_string().as_bytes());
            }
        }
        let (seconds, nanoseconds) = self.mtime;
        if nanoseconds != 0 || !fits(seconds) {
            record(&mut records, b"mtime", time(seconds, nanoseconds).as_bytes());
        }
        for (name, value) in self.xattrs {
            record(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
        let mut blocks = Vec::with_capacity(BLOCK * 3);
        if !records.is_empty() {
            // The name is for tools that do not know PAX; a digest keeps the names of two long paths apart.
            let digest = Digest::of(self.path).hex();
            let name = format!("PaxHeaders/{}", &digest[..32]);
            blocks.extend(block(name.as_bytes(), b'x', records.len() as u64, |_| {}));
            blocks.extend_from_slice(&records);
            blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        }
        blocks.extend(block(self.path, self.flag as u8, self.size.min(MAX_NUMBER), |block| {
            octal(&mut block[100..107], self.mode.into());
            octal(&mut block[108..115], self.uid.min(MAX_ID).into());
            octal(&mut block[116..123], self.gid.min(MAX_ID).into());
            octal(&mut block[136..147], if fits(seconds) { seconds.cast_unsigned() } else { 0 });
            put(&mut block[157..257], self.link);
            if matches!(self.flag, Flag::CharacterDevice | Flag::BlockDevice) {
                octal(&mut block[329..336], self.device.0.into());
                octal(&mut block[337..344], self.device.1.into());
            }
        }));
        blocks
    }
}

fn fits(seconds: i64) -> bool {
    u64::try_from(seconds).is_ok_and(|seconds| seconds <= MAX_NUMBER)
}

fn block(name: &[u8], flag: u8, size: u64, fill: impl FnOnce(&mut [u8; BLOCK])) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block[..100], name);
    for field in [100..107, 108..115, 116..123, 329..336, 337..344] {
        octal(&mut block[field], 0);
    }
    octal(&mut block[124..135], size);
    octal(&mut block[136..147], 0);
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    fill(&mut block);
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..154], sum);
    block[154] = 0;
    block
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// All of `field` in octal digits.
fn octal(field: &mut [u8], mut number: u64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (number & 7) as u8;
        number >>= 3;
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Decimal, without zeros at the end of the fraction; before the epoch the sign counts for both parts.
fn time(seconds: i64, nanoseconds: u32) -> String {
    let (sign, whole, fraction) = match (seconds < 0, nanoseconds) {
        (false, fraction) => ("", seconds.unsigned_abs(), fraction),
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (true, fraction) => ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - fraction),
    };
    let text = format!("{sign}{whole}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (seconds, nanoseconds, text) in [
            (1, 500_000_000, "1.5"),
            (0, 1, "0.000000001"),
            (-2, 500_000_000, "-1.5"),
            (-1, 750_000_000, "-0.25"),
            (-7, 0, "-7"),
            (1 << 40, 0, "1099511627776"),
        ] {
            assert_eq!(time(seconds, nanoseconds), text);
        }
    }

    #[test]
    fn tar_reads_what_was_written() {
        let long = vec![b'n'; 300];
        let xattrs = [(b"user.a".to_vec(), b"x=\0y".to_vec())];
        let header = |path, size, xattrs| Header {
            path,
            flag: Flag::File,
            mode: 0o4755,
            uid: 3_000_000,
            gid: 7,
            size,
            sparse: None,
            mtime: (1_500_000_000, 250_000_000),
            link: b"",
            device: (0, 0),
            xattrs,
        };
        let mut bytes = header(b"a/b", 3, &xattrs[..]).encode();
        bytes.extend_from_slice(b"abc");
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes.extend(header(&long, 0, &[]).encode());
        bytes.extend(END);
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut seen = 0;
        for entry in archive.entries().expect("reads") {
            let mut entry = entry.expect("an entry");
            let path = entry.path_bytes().into_owned();
            assert!(path == b"a/b" || path == long);
            assert_eq!(entry.header().mode().ok(), Some(0o4755));
            let records: Vec<_> = entry
                .pax_extensions()
                .expect("reads")
                .expect("has some")
                .map(|record| record.map(|record| (record.key_bytes().to_vec(), record.value_bytes().to_vec())))
                .collect::<Result<_, _>>()
                .expect("are whole");
            assert!(records.contains(&(b"mtime".to_vec(), b"1500000000.25".to_vec())));
            assert!(records.contains(&(b"uid".to_vec(), b"3000000".to_vec())));
            seen += 1;
        }
        assert_eq!(seen, 2);
    }
}
