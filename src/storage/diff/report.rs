//! Which of the entries that a walk finds are told, and in which order: a directory that is there only because
//! something in it was changed is told when that something is.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{FileType, Stat};

use crate::error::{Error, Result};
use crate::storage::whiteout;

/// What has happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Added,
    Modified,
    /// A directory of which only the time differs.
    Touched,
    /// A directory as it was; something in it may have changed.
    Same,
}

/// Where an entry can be read.
#[derive(Debug, Clone, Copy)]
pub(super) enum At<'a> {
    Directory(BorrowedFd<'a>),
    Other { parent: BorrowedFd<'a>, name: &'a [u8] },
}

/// Takes what has changed. Paths have no leading slash; the root's is empty.
pub(super) trait Emit {
    /// `opaque`: nothing shows of the directory that the layers below have.
    fn entry(&mut self, path: &[u8], at: At<'_>, stat: &Stat, state: State, opaque: bool) -> Result<()>;

    fn removed(&mut self, path: &[u8]) -> Result<()>;

    /// An entry of the upper directory that is not part of the changes.
    fn left_out(&mut self, _parent: BorrowedFd<'_>, _name: &[u8], _directory: bool) -> Result<()> {
        Ok(())
    }
}

/// The state of a walk.
pub(super) struct Report<'e> {
    emit: &'e mut dyn Emit,
    skip: HashSet<&'e [u8]>,
    levels: Vec<Level>,
    path: Vec<u8>,
    /// Names have a meaning of their own in layers.
    layer: bool,
}

struct Level {
    directory: Rc<OwnedFd>,
    /// Length of its path, and of its parent's.
    end: usize,
    start: usize,
    stat: Stat,
    state: State,
    opaque: bool,
    told: bool,
    /// Left out unless something in it is told.
    skipped: bool,
}

impl<'e> Report<'e> {
    /// For a list or a tar of files as they are.
    pub(super) fn new(emit: &'e mut dyn Emit, skip: &'e [String]) -> Self {
        Self {
            emit,
            skip: skip.iter().map(String::as_bytes).collect(),
            levels: Vec::new(),
            path: Vec::new(),
            layer: false,
        }
    }

    /// For a layer.
    pub(super) fn for_layer(emit: &'e mut dyn Emit, skip: &'e [String]) -> Self {
        Self { layer: true, ..Self::new(emit, skip) }
    }

    /// The path of `name` in the directory entered last, for messages.
    pub(super) fn shown(&self, name: &[u8]) -> String {
        format!("/{}", [&self.path[..], if self.path.is_empty() { b"" } else { b"/" }, name].concat().escape_ascii())
    }

    /// Goes into the directory `name`, which is the root when it is empty.
    pub(super) fn enter(
        &mut self,
        name: &[u8],
        directory: &Rc<OwnedFd>,
        stat: Stat,
        state: State,
        opaque: bool,
    ) -> Result<()> {
        self.check(name)?;
        let start = self.path.len();
        self.push(name)?;
        let skipped = state == State::Added && self.skip.contains(&self.path[..]);
        let directory = Rc::clone(directory);
        let level = Level { directory, start, end: self.path.len(), stat, state, opaque, told: false, skipped };
        let now = !skipped && (opaque || matches!(state, State::Added | State::Modified));
        self.levels.push(level);
        if now { self.tell() } else { Ok(()) }
    }

    /// Goes back to the parent.
    pub(super) fn leave(&mut self) -> Result<()> {
        if let Some(level) = self.levels.last()
            && !level.told
        {
            // The time of a directory in which the runtime has made something is nobody's change.
            if level.state == State::Touched && !level.skipped {
                self.tell()?;
            } else if level.skipped
                && matches!(level.state, State::Added | State::Touched)
                && let Some(parent) = self.levels.len().checked_sub(2).and_then(|at| self.levels.get(at))
            {
                let name = name_of(&self.path);
                self.emit.left_out(parent.directory.as_fd(), name, true)?;
            }
        }
        let Some(level) = self.levels.pop() else { return Ok(()) };
        self.path.truncate(level.start);
        if !level.told
            && (level.skipped || level.state == State::Added)
            && let Some(parent) = self.levels.last_mut()
        {
            parent.skipped |= parent.state == State::Touched;
        }
        Ok(())
    }

    /// Something that is no directory, in the directory entered last.
    pub(super) fn other(&mut self, name: &[u8], parent: BorrowedFd<'_>, stat: &Stat, state: State) -> Result<()> {
        if FileType::from_raw_mode(stat.st_mode) == FileType::Socket {
            // Of use to its maker only; no tar has them.
            return self.emit.left_out(parent, name, false);
        }
        self.check(name)?;
        let start = self.path.len();
        self.push(name)?;
        let told = if state == State::Added && stat.st_size == 0 && self.skip.contains(&self.path[..]) {
            if let Some(level) = self.levels.last_mut() {
                level.skipped |= level.state == State::Touched;
            }
            self.emit.left_out(parent, name, false)
        } else {
            self.tell().and_then(|()| self.emit.entry(&self.path, At::Other { parent, name }, stat, state, false))
        };
        self.path.truncate(start);
        told
    }

    /// # Errors
    /// When a layer cannot have a file or directory of that name.
    fn check(&self, name: &[u8]) -> Result<()> {
        if self.layer && name.starts_with(whiteout::PREFIX) {
            return Err(Error::new(format!("{} cannot be part of a layer", self.shown(name)))
                .hint("names that begin with .wh. mean removed files in a layer; rename it in the container"));
        }
        Ok(())
    }

    /// `name` of the layers below is gone.
    pub(super) fn removed(&mut self, name: &[u8]) -> Result<()> {
        let start = self.path.len();
        self.push(name)?;
        let told = self.tell().and_then(|()| self.emit.removed(&self.path));
        self.path.truncate(start);
        told
    }

    /// The directories on the way that were not told yet.
    fn tell(&mut self) -> Result<()> {
        for at in 0..self.levels.len() {
            let level = &mut self.levels[at];
            // The root is told only for its own sake.
            if level.told || level.end == 0 && matches!(level.state, State::Same | State::Touched) {
                continue;
            }
            level.told = true;
            let level = &self.levels[at];
            let place = At::Directory(level.directory.as_fd());
            let path = &self.path[..level.end];
            self.emit.entry(path, place, &level.stat, level.state, level.opaque)?;
        }
        Ok(())
    }

    fn push(&mut self, name: &[u8]) -> Result<()> {
        if !self.path.is_empty() && !name.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        // PATH_MAX: no layer with a longer one could be unpacked.
        if self.path.len() > 4095 {
            let shown = self.path[..100].escape_ascii().to_string();
            return Err(Error::new(format!("the path /{shown}… is longer than 4095 bytes")));
        }
        Ok(())
    }
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}
