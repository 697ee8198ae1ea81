"""Becoming a task's account, and then its program: one process per start.

It is a copy of the nursery (``bearing.py``), still root, in the task's own session,
cgroup and on its cores. From ``become`` on it has nothing but the account's own rights:
directory, files and program are found, opened and executed as the user, so root follows
no path that a user can change. Source of the order: RELIABILITY, "Dropping to the job
owner".

What fails is written to a file that the spawner keeps open for it, not to a pipe: it is
read when the process has ended, by whichever spawner there is then. The file says that
the start is under way until just before the program is executed, so a process that
dies before has never been the task.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import stat

from node_agent.supervisor import delegating
from node_agent.supervisor.accounts import LOOK_UP_S, AccountError, look_up
from node_agent.supervisor.clock import Clock
from node_agent.supervisor.definition import encoded
from node_agent.supervisor.failure import StartFailedError
from node_agent.supervisor.linux import IGNORED_BY_PYTHON
from node_agent.supervisor.userfiles import (
    OUTPUT_FLAGS,
    find_program,
    open_file,
    same_path,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from node_agent.supervisor.accounts import Account

PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
JOIN_SESSION_KEYRING = 1
KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
EXIT_NOT_STARTED = 126
SMALL_READ = 64
NOBODY_ELSE = "the identity of the process is not what it was set to"

_libc = ctypes.CDLL(None, use_errno=True)


def hide_memory() -> None:
    """Let no process of another account, or of the same, look into this one.

    Until the next exec, or change of identity: then the machine's own rule
    (``fs.suid_dumpable``) takes its place, so it is called again after that.
    """
    if _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "PR_SET_DUMPABLE")


def run_task() -> NoReturn:
    """Become the task that the order names; return never."""
    for descriptor in (delegating.ORDER_FD, delegating.FAILURE_FD):
        os.set_inheritable(descriptor, False)  # noqa: FBT003
    order = json.loads(_read_all(delegating.ORDER_FD))
    os.close(delegating.ORDER_FD)
    what = encoded(order["account"])
    try:
        _note(_refusal("ETIMEDOUT", "the name service did not answer", what))
        account = _account(order)
        _note(delegating.unfinished())
        _prepare(order)
        become(account, new_privileges=order["new_privileges"])
        _execute(order, account)
    except StartFailedError as error:
        _note(error)
    except (OSError, ValueError) as error:
        _note(StartFailedError("start", error, what, is_of_node=True))
    os._exit(EXIT_NOT_STARTED)


def _account(order: dict[str, Any]) -> Account:
    """Return the account; a name service that hangs ends this process by SIGALRM."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LOOK_UP_S)
    try:
        account = look_up(
            order["account"],
            min_uid=order["min_uid"],
            privileged=order["privileged"],
            now=Clock().wall(),
        )
    except AccountError as error:
        what = encoded(order["account"])
        raise _refusal(error.rule, str(error), what) from None
    signal.alarm(0)
    return account


def _refusal(rule: str, text: str, what: bytes) -> StartFailedError:
    failure = StartFailedError("user", ValueError(text), what)
    failure.text = failure.text.replace("EINVAL", rule, 1)
    return failure


def _prepare(order: dict[str, Any]) -> None:
    """Do what only root can, or what must be as it is before a new identity."""
    for number in IGNORED_BY_PYTHON:  # the nursery has reset all others
        signal.signal(number, signal.SIG_DFL)
    adjustment = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    try:
        if int(os.read(adjustment, SMALL_READ)) < 0:  # nothing spares a task
            os.write(adjustment, b"0")
    finally:
        os.close(adjustment)
    soft, hard = order["files"]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    call = KEYCTL.get(os.uname().machine)
    if call is not None:  # none of root's keys; without keyrings there are none
        _libc.syscall(call, JOIN_SESSION_KEYRING, None)


def become(account: Account, *, new_privileges: bool) -> None:
    """Give up being root for good.

    Raises:
        OSError: it was not possible, or not completely.
    """
    for kind in (1, 2):  # private output: its owner may open /dev/stdout again
        if os.fstat(kind).st_uid == 0 and _is_private(kind):
            os.fchown(kind, account.uid, -1)
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    hide_memory()
    _verify(account)
    if not new_privileges and _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "no_new_privs")


def _is_private(descriptor: int) -> bool:
    """Say whether it is a file: the spawner opens no other than the task's own."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _verify(account: Account) -> None:
    ids = (os.getresuid(), os.getresgid(), sorted(os.getgroups()))
    wanted = ((account.uid,) * 3, (account.gid,) * 3, account.groups)
    if ids != wanted or 0 in {account.uid, account.gid}:
        raise OSError(errno.EPERM, NOBODY_ELSE)
    for regain in (os.setuid, os.setgid):
        try:
            regain(0)
        except PermissionError:
            continue
        raise OSError(errno.EPERM, NOBODY_ELSE)
    # Bytes: a codec would be loaded here, from files that the user may not read.
    with open("/proc/self/status", "rb", buffering=0) as file:
        lines = dict(
            line.split(b":", 1) for line in file.read().split(b"\n") if b":" in line
        )
    for name in (b"CapEff", b"CapPrm", b"CapAmb"):
        if int(lines[name], 16):
            raise OSError(errno.EPERM, f"{NOBODY_ELSE}: {name!r}{lines[name]!r}")


def _execute(order: dict[str, Any], account: Account) -> None:
    """Enter the directory, open the files, and become the program: as the user.

    Raises:
        StartFailedError: one of them cannot be.
    """
    environment = {
        b"HOME": encoded(account.home),
        b"USER": encoded(account.name),
        b"LOGNAME": encoded(account.name),
        b"SHELL": encoded(account.shell),
    }
    environment |= {encoded(k): encoded(v) for k, v in order["env"].items()}
    home = environment[b"HOME"] or b"/"
    cwd = os.path.join(home, encoded(order["cwd"]))
    try:
        os.chdir(cwd)
    except (OSError, ValueError) as error:
        raise StartFailedError("cwd", error, cwd) from None
    _redirect(order)
    arguments = [encoded(word) for word in order["argv"]]
    program = arguments[0]
    try:
        path = find_program(program, environment)
        _note(None)  # from here on it is the task
        try:
            os.execve(path, arguments, environment)  # noqa: S606 - without a shell
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # A script without a first line for its interpreter, as in launch.py.
            script = [b"/bin/sh", path, *arguments[1:]]
            os.execve(script[0], script, environment)  # noqa: S606
    except (OSError, ValueError) as error:
        raise StartFailedError("exec", error, program) from None


def _redirect(order: dict[str, Any]) -> None:
    """Put the user's files in the place of the standard streams."""
    paths = [
        None if name is None else encoded(name)
        for name in (order["stdin"], order["stdout"], order["stderr"])
    ]
    opened: list[int] = []
    for target, (code, path) in enumerate(
        zip(("stdin", "stdout", "stderr"), paths, strict=True)
    ):
        if path is None:
            continue
        out = paths[1]
        if code == "stderr" and out is not None and same_path(path, out):
            os.dup2(1, 2)
            continue
        flags = OUTPUT_FLAGS if target else os.O_RDONLY
        os.dup2(open_file(code, path, flags, opened), target)
    for descriptor in opened:
        os.close(descriptor)


def _read_all(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    data = b""
    while len(data) < size:
        data += os.pread(descriptor, size - len(data), len(data))
    return data


def _note(failure: StartFailedError | None) -> None:
    """Write what has failed, or would have if this process died now."""
    os.pwrite(delegating.FAILURE_FD, delegating.record_of(failure), 0)
