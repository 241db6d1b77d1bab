//! Every unsafe block and raw system call. One file per kernel topic; each call is a thin, safe function
//! whose documentation names the man page. Nothing here knows what a container is.
#![allow(unsafe_code)]

pub(crate) mod process;
pub(crate) mod signal;
pub(crate) mod tty;
