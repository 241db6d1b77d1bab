//! Secrets of a container. As a file, it has a copy of its own beside its record, bound read-only; as a variable, it is
//! read at every start and stands in nothing that is written down.

use std::borrow::Cow;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use oci_spec::runtime::Spec;

use super::options::secrets::{SecretPlace, SecretRequest};
use super::record::GivenSecret;
use crate::engine::secrets;
use crate::error::{Context, Result};
use crate::spec::settings::Mount;
use crate::state::paths::{Dirs, create_private};
use crate::userns::{IdMaps, enter, owner};

/// The secrets of a container.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// Variables with the secrets that they are read from.
    pub variables: Vec<(String, String)>,
    /// All of them.
    pub given: Vec<GivenSecret>,
}

/// Makes the copies in the record's directory and adds their mounts. For a single-threaded process.
pub(super) fn place(
    dirs: &Dirs,
    record: &Path,
    requests: &[SecretRequest],
    maps: &IdMaps,
    mounts: &mut Vec<Mount>,
) -> Result<Placed> {
    let Placed { mut variables, mut given } = Placed::default();
    for request in requests {
        let secret = secrets::find(dirs, &request.name)?;
        let mut give = |uid, gid, mode| {
            given.push(GivenSecret { name: secret.name.clone(), id: secret.id.clone(), uid, gid, mode });
        };
        let (path, uid, gid, mode) = match &request.place {
            SecretPlace::Variable(variable) => {
                give(0, 0, 0);
                variables.push((variable.clone(), secret.name));
                continue;
            }
            SecretPlace::File { path, uid, gid, mode } => (path, *uid, *gid, *mode),
        };
        give(uid, gid, mode);
        let directory = record.join("secrets");
        create_private(&directory)?;
        let copy = directory.join(format!("{}-{}", secret.id, mounts.len()));
        let failed = || format!("cannot give the container the secret {}", secret.name);
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&copy)
            .and_then(|mut file| file.write_all(&secrets::data(dirs, &secret).map_err(std::io::Error::other)?))
            .context(failed)?;
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if (maps.host_uid(uid), maps.host_gid(gid)) == (Some(own.0), Some(own.1)) {
            std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(mode)).context(failed)?;
        } else {
            enter::run(maps, || {
                owner::give(&copy, uid, gid)
                    .and_then(|()| std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(mode)))
                    .context(failed)
            })?;
        }
        let options = ["bind", "rprivate", "ro", "nosuid", "nodev", "noexec"].map(str::to_owned).to_vec();
        mounts.push(Mount { destination: path.clone(), kind: "bind".to_owned(), source: copy, options });
    }
    Ok(Placed { variables, given })
}

/// The plan with the secrets that are variables.
pub(super) fn at_start<'s>(dirs: &Dirs, variables: &[(String, String)], spec: Cow<'s, Spec>) -> Result<Cow<'s, Spec>> {
    if variables.is_empty() {
        return Ok(spec);
    }
    let mut spec = spec.into_owned();
    if let Some(process) = spec.process_mut() {
        let mut env = process.env().clone().unwrap_or_default();
        for (variable, name) in variables {
            let data = secrets::data(dirs, &secrets::find(dirs, name)?)?;
            env.retain(|known| known.split('=').next() != Some(variable));
            env.push(format!("{variable}={}", String::from_utf8_lossy(&data)));
        }
        process.set_env(Some(env));
    }
    Ok(Cow::Owned(spec))
}
