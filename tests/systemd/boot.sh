#!/usr/bin/env bash
# boot.sh [--bind FROM:TO]... [--keep FROM:TO]... COMMAND [ARG...]
#
# Runs COMMAND beside a real systemd that is PID 1 of namespaces of its own (network too), over a
# throw-away overlay of this machine's root, called cn001. The machine's own units stay off, nothing
# that is written lasts, except below what --keep mounts; what --bind mounts is read-only. After
# COMMAND the machine is shut down in an orderly way.
# Exit status: COMMAND's, or 97 when this machine cannot boot one so.
set -euo pipefail
BOOT_S=${BOOT_S:-60} RUN_S=${RUN_S:-240} DOWN_S=${DOWN_S:-30}
give_up() { echo "boot.sh: $*" >&2; exit 97; }
mounts=()
while [[ ${1:-} == --bind || ${1:-} == --keep ]]; do mounts+=("$1" "${2%%:*}" "${2#*:}"); shift 2; done
[[ $EUID == 0 ]] || give_up "root is needed"
[[ -x /lib/systemd/systemd ]] || give_up "Debian's package systemd is not installed"
for tree in /sys/fs/cgroup /sys/fs/cgroup/unified; do
  [[ $(stat -fc %T "$tree" 2>/dev/null) == cgroup2fs ]] && groups=$tree/hpcsched-boot-$$ && break
done
[[ -n ${groups:-} ]] || give_up "no cgroup2 tree is mounted"

scratch=$(mktemp -d) outside='' init=''
is_up() { [[ -n $init && -d /proc/$init ]]; }
wait_down() { for _ in $(seq "$1"); do is_up || return 0; sleep 0.1; done; }
tidy() {
  if is_up; then kill -s SIGRTMIN+14 "$init" 2>/dev/null || true; wait_down 50; fi
  [[ -n $outside ]] && { kill -9 "$outside" 2>/dev/null || true; wait "$outside" 2>/dev/null || true; }
  find "$groups" -depth -type d -exec rmdir {} + 2>/dev/null || true
  umount -R -l "$scratch/tmp" 2>/dev/null || true
  rmdir "$scratch/tmp" "$scratch" 2>/dev/null || true
}
trap tidy EXIT
mkdir "$scratch/tmp" && mount -t tmpfs none "$scratch/tmp" || give_up "no tmpfs can be mounted"
mkdir "$scratch/tmp"/{upper,work,root}
mkdir "$groups" || give_up "no cgroup can be made"
root=$scratch/tmp/root
mount -t overlay none -o "lowerdir=/,upperdir=$scratch/tmp/upper,workdir=$scratch/tmp/work" "$root" \
  || give_up "no overlay can be mounted"
rm -rf "$root"/etc/systemd/system/*.{wants,requires}
for unit in getty.target console-getty.service systemd-{resolved,networkd,timesyncd,udevd,udev-trigger,modules-load,sysctl}.service; do
  ln -sfn /dev/null "$root/etc/systemd/system/$unit"
done
rm -f "$root"/etc/{hostname,hosts}
echo cn001 >"$root/etc/hostname"
echo '127.0.0.1 localhost cn001 head01' >"$root/etc/hosts"

start='
set -e
root=$1 groups=$2; shift 2
mount --make-rprivate /
mount -t proc none "$root/proc"; mount -t sysfs none "$root/sys"
for part in run tmp dev; do mount -t tmpfs none "$root/$part"; done
chmod 1777 "$root/tmp"
mkdir "$root/dev/pts" "$root/dev/shm"
for name in null zero full random urandom tty; do cp -a "/dev/$name" "$root/dev/$name"; done
ln -s /proc/self/fd "$root/dev/fd"; ln -s fd/0 "$root/dev/stdin"; ln -s fd/1 "$root/dev/stdout"; ln -s fd/2 "$root/dev/stderr"
mount -t devpts none "$root/dev/pts" -o newinstance,ptmxmode=0666; ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs none "$root/dev/shm"
while [ $# -gt 0 ]; do
  mkdir -p "$root$3"; mount --bind "$2" "$root$3"
  [ "$1" = --keep ] || mount -o remount,bind,ro "$root$3"
  shift 3
done
echo 0 > "$groups/cgroup.procs"
# pivot_root and not chroot: units with PrivateUsers need a root that is no chroot
cd "$root" && mkdir -p .outside && pivot_root . .outside && umount -l .outside
exec unshare --cgroup sh -c "mount -t cgroup2 none /sys/fs/cgroup && exec env -i container=hpcsched-test \
  PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=no"
'
setsid unshare --mount --pid --net --ipc --uts --fork --kill-child \
  bash -c "$start" start "$root" "$groups" "${mounts[@]}" </dev/null >"$scratch/tmp/log" 2>&1 &
outside=$!
inside() {
  nsenter -t "$init" -m -p -n -i -u -C -r -w env -i container=hpcsched-test CI="${CI:-}" \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
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
export -f inside; export init
timeout --foreground -k 10 "$RUN_S" bash -c 'inside "$@"' run "$@" || status=$?
kill -s SIGRTMIN+4 "$init" 2>/dev/null || true # systemd: go to poweroff.target
wait_down $((DOWN_S * 10))
exit "$status"
