//! The entries of a layer's tar as its headers have them, out of `entries.zst`: for what the unpacked files could not keep.

use std::fs::File;

use super::entry::{Attributes, EXTENSION_LIMIT, Header, Kind, text};
use super::pax::Pax;
use super::record::{Record, Records, padding};
use super::tape::{BLOCK, truncated};
use crate::error::Result;

/// An entry without its content.
#[derive(Debug)]
pub(in crate::storage) struct Headed {
    pub kind: Kind,
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub attributes: Attributes,
    pub device: (u32, u32),
}

/// What comes next in the bytes that are neither headers nor content in files.
enum Expect {
    Header,
    /// An extension's content with its padding.
    Extension {
        kind: u8,
        size: usize,
    },
    /// The content of a file, which stands in the record unless it has a file of its own.
    Payload(u64),
    Skip(u64),
    /// Of a sparse file: its map, which may take any number of blocks.
    Content,
}

/// Calls `each` with every entry, in order.
pub(in crate::storage) fn read(file: File, each: &mut dyn FnMut(Headed) -> Result<()>) -> Result<()> {
    let mut records = Records::open(file)?;
    let mut reader = Reader { expect: Expect::Header, raw: Vec::new(), pax: Pax::default(), name: None, link: None };
    while let Some(record) = records.next()? {
        match record {
            Record::Raw(bytes) => {
                // The payload was not put in a file.
                if let Expect::Payload(size) = reader.expect {
                    reader.expect = Expect::Skip(size + padding(size));
                }
                reader.raw.extend_from_slice(&bytes);
                while reader.step(each)? {}
            }
            Record::Content(content) => {
                let odd = if content.padded { 0 } else { padding(content.size) };
                reader.raw.clear();
                reader.expect = if odd > 0 { Expect::Skip(odd) } else { Expect::Header };
            }
        }
    }
    Ok(())
}

struct Reader {
    expect: Expect,
    raw: Vec<u8>,
    pax: Pax,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Reader {
    /// Deals with what is at hand; whether there was enough of it.
    fn step(&mut self, each: &mut dyn FnMut(Headed) -> Result<()>) -> Result<bool> {
        match self.expect {
            Expect::Content | Expect::Payload(_) => Ok(false),
            Expect::Skip(left) => {
                let now = usize::try_from(left).unwrap_or(usize::MAX).min(self.raw.len());
                self.raw.drain(..now);
                let left = left - now as u64;
                self.expect = if left == 0 { Expect::Header } else { Expect::Skip(left) };
                Ok(left == 0)
            }
            Expect::Extension { kind, size } => {
                let whole = size.next_multiple_of(BLOCK);
                if self.raw.len() < whole {
                    return Ok(false);
                }
                let mut content: Vec<u8> = self.raw.drain(..whole).collect();
                content.truncate(size);
                match kind {
                    b'x' | b'X' => self.pax = Pax::parse(&content)?,
                    b'L' => self.name = Some(text(content)),
                    b'K' => self.link = Some(text(content)),
                    _ => {}
                }
                self.expect = Expect::Header;
                Ok(true)
            }
            Expect::Header => {
                let Some(block) = self.raw.get(..BLOCK).and_then(|block| <[u8; BLOCK]>::try_from(block).ok()) else {
                    return Ok(false);
                };
                self.raw.drain(..BLOCK);
                // The end; what follows it is no entry.
                if block.iter().all(|byte| *byte == 0) {
                    self.expect = Expect::Content;
                    return Ok(false);
                }
                self.header(&block, each)?;
                Ok(true)
            }
        }
    }

    fn header(&mut self, block: &[u8; BLOCK], each: &mut dyn FnMut(Headed) -> Result<()>) -> Result<()> {
        let header = Header(block);
        let size = header.number(124..136)?;
        if matches!(header.kind(), b'g' | b'x' | b'X' | b'L' | b'K') {
            let size = usize::try_from(size.min(EXTENSION_LIMIT)).map_err(|_| truncated())?;
            self.expect = Expect::Extension { kind: header.kind(), size };
            return Ok(());
        }
        let mut pax = std::mem::take(&mut self.pax);
        let path = pax.path.take().or(self.name.take()).unwrap_or_else(|| header.name());
        let link = pax.link.take().or(self.link.take()).unwrap_or_else(|| header.field(157..257).to_vec());
        let path = pax.sparse_name.take().unwrap_or(path);
        let kind = header.entry_kind(&path)?;
        let is_sparse = header.kind() == b'S' || pax.sparse_size.is_some() || pax.sparse_major.is_some();
        let size = pax.size.unwrap_or(size);
        self.expect = match kind {
            Kind::File if is_sparse && size > 0 => Expect::Content,
            Kind::File if size > 0 => Expect::Payload(size),
            _ => Expect::Header,
        };
        let attributes = Attributes::of(&header, &mut pax)?;
        each(Headed { device: header.device(kind)?, kind, path, link, attributes })
    }
}
