//! A container that is made but not started (`init`): its first process waits, and a client lets it go.

use std::os::fd::AsFd;
use std::time::Instant;

use jiff::Timestamp;

use super::life::note;
use super::notify::Notifier;
use super::protocol::{Event, Failure};
use super::serve::Serving;
use super::state::Status;
use crate::error::Result;
use crate::sys::signal;

impl Serving<'_> {
    /// A client wants the program to run. It hears `Started`, or `Error` when everything else that there is to do is done.
    pub(super) fn go(&mut self, index: usize) {
        let result = self.let_go();
        let client = &mut self.clients[index];
        let answer = match &result {
            Ok(warnings) => {
                for warning in warnings {
                    client.gone |= client.send_event(&Event::Warning(warning.as_bytes())).is_err();
                }
                client.send_event(&Event::Started)
            }
            Err(error) => {
                let mut packet = Vec::new();
                Event::Error(&Failure::encode(error)).encode(&mut packet);
                client.last = Some(packet);
                Ok(())
            }
        };
        client.gone |= answer.is_err();
    }

    fn let_go(&mut self) -> Result<Vec<String>> {
        let Some(mut created) = self.program.held.take() else {
            // Somebody was faster.
            return Ok(Vec::new());
        };
        if let Err(error) = created.start() {
            // The process has ended: the loop finds it so.
            self.state.exit_code = error.kind().exit_code();
            self.state.error = error.to_string();
            self.halted = true;
            return Err(error);
        }
        self.state.status = Status::Running;
        self.state.started_at = Some(Timestamp::now());
        if let Err(error) = self.state.store(&self.place.record) {
            // As a start that cannot be written down.
            let _ = signal::send(self.program.pidfd.as_fd(), libc::SIGKILL);
            self.halted = true;
            return Err(error);
        }
        self.deadline = self.timeout.map(|time| Instant::now() + time);
        self.clock = self.subject.clock(&self.terms);
        self.notifier.iter().for_each(Notifier::started);
        note(self.subject.events, &self.terms.named, &[("start", None)]);
        Ok(std::mem::take(&mut created.warnings))
    }
}
