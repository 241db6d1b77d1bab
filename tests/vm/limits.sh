#!/bin/bash
# Limits and logins in a guest with cgroup v2 and systemd --user. As root; alice lingers, bob does not. The trial
# vm::limits runs it where RPOD_VM names a program that boots such a guest: RPOD_VM -r -s DIR tests/vm/limits.sh,
# with DIR at /host: rpod, busybox.tar (docker-archive of busybox:latest). One line per case: ok NAME, or not ok NAME.
set -u
fails=0
install -m 755 /host/rpod /usr/local/bin/rpod
as() { su -l "$1" -c "export N='--rm --network none' I=busybox:latest; $2"; }

# case NAME EXPECTED USER SCRIPT: what the script prints, its lines joined by blanks.
case_() {
  local got
  got=$(as "$3" "$4" 2>&1 | tr '\n' ' ' | sed 's/ *$//')
  # shellcheck disable=SC2053
  if [[ $got == $2 ]]; then echo "ok $1"; else echo "not ok $1"; echo "  expected: $2"; echo "  got:      $got"; fails=1; fi
}
show='cd /sys/fs/cgroup; cat'

as alice 'rpod load -qi /host/busybox.tar' >/dev/null 2>&1
as bob 'rpod load -qi /host/busybox.tar' >/dev/null 2>&1

case_ session '67108864 67108864 50000 100000 33 0::/' alice \
  "rpod run \$N --memory 64m --cpus 0.5 --pids-limit 33 \$I sh -c '$show memory.max memory.swap.max cpu.max pids.max; cat /proc/self/cgroup'"
case_ values '67108864 1048576 max 79 0-1 33554432 25000 50000' alice \
  "rpod run \$N --memory 64m --memory-reservation 1m --memory-swap -1 --cpu-shares 2048 --cpuset-cpus 0-1 --cgroup-conf memory.high=33554432 \
   --cpu-quota 25000 --cpu-period 50000 \$I sh -c '$show memory.max memory.low memory.swap.max cpu.weight cpuset.cpus memory.high cpu.max'"
case_ block-io '*rbps=1048576 wbps=max riops=max wiops=20*' alice \
  "rpod run \$N --device-read-bps /dev/nvme0n1:1mb --device-write-iops /dev/nvme0n1:20 --blkio-weight 500 \$I sh -c '$show io.max'"
case_ no-such-setting '*memory-swappiness is not in effect*oom-kill-disable is not in effect*' alice \
  "rpod run \$N --memory-swappiness 5 --oom-kill-disable \$I true"
case_ oom '137 true' alice \
  "rpod run --name oom --network none --memory 16m --memory-swap 16m \$I sh -c 'tail -c 200m /dev/zero' >/dev/null 2>&1; echo \$?
   rpod inspect --format '{{.State.OOMKilled}}' oom; rpod rm oom >/dev/null"
case_ scope 'active user.slice 3 yes 0' alice \
  "id=\$(rpod run -d --name s --network none --memory 64m \$I sleep 1000)
   systemctl --user is-active rpod-\$id.scope; systemctl --user show -P Slice rpod-\$id.scope
   pid=\$(rpod inspect --format '{{.State.Pid}}' s); rpod exec s sh -c 'sleep 100 & sleep 0.1; cat /sys/fs/cgroup/cgroup.procs' | wc -l
   grep -q 'user.slice/rpod-.*scope/container' /proc/\$pid/cgroup && echo yes
   rpod rm -f -t 0 s >/dev/null; for i in \$(seq 50); do systemctl --user is-active -q rpod-\$id.scope || break; sleep 0.1; done
   systemctl --user list-units --all --no-legend 'rpod-*' | wc -l"
case_ monitor-killed '0 0' alice \
  "id=\$(rpod run -d --name k --network none --memory 64m \$I sleep 1000); kill -9 \$(pgrep -u alice rpod-monitor)
   for i in \$(seq 50); do systemctl --user is-active -q rpod-\$id.scope || break; sleep 0.1; done
   systemctl --user list-units --all --no-legend 'rpod-*' | wc -l; find /sys/fs/cgroup -name 'rpod-*' | wc -l; rpod rm -f k >/dev/null"
case_ update '134217728 134217728 25000 100000 44' alice \
  "rpod run -d --name u --network none --memory 64m \$I sleep 1000 >/dev/null; rpod update --memory 128m --cpus 0.25 --pids-limit 44 u >/dev/null
   rpod exec u sh -c '$show memory.max memory.swap.max cpu.max pids.max'; rpod rm -f -t 0 u >/dev/null"
case_ update-next-start 'Warning: the limits take effect when the container is started again: it has no cgroup of its own 67108864' alice \
  "rpod run -d --name v --network none \$I sleep 1000 >/dev/null; rpod update --memory 64m v 2>&1 >/dev/null
   rpod restart -t 0 v >/dev/null; rpod exec v cat /sys/fs/cgroup/memory.max; rpod rm -f -t 0 v >/dev/null"
case_ restart-policy '67108864 67108864' alice \
  "rpod run -d --name r --network none --memory 64m --restart on-failure:1 \$I sh -c '$show memory.max; exit 1' >/dev/null
   rpod wait r >/dev/null; sleep 1; rpod wait r >/dev/null; rpod logs r; rpod rm -f r >/dev/null"
case_ delegated '67108864 0' alice \
  "systemd-run --user --scope -q -p Delegate=yes rpod run \$N --memory 64m \$I sh -c '$show memory.max'; find /sys/fs/cgroup -name 'rpod-*' | wc -l"
case_ split '67108864 yes' alice \
  "systemd-run --user --scope -q --unit mine -p Delegate=yes rpod run -d --name sp --cgroups=split --network none --memory 64m \$I sleep 1000 >/dev/null
   rpod exec sp cat /sys/fs/cgroup/memory.max; grep -q mine.scope/container /proc/\$(rpod inspect --format '{{.State.Pid}}' sp)/cgroup && echo yes
   rpod rm -f -t 0 sp >/dev/null"
case_ unit-stopped 'inactive exited' alice \
  "systemd-run --user --scope -q --unit mine2 -p Delegate=yes rpod run -d --init --name us --cgroups=split --network none \$I sleep 1000 >/dev/null
   systemctl --user stop mine2.scope; systemctl --user is-active mine2.scope; rpod inspect --format '{{.State.Status}}' us; rpod rm -f us >/dev/null"
case_ parent-slice 'yes' alice \
  "rpod run -d --name p --network none --cgroup-parent mine.slice \$I sleep 1000 >/dev/null
   grep -q 'mine.slice/rpod-.*/container' /proc/\$(rpod inspect --format '{{.State.Pid}}' p)/cgroup && echo yes; rpod rm -f -t 0 p >/dev/null"
case_ parent-refused 'Error:*no cgroup that this user may use*' alice "rpod run \$N --cgroup-parent /system.slice \$I true"
case_ enabled 'yes' alice \
  "rpod run -d --name e --network none --cgroups enabled \$I sleep 1000 >/dev/null
   grep -q 'rpod-.*/container' /proc/\$(rpod inspect --format '{{.State.Pid}}' e)/cgroup && echo yes; rpod rm -f -t 0 e >/dev/null"
case_ disabled 'Error:*leaves no cgroup to limit*' alice "rpod run \$N --cgroups disabled --memory 64m \$I true"
case_ no-session-variables '67108864' alice \
  "unset XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS; rpod run \$N --memory 64m \$I sh -c '$show memory.max'"
case_ exec-is-limited '16777216 137' alice \
  "rpod run -d --name x --network none --memory 16m --memory-swap 16m \$I sleep 1000 >/dev/null; rpod exec x cat /sys/fs/cgroup/memory.max
   rpod exec x sh -c 'tail -c 200m /dev/zero' >/dev/null 2>&1; echo \$?; rpod rm -f -t 0 x >/dev/null"

# A step of a build. Numbers alone are its own output; the end of the image's id is none.
build='rpod build --network none --no-cache'
case_ build '67108864 33554432 50000 100000 20 0 0' alice \
  "printf 'FROM busybox\nRUN $show memory.max memory.swap.max cpu.max cpu.weight cpuset.cpus\n' |
   $build --memory 64m --memory-swap 96m --cpu-quota 50000 --cpu-period 100000 --cpu-shares 512 --cpuset-cpus 0 - | grep -x '[0-9 ]\{1,20\}'
   find /sys/fs/cgroup -name 'rpod-*' | wc -l"
case_ build-oom '137' alice \
  "printf 'FROM busybox\nRUN tail -c 200m /dev/zero\n' | $build -q --memory 16m --memory-swap 16m - >/dev/null 2>&1; echo \$?"

# Logging out. bob does not linger; Debian's logind spares processes unless it is told otherwise.
started='rpod run -d --network none --name'
case_ survives-logout '*' bob "$started l1 \$I sleep 1000"
sleep 2
case_ survived-logout 'running' bob "rpod inspect --format '{{.State.Status}}' l1; rpod rm -f -t 0 l1 >/dev/null"
case_ spared-no-warning '64' bob "$started l2 \$I sleep 1000 2>&1 | tr -d '\n' | wc -c; rpod rm -f -t 0 l2 >/dev/null"
case_ manager-warns '*ends with your last login session*enable-linger*' bob \
  "$started l3 --memory 64m \$I sleep 1000; rpod rm -f -t 0 l3 >/dev/null"
case_ warned-once '64' bob "$started l4 --memory 64m \$I sleep 1000 2>&1 | tr -d '\n' | wc -c; rpod rm -f -t 0 l4 >/dev/null"
mkdir -p /etc/systemd/logind.conf.d
printf '[Login]\nKillUserProcesses=yes\n' >/etc/systemd/logind.conf.d/kill.conf
systemctl restart systemd-logind
case_ session-warns '*ends when you log out*KillUserProcesses*' bob "rm -f ~/.local/state/rpod/hosts/*/logout-told; $started l5 --stop-timeout 2 \$I sleep 1000"
sleep 3
case_ was-killed exited bob "for i in \$(seq 60); do rpod inspect --format '{{.State.Status}}' l5 | grep -q exited && break; sleep 0.5; done; rpod inspect --format '{{.State.Status}}' l5; rpod rm -f l5 >/dev/null"
case_ lingering-is-quiet '64' alice "$started l6 --memory 64m \$I sleep 1000 2>&1 | tr -d '\n' | wc -c"
case_ lingering-stays 'running' alice "rpod inspect --format '{{.State.Status}}' l6; rpod rm -f -t 0 l6 >/dev/null"
case_ no-home 'ok' bob "unset HOME XDG_RUNTIME_DIR; RPOD_ROOT=/tmp/bob/root RPOD_STATE=/tmp/bob/state rpod load -qi /host/busybox.tar >/dev/null && RPOD_ROOT=/tmp/bob/root RPOD_STATE=/tmp/bob/state rpod run \$N \$I echo ok"
cat >/tmp/cron.sh <<'END'
#!/bin/sh
rpod run --rm --network none busybox:latest echo from-cron
END
chmod 755 /tmp/cron.sh
# As cron does it: no login, no session, hardly an environment.
got=$(cd / && setpriv --reuid bob --regid bob --init-groups env -i HOME=/home/bob PATH=/usr/local/bin:/usr/bin:/bin /tmp/cron.sh 2>&1)
if [ "$got" = from-cron ]; then echo 'ok cron'; else echo "not ok cron"; echo "  got: $got"; fails=1; fi

case_ left-nothing '0 0' alice "systemctl --user list-units --all --no-legend 'rpod-*' | wc -l; find /sys/fs/cgroup -name 'rpod-*' | wc -l"
exit $fails
