//! Which ids a new container has, and what that means for its files.

use super::joining::Joined;
use super::options::RunOptions;
use super::options::userns::UserNamespace;
use super::store;
use crate::engine::images::Image;
use crate::error::Result;
use crate::spec::settings::Identity;
use crate::state::lock::{Lock, Mode};
use crate::state::paths::Dirs;
use crate::storage::{IdShift, LayerView, Store};
use crate::userns::IdMaps;
use crate::userns::choice::{self, Auto, Choice};
use crate::userns::shift::Shift;

/// Largest passwd or group file of an image that is read.
const ACCOUNT_FILE_LIMIT: u64 = 4 << 20;

/// The usual id of those without rights.
const NOBODY: u32 = 65_534;

/// The container's ids.
pub(super) struct Ids {
    /// `None` in a user namespace that nobody knows the ids of.
    pub maps: Option<IdMaps>,
    pub shift: IdShift,
    /// Ids that the record must name so that nobody else takes them.
    pub auto: Option<IdMaps>,
    /// Held until then.
    _lock: Option<Lock>,
}

impl Ids {
    /// An identity of the container as the user's whole map has it.
    pub(super) fn outside(&self, inside: &Identity) -> Identity {
        let Some(shift) = self.shift.shift() else { return inside.clone() };
        Identity {
            uid: shift.uid(inside.uid).unwrap_or(inside.uid),
            gid: shift.gid(inside.gid).unwrap_or(inside.gid),
            groups: Vec::new(),
        }
    }
}

/// The ids of another container that is to have the same ones. `image`: its files are an image's.
pub(super) fn same(maps: Option<IdMaps>, whole: &IdMaps, image: bool) -> Ids {
    let shift = maps.as_ref().filter(|_| image).and_then(|maps| Shift::between(whole, maps));
    Ids { maps, shift: shift.map_or(IdShift::None, IdShift::Shared), auto: None, _lock: None }
}

pub(super) fn choose(
    dirs: &Dirs,
    store: &Store,
    options: &RunOptions,
    image: Option<&Image>,
    whole: &IdMaps,
    joined: Option<&Joined>,
) -> Result<Ids> {
    let plain = |maps: Option<IdMaps>, shift| Ids { maps, shift, auto: None, _lock: None };
    // Directories of the user's own are used with the owners they have.
    let shift = |maps: &IdMaps| Shift::between(whole, maps).filter(|_| image.is_some());
    if let Some(joined) = joined {
        let shift = joined.maps.as_ref().and_then(shift).map_or(IdShift::None, IdShift::Shared);
        return Ok(plain(joined.maps.clone(), shift));
    }
    let UserNamespace::New(wish) = &options.userns else { return Ok(plain(None, IdShift::None)) };
    let Choice::Auto(auto) = wish else {
        if *wish == Choice::Whole {
            return Ok(plain(Some(whole.clone()), IdShift::None));
        }
        let maps = choice::maps(wish, whole, &mut || Ok(Vec::new()), 0)?;
        let shift = shift(&maps).map_or(IdShift::None, IdShift::Shared);
        return Ok(plain(Some(maps), shift));
    };
    let needed = needed(store, options, image, auto)?;
    let lock = Lock::acquire(&dirs.host.join("auto.lock"), Mode::Exclusive)?;
    let mut taken =
        || Ok(store::list(dirs)?.into_iter().filter_map(|container| container.record.auto_ids).collect::<Vec<_>>());
    let maps = choice::maps(wish, whole, &mut taken, needed)?;
    let shift = shift(&maps).map_or(IdShift::None, IdShift::Own);
    Ok(Ids { maps: Some(maps.clone()), shift, auto: Some(maps), _lock: Some(lock) })
}

/// The highest id that an `auto` container without a size must have: whoever owns a file of its image, and who runs in it.
fn needed(store: &Store, options: &RunOptions, image: Option<&Image>, auto: &Auto) -> Result<u32> {
    if auto.size.is_some() {
        return Ok(0);
    }
    let wanted = options.user.as_deref().or(image.map(|image| image.config.config.user.as_str())).unwrap_or_default();
    let numbers = wanted.split(':').filter_map(|id| id.parse().ok()).max().unwrap_or(0);
    let Some(image) = image else { return Ok(numbers) };
    let diffs: Vec<_> = store.layers(&image.layers)?.iter().rev().map(crate::storage::Layer::diff).collect();
    let view = LayerView::new(&diffs)?;
    let mut highest = numbers.max(store.highest_id(&image.layers)?);
    for file in ["etc/passwd", "etc/group"] {
        let content = view.read_file(file, ACCOUNT_FILE_LIMIT)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        let ids = text.lines().flat_map(|line| line.split(':').skip(2).take(2)).filter_map(|id| id.parse::<u32>().ok());
        // nobody and nogroup own nothing.
        highest = highest.max(ids.filter(|id| *id < NOBODY).max().unwrap_or(0));
    }
    Ok(highest)
}
