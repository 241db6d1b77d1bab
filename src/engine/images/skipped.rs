//! What could not be unpacked as the image has it: told once, when its layers arrive.

use super::Progress;
use crate::error::Result;
use crate::image::digest::DiffId;
use crate::storage::{Skipped, Store};
use crate::userns::IdMaps;

/// Warns of what `layers`, just unpacked, are without.
pub(super) fn warn(store: &Store, layers: &[DiffId], maps: &IdMaps, progress: &dyn Progress) -> Result<()> {
    let mut all = Skipped::default();
    for layer in layers {
        if let Some(layer) = store.layer(layer) {
            all += layer.meta()?.skipped;
        }
    }
    let reason = maps.single.as_ref().map(ToString::to_string);
    left_out(&all, reason.as_deref()).iter().for_each(|text| progress.warning(text));
    Ok(())
}

/// A line for each kind. `single`: why there is only one id.
pub(crate) fn left_out(skipped: &Skipped, single: Option<&str>) -> Vec<String> {
    let mut list = Vec::new();
    if skipped.devices > 0 {
        list.push(format!("{} device nodes of the image were left out: only root can make them", skipped.devices));
    }
    match single {
        _ if skipped.owners == 0 => {}
        Some(reason) => list.push(format!("all files of the image belong to one user: {reason}")),
        None => list.push(format!(
            "{} files of the image belong to ids outside of this user's subordinate ranges and were given to root, \
             without setuid and setgid; longer ranges in /etc/subuid and /etc/subgid would keep their owners",
            skipped.owners
        )),
    }
    if skipped.attributes > 0 {
        list.push(format!(
            "{} extended attributes of the image's files were left out: the file system or the kernel refuses them",
            skipped.attributes
        ));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_told() {
        let none = Skipped::default();
        assert_eq!(left_out(&none, Some("why")), Vec::<String>::new());
        let some = Skipped { devices: 2, owners: 3, attributes: 0 };
        assert!(left_out(&some, None)[1].starts_with("3 files"));
        assert!(left_out(&some, Some("why"))[1].ends_with(": why"));
    }
}
