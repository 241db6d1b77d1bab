//! Tars made by hand, so that they may be as wrong as a test wants.

/// A header block with room for lies.
#[derive(Clone)]
pub(super) struct Header {
    pub name: Vec<u8>,
    pub kind: u8,
    pub size: u64,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: u64,
    pub link: Vec<u8>,
    pub device: (u32, u32),
}

pub(super) fn header(name: &str, kind: u8) -> Header {
    let mode = if kind == b'5' { 0o755 } else { 0o644 };
    Header {
        name: name.into(),
        kind,
        size: 0,
        mode,
        uid: 0,
        gid: 0,
        mtime: 1_500_000_000,
        link: Vec::new(),
        device: (0, 0),
    }
}

impl Header {
    pub(super) fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, format!("{:07o}", self.uid).as_bytes());
        put(116, format!("{:07o}", self.gid).as_bytes());
        put(124, format!("{:011o}", self.size).as_bytes());
        put(136, format!("{:011o}", self.mtime).as_bytes());
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", self.device.0).as_bytes());
        put(337, format!("{:07o}", self.device.1).as_bytes());
        seal(&mut block);
        block
    }
}

/// Writes the checksum.
pub(super) fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[derive(Default, Clone)]
pub(super) struct Tar(pub Vec<u8>);

impl Tar {
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// `header` with its size set, and the content.
    pub(super) fn entry(self, header: &Header, content: &[u8]) -> Self {
        let header = Header { size: content.len() as u64, ..header.clone() };
        self.raw(&header.block()).raw(content).pad()
    }

    pub(super) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(&header(name, b'0'), content)
    }

    pub(super) fn dir(self, name: &str) -> Self {
        self.entry(&header(name, b'5'), b"")
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(&Header { link: target.into(), ..header(name, b'2') }, b"")
    }

    pub(super) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(&Header { link: target.into(), ..header(name, b'1') }, b"")
    }

    /// An extended header for the entry that follows.
    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            content.extend_from_slice(format!("{length} {key}=").as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.entry(&header("PaxHeaders/x", b'x'), &content)
    }

    pub(super) fn pad(mut self) -> Self {
        let length = self.0.len().next_multiple_of(512);
        self.0.resize(length, 0);
        self
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}
