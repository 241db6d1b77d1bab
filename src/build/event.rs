//! What a build tells while it runs, and how it gets from the process of a stage to the one that shows it.
//!
//! Frames on a pipe: length (4 bytes), kind (1 byte), payload. Output is carried as it is, the rest as JSON.

use std::io::Write;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::state::State;
use crate::error::{Context, Error, Result};
use crate::userns::enter::Failure;

/// Something happened in a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// A step begins; steps count from 1 and the FROM is one.
    Begin {
        step: usize,
        total: usize,
        text: String,
    },
    /// It was done before.
    Cached {
        id: String,
    },
    /// It is done. `id` tells what there is now: the beginning of the cache key.
    Done {
        id: String,
        milliseconds: u64,
    },
    Warning {
        text: String,
    },
}

/// What a build reports to whoever shows it.
pub(crate) trait Reporter {
    /// The stages that will be built, in the order of the file: number and name.
    fn stages(&mut self, stages: &[(usize, Option<String>)]);
    fn event(&mut self, stage: usize, event: Event);
    /// What a program writes.
    fn output(&mut self, stage: usize, stderr: bool, bytes: &[u8]);
    /// Called before something is waited for; answers after which time it is to be called again.
    fn tick(&mut self) -> Option<Duration> {
        None
    }
    /// The terminal has another size now.
    fn resized(&mut self) {}
    /// It is this stage that makes the build fail.
    fn failed(&mut self, _stage: usize) {}
    /// The image is being put together under these names.
    fn commit(&mut self, names: &[String]);
}

/// How a stage ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Done(Box<State>),
    Failed(StageFailure),
}

/// Why a stage could not be built.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StageFailure {
    pub error: Failure,
    /// First and last line of the instruction.
    pub lines: Option<(usize, usize)>,
    /// Of the program that failed.
    pub code: Option<u8>,
}

const EVENT: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const OUTCOME: u8 = 3;

/// The stage's end of the pipe.
pub(crate) struct Sender(std::fs::File);

impl Sender {
    pub(crate) fn new(pipe: std::os::fd::OwnedFd) -> Self {
        Self(pipe.into())
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> Result<()> {
        let length = u32::try_from(payload.len()).context(|| "a message is too long")?;
        let mut frame = Vec::with_capacity(payload.len() + 5);
        frame.extend_from_slice(&length.to_le_bytes());
        frame.push(kind);
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).context(|| "the process that shows the build has gone")
    }

    pub(crate) fn event(&mut self, event: &Event) -> Result<()> {
        self.frame(EVENT, &serde_json::to_vec(event).context(|| "cannot encode an event")?)
    }

    pub(crate) fn output(&mut self, stderr: bool, bytes: &[u8]) -> Result<()> {
        self.frame(if stderr { STDERR } else { STDOUT }, bytes)
    }

    pub(crate) fn outcome(&mut self, outcome: &Outcome) -> Result<()> {
        self.frame(OUTCOME, &serde_json::to_vec(outcome).context(|| "cannot encode a stage's result")?)
    }
}

/// Bytes from a stage, cut into frames.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    bytes: Vec<u8>,
    pub outcome: Option<Outcome>,
}

impl Receiver {
    /// Takes in what was read and reports what is complete.
    pub(crate) fn take(&mut self, read: &[u8], stage: usize, reporter: &mut dyn Reporter) -> Result<()> {
        self.bytes.extend_from_slice(read);
        let mut at = 0;
        while let Some(head) = self.bytes.get(at..at + 5) {
            let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let kind = head[4];
            let Some(payload) = self.bytes.get(at + 5..at + 5 + length) else { break };
            match kind {
                EVENT => reporter.event(stage, decode(payload)?),
                STDOUT | STDERR => reporter.output(stage, kind == STDERR, payload),
                OUTCOME => self.outcome = Some(decode(payload)?),
                _ => return Err(Error::new("a stage's process sent something unknown")),
            }
            at += 5 + length;
        }
        self.bytes.drain(..at);
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T> {
    serde_json::from_slice(payload).context(|| "cannot understand a stage's process")
}
