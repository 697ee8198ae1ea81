"""Which cluster this node belongs to, and how far its head had come when last heard.

A head that knows less than that was started on another store, or on an older copy of
its own: told so in our Hello, it leaves alone what runs here. The highest term is in a
file of its own (node_agent.term), for it fences heads; this one only helps them to know
themselves, so it may be lost, and is written without waiting for the disk. So it may
also be older than the term, after a power cut, or a welcome that came to nothing half
way: what it says of a run holds under the term of that run only.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from hpcsched.common.clock import Clock

log = logging.getLogger(__name__)

#: How long the file may be behind, seconds: the agent itself is not.
WRITE_S: Final = 5.0


class Acquaintance:
    """See the module.

    Attributes:
        cluster: The cluster's identity; empty: none was seen.
        run: The start of the head that was heard last.
        term: That head's; 0: unknown.
        position: Number of the newest event that it spoke of.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """Read the file; one that is not there, or is damaged, means nothing."""
        self._path = path
        self._clock = clock
        self._written = clock.mono()
        self.cluster = self.run = ""
        self.term = self.position = 0
        try:
            found: Any = json.loads(path.read_bytes())
            self.cluster, self.run = str(found["cluster"]), str(found["run"])
            self.position = int(found["position"])
            self.term = int(found.get("term", 0))  # agents of old kept none
        except FileNotFoundError:
            return
        except (
            *(OSError, ValueError, LookupError, TypeError),
            *(OverflowError, RecursionError),
        ) as error:
            log.warning(
                "what is known of the head cannot be read",
                extra={"file": str(path), "problem": str(error)},
            )
            self.cluster = self.run = ""
            self.position = 0

    def meet(self, cluster: str, run: str, term: int) -> None:
        """A head has accepted us."""
        if (cluster, run, term) != (self.cluster, self.run, self.term):
            if (cluster, run) != (self.cluster, self.run):
                self.position = 0
            self.cluster, self.run, self.term = cluster, run, term
            self._write()

    def under(self, term: int) -> tuple[str, int]:
        """Return run and position of the head of this term; "" and 0: unknown."""
        return (self.run, self.position) if self.term == term else ("", 0)

    def hear(self, position: int) -> None:
        """The head speaks of this event."""
        if position > self.position:
            self.position = position
            if self._clock.mono() - self._written >= WRITE_S:
                self._write()

    def _write(self) -> None:
        part = self._path.with_name(self._path.name + ".new")
        self._written = self._clock.mono()
        body = {
            "cluster": self.cluster,
            "run": self.run,
            "term": self.term,
            "position": self.position,
        }
        try:
            part.write_text(json.dumps(body) + "\n", encoding="utf-8")
            part.replace(self._path)
        except OSError as error:
            log.warning(
                "what is known of the head cannot be kept",
                extra={"file": str(self._path), "problem": str(error)},
            )
