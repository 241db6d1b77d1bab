//! ADD of a local archive: tar, plain or compressed, unpacked into the destination.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use rustix::fs::FileType;

use super::context::ignore::clean;
use super::context::select::join;
use super::copy::{Target, What};
use crate::error::{Context, Error, Result};
use crate::image::archive::program::{self, Decompressed};

const BLOCK: usize = 512;

/// Whether a file is an archive that ADD unpacks.
pub(crate) fn is_archive(file: &File) -> Result<bool> {
    let mut block = [0u8; BLOCK];
    let mut plain = open(file)?;
    let mut filled = 0;
    while filled < BLOCK {
        match plain.read(&mut block[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    Ok(filled == BLOCK && looks_like_tar(&block))
}

/// A header whose checksum is right (tar(5)).
fn looks_like_tar(block: &[u8; BLOCK]) -> bool {
    let text: String = block[148..156].iter().map(|b| char::from(*b)).collect();
    let stored = u64::from_str_radix(text.trim_matches([' ', '\0']), 8);
    let sum: u64 =
        block.iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u64::from(*b) }).sum();
    stored == Ok(sum)
}

/// Decompresses what is compressed.
fn open(file: &File) -> Result<Box<dyn Read>> {
    let failed = || "cannot read the archive";
    let mut file = file.try_clone().context(failed)?;
    file.seek(SeekFrom::Start(0)).context(failed)?;
    let mut head = [0u8; program::HEAD];
    let read = file.read(&mut head).context(failed)?;
    file.seek(SeekFrom::Start(0)).context(failed)?;
    Ok(match &head[..read] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(file).context(failed)?),
        head => match program::for_head(head) {
            Some(name) => Box::new(Decompressed::by(name, file)?),
            None => Box::new(BufReader::new(file)),
        },
    })
}

/// Unpacks into the directory `base`, which is real. Paths stay inside the root whatever links the archive or the image has.
pub(crate) fn unpack(target: &mut Target<'_>, file: &File, base: &[u8]) -> Result<()> {
    target.make_directories(base)?;
    let mut archive = tar::Archive::new(open(file)?);
    let failed = || "cannot read the archive";
    for entry in archive.entries().context(failed)? {
        let mut entry = entry.context(failed)?;
        let named = entry.path_bytes().into_owned();
        let path = inside(&named);
        if path.is_empty() {
            continue;
        }
        let shown = || format!("cannot unpack {}", named.escape_ascii());
        let place = target.place(base, &path).context(shown)?;
        let header = entry.header().clone();
        let number = |value: std::io::Result<u64>| -> Result<u32> {
            let number = value.context(|| "its owner cannot be read")?;
            u32::try_from(number).map_err(|_| Error::new(format!("the owner {number} is no id")))
        };
        let (uid, gid) = (number(header.uid()).context(shown)?, number(header.gid()).context(shown)?);
        let mode = header.mode().unwrap_or(0o644) & 0o7777;
        let time = header.mtime().ok().and_then(|t| i64::try_from(t).ok()).unwrap_or(0);
        let stat = |kind, device| What { kind, mode, owner: (uid, gid), time: (time, 0), device };
        match header.entry_type() {
            tar::EntryType::Directory => target.put_directory(&place, &stat(FileType::Directory, 0)).context(shown)?,
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                target.put_file(&place, &mut entry, &stat(FileType::RegularFile, 0)).context(shown)?;
            }
            tar::EntryType::Symlink => {
                let link = entry.link_name_bytes().ok_or_else(|| Error::new(shown()))?.into_owned();
                target.put_link(&place, &link, &stat(FileType::Symlink, 0)).context(shown)?;
            }
            tar::EntryType::Link => {
                let link = entry.link_name_bytes().ok_or_else(|| Error::new(shown()))?.into_owned();
                let first = target.place(base, &inside(&link)).context(shown)?;
                target.put_hard_link(&place, &first).context(shown)?;
            }
            tar::EntryType::Fifo => target.put_special(&place, &stat(FileType::Fifo, 0)).context(shown)?,
            tar::EntryType::Char | tar::EntryType::Block => {
                let (major, minor) = (header.device_major(), header.device_minor());
                let device = match (major, minor) {
                    (Ok(Some(major)), Ok(Some(minor))) => rustix::fs::makedev(major, minor),
                    _ => return Err(Error::new(shown())),
                };
                let kind = if header.entry_type() == tar::EntryType::Char {
                    FileType::CharacterDevice
                } else {
                    FileType::BlockDevice
                };
                target.put_special(&place, &stat(kind, device)).context(shown)?;
            }
            // Headers that say something of other entries.
            _ => {}
        }
    }
    Ok(())
}

/// Without a root and without going up.
fn inside(path: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(path) {
        Ok(text) => clean(&format!("/{text}")).trim_start_matches('/').as_bytes().to_vec(),
        Err(_) => {
            let parts = path.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b"." | b".."));
            parts.fold(Vec::new(), |path, part| join(&path, part))
        }
    }
}
