//! Where the payload of a sparse file goes: the old GNU header, and PAX formats 0.0, 0.1 and 1.0 (GNU tar manual,
//! "Storing Sparse Files").

use super::entry::{Header, Sparse, number};
use super::pax::Pax;
use super::tape::{BLOCK, Tape, truncated};
use crate::error::{Error, Result};

/// A stretch of payload and its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct Segment {
    pub offset: u64,
    pub length: u64,
}

/// More than any file system makes of a real file; keeps the map of a hostile one small.
const MAX_SEGMENTS: usize = 1 << 20;

/// The map of the file at hand, `None` when it is not sparse. Reads the blocks of a map that stands before the payload
/// and takes them off its size.
pub(super) fn map(
    header: &[u8; BLOCK],
    pax: &mut Pax,
    payload: &mut u64,
    tape: &mut dyn Tape,
) -> Result<Option<Sparse>> {
    let (size, segments) = if header[156] == b'S' {
        old_gnu(header, tape)?
    } else if pax.sparse_major == Some(1) {
        let size = pax.sparse_size.ok_or_else(damaged)?;
        (size, inline(payload, tape)?)
    } else if !pax.sparse_map.is_empty() {
        (pax.sparse_size.ok_or_else(damaged)?, pairs(&std::mem::take(&mut pax.sparse_map))?)
    } else {
        return Ok(None);
    };
    check(size, &segments, *payload)?;
    Ok(Some(Sparse { size, segments }))
}

/// Four entries in the header, then blocks of 21 while a flag says so.
fn old_gnu(header: &[u8; BLOCK], tape: &mut dyn Tape) -> Result<(u64, Vec<Segment>)> {
    let size = Header(header).number(483..495)?;
    let mut segments = Vec::new();
    old_gnu_entries(&header[386..482], &mut segments)?;
    let mut more = header[482] != 0;
    while more {
        let block = tape.block()?.ok_or_else(truncated)?;
        old_gnu_entries(&block[..504], &mut segments)?;
        more = block[504] != 0;
    }
    Ok((size, segments))
}

fn old_gnu_entries(bytes: &[u8], segments: &mut Vec<Segment>) -> Result<()> {
    for entry in bytes.chunks_exact(24) {
        if entry[0] == 0 || entry[12] == 0 {
            break;
        }
        let offset = number(&entry[..12]).ok_or_else(damaged)?;
        let length = number(&entry[12..]).ok_or_else(damaged)?;
        push(segments, offset, length)?;
    }
    Ok(())
}

/// Format 1.0: decimal lines in front of the payload, the number of entries first, padded to a block.
fn inline(payload: &mut u64, tape: &mut dyn Tape) -> Result<Vec<Segment>> {
    let (mut numbers, mut digits, mut wanted) = (Vec::new(), Vec::new(), None);
    while wanted.is_none_or(|wanted: usize| numbers.len() < wanted) {
        *payload = payload.checked_sub(BLOCK as u64).ok_or_else(damaged)?;
        let block = tape.block()?.ok_or_else(truncated)?;
        for byte in block {
            match byte {
                b'0'..=b'9' if digits.len() < 20 => digits.push(byte),
                b'\n' => {
                    let number: u64 =
                        std::str::from_utf8(&digits).ok().and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
                    digits.clear();
                    if wanted.is_none() {
                        let entries = usize::try_from(number).ok().filter(|n| *n <= MAX_SEGMENTS);
                        wanted = Some(entries.ok_or_else(damaged)? * 2);
                    } else {
                        numbers.push(number);
                    }
                }
                _ => return Err(damaged()),
            }
            if wanted == Some(numbers.len()) {
                break;
            }
        }
    }
    pairs(&numbers)
}

fn pairs(numbers: &[u64]) -> Result<Vec<Segment>> {
    if !numbers.len().is_multiple_of(2) {
        return Err(damaged());
    }
    let mut segments = Vec::new();
    for pair in numbers.chunks_exact(2) {
        push(&mut segments, pair[0], pair[1])?;
    }
    Ok(segments)
}

fn push(segments: &mut Vec<Segment>, offset: u64, length: u64) -> Result<()> {
    if segments.len() >= MAX_SEGMENTS {
        return Err(damaged());
    }
    segments.push(Segment { offset, length });
    Ok(())
}

/// In order, without overlap, inside the file, and exactly what the payload holds.
fn check(size: u64, segments: &[Segment], payload: u64) -> Result<()> {
    let (mut end, mut total) = (0u64, 0u64);
    for Segment { offset, length } in segments {
        if *offset < end {
            return Err(damaged());
        }
        end = offset.checked_add(*length).ok_or_else(damaged)?;
        total += length;
    }
    if end > size || total != payload || i64::try_from(size).is_err() {
        return Err(damaged());
    }
    Ok(())
}

fn damaged() -> Error {
    Error::new("the tar is damaged: the map of a sparse file makes no sense")
}
