//! The user's service manager, `systemd --user`.

use std::io::Error;
use std::path::PathBuf;

use super::dbus::{Body, Call, Connection, Value};

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";

/// Has the process `pid` moved into the new scope `unit` below `slice`, whose cgroup is delegated to the user. It may
/// be there a moment later only.
pub(crate) fn start_scope(unit: &str, slice: &str, pid: u32) -> Result<(), Error> {
    let mut body = Body::default();
    body.text(unit);
    body.text("fail");
    body.properties(&[
        ("Description", Value::Text(format!("rpod container {}", unit.trim_end_matches(".scope")))),
        ("PIDs", Value::Numbers(vec![pid])),
        ("Delegate", Value::Flag(true)),
        ("Slice", Value::Text(slice.to_owned())),
        ("CollectMode", Value::Text("inactive-or-failed".to_owned())),
    ]);
    body.nothing();
    call(true, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)
}

/// Has the process `pid` moved into a cgroup below that of `unit`, which is delegated.
pub(crate) fn attach(unit: &str, below: &str, pid: u32) -> Result<(), Error> {
    let mut body = Body::default();
    body.text(unit);
    body.text(below);
    body.numbers(&[pid]);
    // On its own socket systemd 257 does not always answer this one.
    call(false, "AttachProcessesToUnit", "ssau", body)
}

/// On the manager's own socket, which is there without a bus as well, or over the user's bus: the other one if the first
/// cannot be connected to.
fn call(direct_first: bool, member: &str, signature: &str, body: Body) -> Result<(), Error> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    // su and cron set nothing, although the user may have a session: this is where logind would have put it.
    let runtime = runtime.unwrap_or_else(|| format!("/run/user/{}", rustix::process::geteuid().as_raw()).into());
    let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    let path = |one: &str| one.strip_prefix("unix:path=")?.split(',').next().map(PathBuf::from);
    let bus = address.split(';').find_map(path).unwrap_or_else(|| runtime.join("bus"));
    let direct = || Connection::open(&runtime.join("systemd/private")).map(|connection| (connection, None));
    let over_bus = || Connection::to_bus(&bus).map(|connection| (connection, Some(NAME)));
    let (mut connection, destination) =
        if direct_first { direct().or_else(|_| over_bus()) } else { over_bus().or_else(|_| direct()) }?;
    connection.call(&Call { destination, path: PATH, interface: INTERFACE, member, signature, body }).map(drop)
}
