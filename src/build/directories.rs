//! Directories that instructions bring with them: WORKDIR, and those of VOLUMEs.

use rustix::fs::Mode;

use super::context::select::Root;
use super::copy::{Attributes, Target};
use super::layer::Workplace;
use super::settings;
use super::stage::{Stage, Stop};
use crate::error::{Context, Result};
use crate::storage::LayerView;
use crate::userns::enter;

impl Stage<'_> {
    /// The directory must be there before anything can run or be copied in it. It belongs to the USER in force, as with
    /// BuildKit and Buildah.
    pub(crate) fn workdir(&mut self, path: &str) -> Result<bool, Stop> {
        let path = settings::workdir(&self.state.config.config.working_dir, &self.expand(path)?);
        self.state.config.config.working_dir.clone_from(&path);
        let line = format!("WORKDIR {path}");
        let key = self.state.next_key(&[&line]);
        let (found, cached) = self.lookup(&key)?;
        if let Some(step) = found {
            self.state.add(key, line, &step);
            return Ok(cached);
        }
        let place = self.workplace(&self.state.layers.clone())?;
        let user = self.state.config.config.user.clone();
        let there = LayerView::new(&place.rootfs.directories())?.exists(&path).unwrap_or(false);
        let layer = if there {
            None
        } else {
            let owner = if user.is_empty() { None } else { Some(self.account(&user, &place)?) };
            self.make_directories(&place, &[&path], owner)?;
            Some(self.make_layer(&place, Vec::new())?)
        };
        let step = self.keep(&key, layer)?;
        self.state.add(key, line, &step);
        Ok(false)
    }

    /// Makes the directories of VOLUMEs that the image does not have: a step may write to them, as with Buildah.
    pub(crate) fn make_volumes(&self, place: &Workplace<'_>) -> Result<()> {
        let volumes = &self.state.config.config.volumes;
        if volumes.is_empty() {
            return Ok(());
        }
        let view = LayerView::new(&place.rootfs.directories())?;
        let missing: Vec<&str> =
            volumes.keys().map(String::as_str).filter(|path| !view.exists(path).unwrap_or(true)).collect();
        if missing.is_empty() { Ok(()) } else { self.make_directories(place, &missing, None) }
    }

    fn make_directories(&self, place: &Workplace<'_>, paths: &[&str], owner: Option<(u32, u32)>) -> Result<()> {
        let request = self.build.request;
        let time = request.timestamp.filter(|_| request.rewrite_timestamp);
        let attributes = Attributes { owner, time, ..Attributes::default() };
        enter::run(self.build.maps, || {
            rustix::process::umask(Mode::empty());
            let mounted = place.rootfs.mount_in_place()?;
            let root = Root::new(mounted.root.try_clone().context(|| "cannot keep a directory")?)?;
            let mut target = Target::new(&root, &attributes);
            for path in paths {
                let real = target.locate(path.as_bytes())?;
                target.make_directories(&real)?;
            }
            target.done().map(drop)
        })
    }
}
