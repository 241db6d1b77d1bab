//! certs.d: certificates per registry (containers-certs.d(5)).
//!
//! In `<dir>/<host[:port]>/`: `*.crt` are authorities to trust beside the system's, `*.cert` with `*.key` of the same name a client
//! certificate to show. Directories: `--cert-dir` (used as it is), `~/.config/containers/certs.d`, `/etc/containers/certs.d`,
//! `/etc/docker/certs.d`; the first that has one for the registry counts.

use std::path::{Path, PathBuf};

use reqwest::{Certificate, Identity};

use crate::config::registries::user_dir;
use crate::error::{Context, Error, Result};

#[derive(Debug, Default)]
pub(super) struct Trust {
    pub authorities: Vec<Certificate>,
    pub identity: Option<Identity>,
}

impl Trust {
    /// What is configured for `host` (with its port, as in the image's name).
    pub(super) fn for_host(host: &str, cert_dir: Option<&Path>) -> Result<Self> {
        if let Some(dir) = cert_dir {
            return Self::read(dir);
        }
        let bases = user_dir()
            .map(|dir| dir.join("certs.d"))
            .into_iter()
            .chain(["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from));
        match bases.map(|base| base.join(host)).find(|dir| dir.is_dir()) {
            Some(dir) => Self::read(&dir),
            None => Ok(Self::default()),
        }
    }

    fn read(dir: &Path) -> Result<Self> {
        let mut trust = Self::default();
        let entries =
            std::fs::read_dir(dir).context(|| format!("cannot read the certificates in {}", dir.display()))?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        for path in files {
            match path.extension().and_then(|e| e.to_str()) {
                Some("crt") => {
                    let pem = read(&path)?;
                    let found = Certificate::from_pem_bundle(&pem)
                        .context(|| format!("{} holds no PEM certificate", path.display()))?;
                    if found.is_empty() {
                        return Err(Error::new(format!("{} holds no PEM certificate", path.display())));
                    }
                    trust.authorities.extend(found);
                }
                Some("cert") => {
                    let mut pem = read(&path)?;
                    let key = path.with_extension("key");
                    if !key.exists() {
                        return Err(Error::new(format!("{} has no key {} beside it", path.display(), key.display())));
                    }
                    pem.push(b'\n');
                    pem.extend(read(&key)?);
                    let identity = Identity::from_pem(&pem)
                        .context(|| format!("{} and its key are no PEM client certificate", path.display()))?;
                    trust.identity.get_or_insert(identity);
                }
                _ => {}
            }
        }
        Ok(trust)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).context(|| format!("cannot read {}", path.display()))
}
