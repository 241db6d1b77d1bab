//! A monitor whose runtime directory is not what it was.
//!
//! The last logout takes /run/user/UID away, a cleaner empties /tmp, another shell has chosen another directory: nobody
//! finds the monitor's lock and socket any more, while its container goes on. Whoever notices calls it by a signal, and it
//! makes both anew where the user's processes look now.

use std::time::{Duration, Instant};

use super::place::Place;
use super::serve::Serving;
use super::start::listen;
use crate::error::{Error, Result};
use crate::state::lock::Lock;
use crate::state::runtime;

/// Calls it.
pub(crate) const CALL: i32 = libc::SIGUSR1;

/// How long the lock is tried for: whoever else has it is looking, too.
const BUSY: Duration = Duration::from_millis(500);

impl Serving<'_> {
    /// Makes the lock and the socket again where they are looked for.
    ///
    /// # Errors
    /// When that is not possible; the container goes on.
    pub(super) fn come_home(&mut self) -> Result<()> {
        let hosts = self.place.disk.ancestors().nth(2);
        let place = match hosts.and_then(runtime::remembered) {
            Some(dir) => self.place.moved(&dir),
            None => self.place.clone(),
        };
        // A start of this container that follows makes its files there, too.
        let place: &Place = Box::leak(Box::new(place));
        if !place.locked()? {
            self.lock = Some(lock(place)?);
        }
        if !place.attach_socket().exists() {
            self.listener = Some(listen(place)?);
        }
        self.kept = place.keep();
        self.place = place;
        if let Some(runtime) = place.runtime.ancestors().nth(2) {
            self.program.connection.moved(runtime)?;
        }
        self.state.store(&place.record)
    }
}

fn lock(place: &Place) -> Result<Lock> {
    let begin = Instant::now();
    loop {
        if let Some(lock) = place.try_lock()? {
            return Ok(lock);
        }
        if begin.elapsed() > BUSY {
            return Err(Error::new("another process holds the container's lock"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
