#!/bin/bash
# An overlay network between two guests joined by a cable, and ipvlan where the kernel has it. As root in both: $ME is 1 or 2, the
# guests have 198.18.0.1 and 198.18.0.2. The trial vm::overlay runs it where RPOD_VM names a program that boots such guests:
# RPOD_VM -r -s DIR -n CABLE,$ME,198.18.0.$ME/24 -e ME=$ME tests/vm/overlay.sh, with DIR at /host: rpod, busybox.tar.
# The second guest only does what the first one asks for, over the cable. One line per case: ok NAME, or not ok NAME.
set -u
install -m 755 /host/rpod /usr/local/bin/rpod
ip link set dev lo up
as() { su -l alice -c "export I=busybox:latest; $1" 2>&1; }
as 'rpod load -qi /host/busybox.tar' >/dev/null
far=198.18.0.$((3 - ME))

if [ "$ME" = 2 ]; then
  # Each connection is one line of shell; its output is the answer.
  cat >/usr/local/bin/answer <<'END'
#!/bin/bash
read -r line
su -l alice -c "export I=busybox:latest; $line" 2>&1
[ "$line" != poweroff ] || kill "$(cat /run/answers.pid)"
END
  chmod 755 /usr/local/bin/answer
  socat -t 300 TCP-LISTEN:9,reuseaddr,fork EXEC:/usr/local/bin/answer &
  echo $! >/run/answers.pid
  wait
  exit 0
fi

fails=0
there() { printf '%s\n' "$1" | socat -t 300 - "TCP:$far:9"; }
# case NAME EXPECTED SCRIPT: what the script prints, its lines joined by blanks.
case_() {
  local got
  got=$(eval "$3" 2>&1 | tr '\n' ' ' | sed 's/ *$//')
  # shellcheck disable=SC2053
  if [[ $got == $2 ]]; then echo "ok $1"; else echo "not ok $1"; echo "  expected: $2"; echo "  got:      $got"; fails=1; fi
}
# Until a command says that; emulated machines are slow.
until_() { for _ in $(seq 120); do [ "$(eval "$2" 2>&1)" = "$1" ] && echo "$1" && return; sleep 0.5; done; eval "$2"; }
serve='rpod exec -d NAME busybox nc -ll -p 700 -e echo'
whole() {
  as "rpod exec a sh -c 'sum=\$(md5sum </sent); got=\$(nc -w 20 b 701 </sent); [ \"\$sum\" = \"\$got\" ] && echo same'"
}
hear() { echo "as 'rpod exec a busybox nc -w 3 $1 700 </dev/null'"; }

until_ hello "there 'echo hello'" >/dev/null
as "head -c 32 /dev/urandom | base64 -w0 >key; chmod 600 key"
there "printf %s $(cat /home/alice/key) >key; chmod 600 key" >/dev/null

for kind in plain sealed; do
  sealed=; [ $kind = plain ] || sealed='-o key-file=/home/alice/key'
  create="rpod network create -d overlay -o peer=198.18.0.1 -o peer=198.18.0.2 $sealed o"
  case_ $kind-made 'o o' "as '$create'; there '$create'"
  as "rpod run -d --name a --network o \$I sleep 1000; ${serve/NAME/a} from-a" >/dev/null
  there "rpod run -d --name b --network o \$I sleep 1000; ${serve/NAME/b} from-b" >/dev/null
  case_ $kind-by-name from-b "until_ from-b \"$(hear b)\""
  case_ $kind-back from-a "until_ from-a \"there 'rpod exec b busybox nc -w 3 a 700 </dev/null'\""
  case_ $kind-addresses-differ 2 "{ as \"rpod inspect -f {{.NetworkSettings.Networks.o.IPAddress}} a\"; there 'rpod inspect -f {{.NetworkSettings.Networks.o.IPAddress}} b'; } | sort -u | wc -l"
  as "rpod exec a dd if=/dev/urandom of=/sent bs=64k count=32" >/dev/null
  there "rpod exec -d b busybox nc -l -p 701 -e busybox md5sum" >/dev/null
  case_ $kind-whole same whole
  # The other side is killed: its netkeeper comes back by itself, its monitor with the next command.
  there 'kill -9 $(pgrep -u alice rpod-netkeeper)'
  case_ $kind-netkeeper-killed from-b "until_ from-b \"$(hear b)\""
  there 'kill -9 $(pgrep -u alice rpod-monitor)'
  case_ $kind-container-gone gone "until_ gone \"$(hear b) | grep -q from-b || echo gone\""
  there "until rpod start b; do sleep 0.2; done; ${serve/NAME/b} from-b" >/dev/null
  case_ $kind-container-back from-b "until_ from-b \"$(hear b)\""
  for where in as there; do $where 'rpod rm -fa -t 0; rpod network rm o' >/dev/null; done
done

if modprobe ipvlan 2>/dev/null; then
  as 'rpod network create -d ipvlan i; rpod run -d --name a --network i $I sleep 1000; rpod run -d --name c --network i $I sleep 1000' >/dev/null
  as "${serve/NAME/c} from-c" >/dev/null
  case_ ipvlan-by-name from-c "until_ from-c \"$(hear c)\""
  case_ ipvlan-one-address 1 "for n in a c; do as \"rpod exec \$n cat /sys/class/net/eth0/address\"; done | sort -u | wc -l"
  as 'rpod rm -fa -t 0; rpod network rm i' >/dev/null
else
  echo 'no ipvlan in this kernel'
fi
case_ left-nothing 0 "until_ 0 'pgrep -c -u alice rpod'"
there poweroff >/dev/null
exit $fails
