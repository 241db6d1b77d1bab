//! What COPY --from takes, as a digest: a stage that was built again and gave the same files changes nothing behind it.
//!
//! Layers never change, so what a source in them is known by is kept: `build-cache/contents/<layers and sources>`.

use rustix::fs::Mode;

use super::context::digest::Known;
use super::context::ignore::Ignore;
use super::context::select::{self, Root, Wanted};
use super::stage::Stage;
use crate::error::{Context, Result};
use crate::image::digest::{DiffId, Digest};
use crate::state::file::{self, Durability};
use crate::state::paths::create_private;
use crate::userns::enter;

impl Stage<'_> {
    /// The digest of `sources` in a file system made of `layers`, which messages call `name`; owners and capabilities included.
    pub(crate) fn content_of(
        &self,
        layers: &[DiffId],
        sources: &[String],
        (exclude, patterns): (&Ignore, &[String]),
        parents: bool,
        name: &str,
    ) -> Result<Digest> {
        let layers_text: Vec<String> = layers.iter().map(Digest::to_string).collect();
        let question = format!("content 1 {layers_text:?} {sources:?} {patterns:?} {parents}");
        let dir = self.build.store.build_cache_dir().join("contents");
        let path = dir.join(Digest::of(question.as_bytes()).hex());
        // What cannot be read is found out again.
        if let Ok(Some(known)) = file::read_json::<Digest>(&path) {
            return Ok(known);
        }
        let place = self.workplace(layers)?;
        let lower = place.dir.join("lower");
        create_private(&lower)?;
        let digest = enter::run(self.build.maps, || {
            let mounted = place.rootfs.mount_lower(&lower)?;
            let root = Root::new(mounted.root.try_clone().context(|| "cannot keep a directory")?)?.called(name);
            let nothing = Ignore::default();
            let wanted = Wanted { sources, ignore: &nothing, exclude, parents };
            rustix::process::umask(Mode::empty());
            let mut known = Known::of_layers();
            let found = select::select(&root, &wanted)?;
            let digests = found.iter().map(|source| known.source(&root, source)).collect::<Result<Vec<_>>>()?;
            let text: Vec<String> = digests.iter().map(Digest::to_string).collect();
            Ok(Digest::of(text.join("\n").as_bytes()))
        })?;
        create_private(&dir)?;
        file::write_json(&path, &digest, Durability::Volatile)?;
        Ok(digest)
    }
}
