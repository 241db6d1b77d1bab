//! systemd, where it runs: the user's service manager and logind, over D-Bus.
//!
//! ```text
//! dbus     one method call and its answer
//! manager  transient scopes (org.freedesktop.systemd1(5))
//! login    what becomes of processes when their user logs out (org.freedesktop.login1(5))
//! ```

mod dbus;
pub(crate) mod login;
pub(crate) mod manager;
