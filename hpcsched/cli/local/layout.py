"""Where a local cluster keeps what: its directory, and the plan that is kept in it.

DIR/cluster.json       the plan: nodes, cores, addresses
DIR/processes.json     what was started: names, process ids
DIR/lock               held while the cluster is started or stopped
DIR/ready.json         written by the head once it serves
DIR/served.json        what a head that has died had written there
DIR/head/              the head's state
DIR/nodes/NAME/        supervisor and agent of a node
DIR/tokens/            admin and node tokens, 0600
DIR/log/               a file per process
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hpcsched.cli.local import served
from hpcsched.cli.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of a Unix socket's path (sockaddr_un, without the final zero).
LONGEST_SOCKET_PATH: Final = 107


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a local cluster is made of.

    Attributes:
        nodes: Cores of each node, by its name.
        address: Of the head for clients; empty before its first start.
        agent_address: Of the head for agents; empty before its first start.
        joined: Nodes that have been Online once; from then on administrators decide.
        cgroup: Whether tasks get a cgroup each, as the supervisor's option has it.
    """

    nodes: dict[str, int]
    address: str = ""
    agent_address: str = ""
    joined: tuple[str, ...] = ()
    cgroup: str = "auto"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one local cluster; ``root`` is absolute."""

    root: Path

    @property
    def plan_file(self) -> Path:
        return self.root / served.PLAN

    @property
    def processes_file(self) -> Path:
        return self.root / "processes.json"

    @property
    def ready_file(self) -> Path:
        return self.root / served.READY

    @property
    def served_file(self) -> Path:
        return self.root / served.SERVED

    @property
    def is_stopped(self) -> bool:
        """Was it started once, and stopped by ``hpc down``?"""
        return served.was_stopped(self.root)

    def head_is_gone(self) -> None:
        """Put the ready file of a head that has died aside: the next one writes it."""
        with contextlib.suppress(FileNotFoundError):
            self.ready_file.replace(self.served_file)

    def stopped(self) -> None:
        """Note that the cluster was stopped."""
        self.served_file.unlink(missing_ok=True)
        self.ready_file.unlink(missing_ok=True)

    @property
    def head(self) -> Path:
        return self.root / "head"

    @property
    def admin_token(self) -> Path:
        return self.root / "tokens" / "admin"

    @property
    def node_token(self) -> Path:
        return self.root / "tokens" / "node"

    def node(self, name: str) -> Path:
        """Return the directory of a node's supervisor and agent."""
        return self.root / "nodes" / name

    def socket(self, name: str) -> Path:
        """Return where a node's supervisor listens."""
        return self.node(name) / "supervisor.sock"

    def log(self, process: str) -> Path:
        """Return the log of a process."""
        return self.root / "log" / f"{process}.log"

    def make(self, nodes: int) -> None:
        """Make the directories that do not exist yet, for the owner's eyes only.

        Raises:
            ProblemError: the path is too long for sockets, or cannot be written.
        """
        longest = len(os.fsencode(self.socket(f"n{nodes}")))
        if longest > LONGEST_SOCKET_PATH:
            raise ProblemError(
                "DIR_TOO_LONG",
                f"{self.root}: a socket in it would have a path of {longest} bytes; "
                f"the limit is {LONGEST_SOCKET_PATH}",
                hint="--dir with a shorter path",
                path=self.root,
            )
        try:
            for path in (self.root, self.admin_token.parent, self.log("x").parent):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ProblemError(
                "DIR_UNUSABLE", f"{self.root}: {error.strerror}", path=self.root
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from starting or stopping this cluster meanwhile.

        Raises:
            ProblemError: somebody does right now.
        """
        with (self.root / "lock").open("a", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ProblemError(
                    "CLUSTER_BUSY",
                    f"another hpc up or hpc down works on {self.root}",
                    path=self.root,
                ) from None
            yield

    def load_plan(self) -> Plan | None:
        """Return the plan; None where no cluster was started yet.

        Raises:
            ProblemError: the file is damaged.
        """
        found = load(self.plan_file)
        if found is None:
            return None
        try:
            return Plan(
                nodes={str(name): int(cores) for name, cores in found["nodes"].items()},
                address=str(found["address"]),
                agent_address=str(found["agent_address"]),
                joined=tuple(str(name) for name in found["joined"]),
                cgroup=str(found.get("cgroup", "auto")),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _damaged(self.plan_file) from None

    def save_plan(self, plan: Plan) -> None:
        """Keep the plan for the next start."""
        save(self.plan_file, asdict(plan))


def load(path: Path) -> Any:
    """Return what a JSON file holds; None where there is none.

    Raises:
        ProblemError: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        raise _damaged(path) from None


def save(path: Path, value: object) -> None:
    """Replace a JSON file at once, so that no reader sees half of it."""
    draft = path.with_name(f"{path.name}.new-{os.getpid()}")
    draft.write_text(f"{json.dumps(value, indent=1)}\n", encoding="utf-8")
    draft.replace(path)


def _damaged(path: Path) -> ProblemError:
    return ProblemError(
        "CLUSTER_DAMAGED", f"{path} cannot be read", hint="hpc up --dir elsewhere"
    )
