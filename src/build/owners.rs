//! `--chown` and USER → ids, by the accounts of the image.

use super::layer::Workplace;
use super::stage::Stage;
use crate::error::{Context, Kind, Result};
use crate::spec::user;
use crate::storage::LayerView;

/// Largest passwd or group file of an image that is read.
const ACCOUNT_FILE_LIMIT: u64 = 4 << 20;

impl Stage<'_> {
    /// `--chown`: ids, or names of the image's own passwd and group files. An id alone is the group's as well.
    pub(crate) fn owner(&self, text: &str, place: &Workplace<'_>) -> Result<(u32, u32)> {
        let (name, group) = text.split_once(':').map_or((text, None), |(name, group)| (name, Some(group)));
        match (name.parse::<u32>(), group.map(str::parse::<u32>)) {
            (Ok(uid), None) => Ok((uid, uid)),
            (Ok(uid), Some(Ok(gid))) => Ok((uid, gid)),
            _ => self.account(text, place).context(|| format!("invalid --chown {text:?}")),
        }
    }

    /// Who a program runs as that is given this USER.
    pub(crate) fn account(&self, text: &str, place: &Workplace<'_>) -> Result<(u32, u32)> {
        let view = LayerView::new(&place.rootfs.directories())?;
        let read = |path| -> Result<String> {
            let content = view.read_file(path, ACCOUNT_FILE_LIMIT)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&content).into_owned())
        };
        let found = user::resolve(text, &[], &read("etc/passwd")?, &read("etc/group")?);
        let found = found.context(|| format!("invalid user {text:?}")).map_err(|e| e.with_kind(Kind::General))?;
        Ok((found.identity.uid, found.identity.gid))
    }
}
