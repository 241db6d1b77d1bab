//! Tar archives, well-formed and hostile: names and headers go in as they are given.

use tar::{EntryType, Header};

/// A tar archive being written in memory.
#[derive(Debug, Default, Clone)]
pub struct Tarball {
    bytes: Vec<u8>,
    mtime: u64,
}

impl Tarball {
    pub fn new() -> Self {
        Self { bytes: Vec::new(), mtime: 1_700_000_000 }
    }

    fn header(&self, kind: EntryType, name: &str, mode: u32, size: u64) -> Header {
        let mut header = Header::new_ustar();
        // Not set_path: it refuses the names that hostile archives have.
        let field = &mut header.as_old_mut().name;
        let length = name.len().min(field.len());
        field[..length].copy_from_slice(&name.as_bytes()[..length]);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header
    }

    fn push(&mut self, header: &mut Header, data: &[u8]) {
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    /// Any entry, to be changed by `edit` before its checksum is set.
    pub fn entry(
        mut self,
        kind: EntryType,
        name: &str,
        mode: u32,
        data: &[u8],
        edit: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = self.header(kind, name, mode, data.len() as u64);
        edit(&mut header);
        self.push(&mut header, data);
        self
    }

    pub fn file(self, name: &str, mode: u32, data: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, name, mode, data.as_ref(), |_| {})
    }

    /// A file that belongs to somebody.
    pub fn owned_file(self, name: &str, mode: u32, uid: u64, gid: u64, data: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, name, mode, data.as_ref(), |header| {
            header.set_uid(uid);
            header.set_gid(gid);
        })
    }

    pub fn dir(self, name: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, name, mode, &[], |_| {})
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, 0o777, &[], |header| set_link(header, target))
    }

    /// The mode is the one of programs: Podman gives it to the file that the link leads to.
    pub fn hardlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, 0o755, &[], |header| set_link(header, target))
    }

    pub fn char_device(self, name: &str, mode: u32, major: u32, minor: u32) -> Self {
        self.entry(EntryType::Char, name, mode, &[], |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        })
    }

    pub fn fifo(self, name: &str) -> Self {
        self.entry(EntryType::Fifo, name, 0o644, &[], |_| {})
    }

    /// PAX records for the entry that follows.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            // The length counts its own digits.
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.entry(EntryType::XHeader, "PaxHeaders/x", 0o644, &data, |_| {})
    }

    /// A GNU long name for the entry that follows.
    pub fn gnu_long_name(self, name: &str) -> Self {
        let mut data = name.as_bytes().to_vec();
        data.push(0);
        self.entry(EntryType::GNULongName, "././@LongLink", 0o644, &data, |_| {})
    }

    /// Bytes that are no entry.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The archive with its two zero blocks.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }

    /// The archive as it stands, without an end.
    pub fn unfinished(self) -> Vec<u8> {
        self.bytes
    }
}

fn set_link(header: &mut Header, target: &str) {
    let field = &mut header.as_old_mut().linkname;
    let length = target.len().min(field.len());
    field[..length].copy_from_slice(&target.as_bytes()[..length]);
}
