//! Directories outside the checkout, which may be readable by root only: what is made once and kept (images), and
//! what belongs to one run (the copy of the binary, homes).

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use rustix::fs::{FlockOperation, flock};

use super::trial::Stop;
use super::user::is_root;

const RUN_PREFIX: &str = "rpod-t";

/// A number nobody else in this run has.
pub fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Makes `name` in the cache once for all runs: `make` fills a temporary path, which is then renamed.
/// Other processes wait meanwhile. Change the name when the recipe changes.
pub fn cached(name: &str, make: impl FnOnce(&Path) -> Result<(), Stop>) -> Result<PathBuf, Stop> {
    let dir = cache_dir();
    readable_dir(&dir)?;
    let path = dir.join(name);
    if path.exists() {
        return Ok(path);
    }
    let lock = File::create(dir.join(format!("{name}.lock")))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if path.exists() {
        return Ok(path);
    }
    let temporary = dir.join(format!("{name}.part"));
    let _ = std::fs::remove_dir_all(&temporary);
    let _ = std::fs::remove_file(&temporary);
    make(&temporary)?;
    std::fs::rename(&temporary, &path)?;
    Ok(path)
}

fn cache_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("RPOD_TEST_CACHE") {
        return dir.into();
    }
    if is_root() {
        return "/var/cache/rpod-tests".into();
    }
    let home = std::env::var_os("HOME").unwrap_or_else(|| "/var/tmp".into());
    Path::new(&home).join(".cache/rpod-tests")
}

/// The directory of this run; other users can enter it.
pub fn run_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = base().join(format!("{RUN_PREFIX}{}", std::process::id()));
        readable_dir(&dir).unwrap();
        dir
    })
}

/// The binary under test, where every user can execute it.
pub(super) fn binary() -> &'static Path {
    copy_of(Path::new(env!("CARGO_BIN_EXE_rpod")), "rpod")
}

/// A program copied to where every user can execute it, once.
pub(super) fn copy_of(program: &Path, name: &'static str) -> &'static Path {
    static COPIES: Mutex<BTreeMap<&str, &Path>> = Mutex::new(BTreeMap::new());
    let mut copies = COPIES.lock().unwrap();
    copies.entry(name).or_insert_with(|| {
        let copy = run_dir().join(name);
        std::fs::copy(program, &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
        Box::leak(copy.into_boxed_path())
    })
}

fn base() -> PathBuf {
    std::env::var_os("RPOD_TEST_TMP").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
}

/// mkdir -p with 0755 whatever the umask.
pub(super) fn readable_dir(dir: &Path) -> std::io::Result<()> {
    if !dir.is_dir() {
        DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Runs that were killed leave a directory named after a process that is no more.
pub(super) fn remove_stale_runs() {
    for entry in std::fs::read_dir(base()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(RUN_PREFIX)).and_then(|n| n.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

pub(super) fn remove_this_run() {
    if std::env::var_os("RPOD_TEST_KEEP").is_none() {
        let _ = std::fs::remove_dir_all(run_dir());
    }
}
