//! Whose ids are in the container: the whole subordinate range, one id, root's own.

use crate::support::{Trial, User, for_each_user, rpod, trial};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("userns::full_map", User::Sub, |t| {
            let image = t.busybox()?;
            let map = rpod!(t, "run", "--rm", image, "cat", "/proc/self/uid_map").run().ok().to_owned();
            let rows: Vec<Vec<u64>> =
                map.lines().map(|line| line.split_whitespace().map(|n| n.parse().unwrap()).collect()).collect();
            assert_eq!(rows[0], [0, u64::from(t.uid()), 1], "{map}");
            assert!(rows[1][0] == 1 && rows[1][2] >= 65536, "{map}");
            Ok(())
        }),
        trial("userns::single_id_map_says_so_once", User::NoSub, |t| {
            let image = t.busybox()?;
            let out = rpod!(t, "run", "--rm", image, "sh", "-c", "cat /proc/self/uid_map | tr -s ' '; id -u").run();
            out.lines_are(&[&format!(" 0 {} 1", t.uid()), "0"]);
            Ok(())
        }),
        trial("userns::setgroups_and_chown", User::Sub, |t| {
            let image = t.busybox()?;
            let script = "touch /f && chown 1000:44 /f && stat -c %u:%g /f";
            rpod!(t, "run", "--rm", image, "sh", "-c", script).run().lines_are(&["1000:44"]);
            Ok(())
        }),
        trial("userns::containers_are_apart", User::Sub, |t| {
            // A process in one container cannot see or signal another's.
            let image = t.busybox()?;
            rpod!(t, "run", "-d", "--name", "a", image, "sleep", "1000").run().ok();
            let out = rpod!(t, "run", "--rm", image, "sh", "-c", "ps -o args | grep -c '^sleep 1000'; true").run();
            assert_eq!(out.ok(), "0");
            Ok(())
        }),
    ];
    trials.extend(for_each_user("userns::unshare", |t| {
        let out = rpod!(t, "unshare", "id", "-u").run();
        assert_eq!(out.ok(), "0");
        rpod!(t, "unshare", "sh", "-c", "exit 9").run().code(9);
        rpod!(t, "unshare", "nosuchprogram").run().code(127);
        let map = rpod!(t, "unshare", "cat", "/proc/self/uid_map").run();
        assert_eq!(map.ok().lines().count() > 1, t.user() == User::Sub, "{map}");
        Ok(())
    }));
    trials
}
