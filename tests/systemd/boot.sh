#!/usr/bin/env bash
# boot.sh COMMAND [ARG...]: runs COMMAND beside a real systemd that is PID 1 of namespaces of its
# own, over a throw-away overlay of this machine's root. The machine's own units stay off, nothing
# that is written lasts. Exit status: COMMAND's, or 97 when the machine cannot boot one so.
# KEEP names directories, separated by blanks, that are there read-only even if they lie in /tmp.
set -euo pipefail
BOOT_S=${BOOT_S:-60} RUN_S=${RUN_S:-240}
export KEEP=${KEEP:-}
give_up() { echo "boot.sh: $*" >&2; exit 97; }
[[ $EUID == 0 ]] || give_up "root is needed"
[[ -x /lib/systemd/systemd ]] || give_up "Debian's package systemd is not installed"
for tree in /sys/fs/cgroup /sys/fs/cgroup/unified; do
  [[ $(stat -fc %T "$tree" 2>/dev/null) == cgroup2fs ]] && groups=$tree/hpcsched-boot-$$ && break
done
[[ -n ${groups:-} ]] || give_up "no cgroup2 tree is mounted"

scratch=$(mktemp -d) outside='' init=''
tidy() {
  [[ -n $init ]] && { kill -s SIGRTMIN+14 "$init" 2>/dev/null || true; }
  for _ in $(seq 50); do [[ -n $init && -d /proc/$init ]] || break; sleep 0.1; done
  [[ -n $outside ]] && { kill -9 "$outside" 2>/dev/null || true; wait "$outside" 2>/dev/null || true; }
  find "$groups" -depth -type d -exec rmdir {} + 2>/dev/null || true
  umount -R -l "$scratch/tmp" 2>/dev/null || true
  rmdir "$scratch/tmp" "$scratch" 2>/dev/null || true
}
trap tidy EXIT
mkdir "$scratch/tmp" && mount -t tmpfs none "$scratch/tmp" || give_up "no tmpfs can be mounted"
mkdir "$scratch/tmp"/{upper,work,root} "$groups"
root=$scratch/tmp/root
mount -t overlay none -o "lowerdir=/,upperdir=$scratch/tmp/upper,workdir=$scratch/tmp/work" "$root" \
  || give_up "no overlay can be mounted"
rm -rf "$root"/etc/systemd/system/*.{wants,requires}
for unit in getty.target console-getty.service systemd-{resolved,networkd,timesyncd,udevd,udev-trigger,modules-load,sysctl}.service; do
  ln -sfn /dev/null "$root/etc/systemd/system/$unit"
done

start='
set -e
mount --make-rprivate /
mount -t proc none "$1/proc"; mount -t sysfs none "$1/sys"
for part in run tmp dev; do mount -t tmpfs none "$1/$part"; done
mkdir "$1/dev/pts" "$1/dev/shm"
for name in null zero full random urandom tty; do cp -a "/dev/$name" "$1/dev/$name"; done
ln -s /proc/self/fd "$1/dev/fd"; ln -s fd/0 "$1/dev/stdin"; ln -s fd/1 "$1/dev/stdout"; ln -s fd/2 "$1/dev/stderr"
mount -t devpts none "$1/dev/pts" -o newinstance,ptmxmode=0666; ln -s pts/ptmx "$1/dev/ptmx"
mount -t tmpfs none "$1/dev/shm"
echo 0 > "$2/cgroup.procs"
for kept in $KEEP; do
  [[ -e $1$kept ]] && continue
  mkdir -p "$1$kept"; mount --bind "$kept" "$1$kept"; mount -o remount,bind,ro "$1$kept"
done
# pivot_root and not chroot: units with PrivateUsers need a root that is no chroot
cd "$1" && mkdir -p .outside && pivot_root . .outside && umount -l .outside
exec unshare --cgroup sh -c "mount -t cgroup2 none /sys/fs/cgroup && exec env -i container=hpcsched-test \
  PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=no"
'
setsid unshare --mount --pid --ipc --uts --fork --kill-child bash -c "$start" start "$root" "$groups" \
  </dev/null >"$scratch/tmp/log" 2>&1 &
outside=$!
inside() { nsenter -t "$init" -m -p -i -u -C -r -w env -i container=hpcsched-test PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
state=
for _ in $(seq $((BOOT_S * 10))); do
  [[ -d /proc/$outside ]] || { cat "$scratch/tmp/log" >&2; give_up "systemd ended while it booted"; }
  [[ -n $init ]] || init=$(pgrep -P "$outside" || true)
  [[ -n $init ]] && state=$(inside systemctl is-system-running 2>/dev/null || true)
  [[ $state == running || $state == degraded ]] && break
  sleep 0.1
done
[[ $state == running || $state == degraded ]] || { cat "$scratch/tmp/log" >&2; give_up "no boot within $BOOT_S s"; }
status=0
timeout --foreground -k 10 "$RUN_S" nsenter -t "$init" -m -p -i -u -C -r -w \
  env -i container=hpcsched-test CI="${CI:-}" PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" || status=$?
exit "$status"
