//! What becomes of a process when its user logs out.

use std::path::Path;

use super::dbus::{Body, Call, Connection};
use crate::userns::user_name;

const BUS: &str = "/run/dbus/system_bus_socket";
const LINGER: &str = "/var/lib/systemd/linger";

/// Why a process ends with a logout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It belongs to a login session, whose processes logind kills (logind.conf(5), KillUserProcesses=).
    Session,
    /// It belongs to the user's service manager, which ends with the user's last session unless the user lingers.
    Manager,
}

/// Whether a process in this cgroup ends with a logout. `None` also where that cannot be found out.
pub(crate) fn ending(cgroup: &str) -> Option<Ending> {
    let uid = rustix::process::geteuid().as_raw();
    let part = |wanted: &dyn Fn(&str) -> bool| cgroup.split('/').any(wanted);
    if part(&|name| name == format!("user@{uid}.service")) {
        let name = user_name(uid)?;
        return (!Path::new(LINGER).join(name).exists()).then_some(Ending::Manager);
    }
    let session = part(&|name| name.starts_with("session-") && name.ends_with(".scope"));
    (session && kills(&user_name(uid)?)?).then_some(Ending::Session)
}

/// Whether logind kills what `user` leaves behind.
fn kills(user: &str) -> Option<bool> {
    let mut connection = Connection::to_bus(Path::new(BUS)).ok()?;
    let mut get = |property: &str| {
        let mut body = Body::default();
        body.text("org.freedesktop.login1.Manager");
        body.text(property);
        let call = Call {
            destination: Some("org.freedesktop.login1"),
            path: "/org/freedesktop/login1",
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            signature: "ss",
            body,
        };
        connection.call(&call).ok()
    };
    if !get("KillUserProcesses")?.flag()? {
        return Some(false);
    }
    let only = get("KillOnlyUsers")?.texts()?;
    let spared = get("KillExcludeUsers")?.texts()?;
    let named = |list: &[String]| list.iter().any(|name| name == user);
    Some(!named(&spared) && (only.is_empty() || named(&only)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sessions_and_managers_end() {
        assert_eq!(ending("/system.slice/cron.service"), None);
        assert_eq!(ending("/"), None);
        assert_eq!(ending("/user.slice/user-1.slice/user@1.service/x.scope"), None, "somebody else's");
    }
}
