//! What every verb is given beside its own arguments.

use std::cell::OnceCell;
use std::path::PathBuf;

use crate::cli::globals::{CgroupManager, Globals};
use crate::error::Result;
use crate::output::ui::Ui;
use crate::runtime::{cgroup, choice};
use crate::state::paths::Dirs;
use crate::storage::{DriverName, Store};

/// The options that stand for every verb, the way to print, and the directories once somebody needs them.
pub(crate) struct Context<'a> {
    pub globals: Globals,
    pub ui: &'a Ui,
    /// What `--runtime` names, unless that is rpod itself.
    pub runtime: Option<PathBuf>,
    driver: Option<DriverName>,
    dirs: OnceCell<Dirs>,
}

impl<'a> Context<'a> {
    /// # Errors
    /// When an option names a runtime or a storage driver that there is not, whether the verb needs it or not.
    pub(crate) fn new(globals: Globals, ui: &'a Ui) -> Result<Self> {
        let runtime = globals.runtime.as_deref().map(choice::choose).transpose()?.flatten();
        let driver = globals.storage_driver.as_deref().map(str::parse).transpose()?;
        Ok(Self { globals, ui, runtime, driver, dirs: OnceCell::new() })
    }

    /// The directories, resolved and made at the first call.
    pub(crate) fn dirs(&self) -> Result<&Dirs> {
        if let Some(dirs) = self.dirs.get() {
            return Ok(dirs);
        }
        let dirs = Dirs::resolve(self.globals.root.as_deref(), self.globals.runroot.as_deref())?;
        dirs.create()?;
        let Dirs { data, host, runtime } = &dirs;
        self.ui.debug(|| format!("data {}, state {}, runtime {}", data.display(), host.display(), runtime.display()));
        Ok(self.dirs.get_or_init(|| dirs))
    }

    /// `--cgroup-manager`.
    pub(crate) fn cgroup_manager(&self) -> Option<cgroup::Manager> {
        self.globals.cgroup_manager.map(|manager| match manager {
            CgroupManager::Cgroupfs => cgroup::Manager::Cgroupfs,
            CgroupManager::Systemd => cgroup::Manager::Systemd,
        })
    }

    /// The store, with the driver that `--storage-driver` names.
    pub(crate) fn store(&self) -> Result<Store> {
        Ok(Store::open(self.dirs()?)?.with_driver(self.driver))
    }
}
