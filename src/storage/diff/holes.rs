//! Files with holes: what lies between them, and the map that a tar has of it (GNU tar manual, "Storing Sparse Files",
//! PAX format 1.0).

use std::fs::File;
use std::io::Write;

use rustix::fs::{SeekFrom, Stat, seek};
use rustix::io::Errno;

use crate::storage::unpack::sparse::Segment;
use crate::storage::unpack::tape::BLOCK;

/// The content of a file with holes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Map {
    pub segments: Vec<Segment>,
    /// What stands before the content: decimal lines, padded to whole blocks.
    pub text: Vec<u8>,
}

impl Map {
    /// Of `file`; `None` when it has no holes, or its file system does not tell.
    pub(super) fn of(file: &File, stat: &Stat) -> Result<Option<Self>, Errno> {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        // st_blocks counts units of 512 bytes whatever the file system's own are (inode(7)).
        if u64::try_from(stat.st_blocks).unwrap_or_default().saturating_mul(512) >= size {
            return Ok(None);
        }
        let segments = segments(file, size)?;
        seek(file, SeekFrom::Start(0))?;
        let whole = Segment { offset: 0, length: size };
        Ok(segments.filter(|segments| *segments != [whole]).map(Self::new))
    }

    fn new(segments: Vec<Segment>) -> Self {
        let mut text = Vec::new();
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{}", segments.len());
        for Segment { offset, length } in &segments {
            let _ = write!(text, "{offset}\n{length}\n");
        }
        text.resize(text.len().next_multiple_of(BLOCK), 0);
        Self { segments, text }
    }

    /// Bytes that the tar has of the file, with the map.
    pub(super) fn payload(&self) -> u64 {
        self.text.len() as u64 + self.segments.iter().map(|segment| segment.length).sum::<u64>()
    }
}

/// The stretches that hold data, in order.
fn segments(file: &File, size: u64) -> Result<Option<Vec<Segment>>, Errno> {
    let (mut segments, mut at) = (Vec::new(), 0);
    while at < size {
        let offset = match seek(file, SeekFrom::Data(at)) {
            // A hole up to the end.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL) => return Ok(None),
            offset => offset?,
        };
        // It may have grown meanwhile.
        if offset >= size {
            break;
        }
        let end = match seek(file, SeekFrom::Hole(offset)) {
            Err(Errno::NXIO) => break,
            end => end?.min(size),
        };
        segments.push(Segment { offset, length: end - offset });
        at = end;
    }
    Ok(Some(segments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_of_a_file() {
        let path = std::env::temp_dir().join(format!("rpod-holes-{}", std::process::id()));
        let file = File::create_new(&path).expect("makes");
        let map = |file: &File| Map::of(file, &rustix::fs::fstat(file).expect("tells")).expect("maps");
        assert_eq!(map(&file), None);
        file.set_len(10 << 20).expect("grows");
        let all_hole = map(&file).expect("has a hole");
        assert_eq!((all_hole.segments.len(), all_hole.payload()), (0, 512));
        rustix::io::pwrite(&file, &[1; 1 << 20], 4 << 20).expect("writes");
        let one = map(&file).expect("has holes");
        assert_eq!(one.segments, [Segment { offset: 4 << 20, length: 1 << 20 }]);
        assert!(one.text.starts_with(b"1\n4194304\n1048576\n\0"));
        assert_eq!(one.payload(), 512 + (1 << 20));
        std::fs::remove_file(path).expect("removes");
    }
}
