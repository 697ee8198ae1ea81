"""The attempts on this node: those that live, and those that ended lately."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from node_agent.core.orders import Key
    from node_agent.core.reports import End

#: Ended attempts of which we remember how much output they left; the files themselves
#: are found without.
MOST_ENDED: Final = 20_000


@dataclass(slots=True)
class Live:
    """An attempt that runs, or waits here for a core.

    Attributes:
        start_time: Seconds since 1970; 0.0 while it waits.
        out_path: File that the node keeps for its stdout; None: not yet known, or the
            stream goes to a file of the user's.
        err_path: The same for stderr.
        definition: Number of its definition; 0: not known (this agent came later).
        value: Of the sweep's element; with ``definition`` only.
    """

    running: bool = False
    start_time: float = 0.0
    cores: Sequence[int] = ()
    out_path: str | None = None
    err_path: str | None = None
    definition: int = 0
    value: int | str = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """What an ended attempt left behind.

    Attributes:
        out_bytes: Length of its stdout, if the node kept that.
        err_bytes: The same for stderr.
        out_file: The user's file that its stdout went to, if any.
        err_file: The same for stderr.
    """

    out_bytes: int = 0
    err_bytes: int = 0
    out_file: str | None = None
    err_file: str | None = None


@dataclass(frozen=True, slots=True)
class Inhabitant:
    """A line of the inventory that the head gets first on each stream."""

    key: Key
    running: bool
    start_time: float
    cores: Sequence[int]


class Attempts:
    """The table of attempts; the supervisor's word makes and ends its entries."""

    def __init__(self) -> None:
        self._live: dict[Key, Live] = {}
        self._ended: OrderedDict[Key, Ended] = OrderedDict()
        self._running = 0

    @property
    def running(self) -> int:
        """How many processes run."""
        return self._running

    @property
    def queued(self) -> int:
        """How many attempts wait for a core."""
        return len(self._live) - self._running

    def live(self, key: Key) -> Live | None:
        """Return a living attempt."""
        return self._live.get(key)

    def ended(self, key: Key) -> Ended | None:
        """Return what is remembered of an attempt that has ended."""
        return self._ended.get(key)

    def order(self, key: Key, definition: int, value: int | str) -> None:
        """Note that the supervisor was told to start an attempt.

        One that is here already, or was, stays what it is: the order came twice.
        """
        if key in self._ended:
            return
        live = self._live.get(key)
        if live is None:
            self._live[key] = Live(definition=definition, value=value)
        elif not live.definition:
            live.definition, live.value = definition, value

    def start(
        self,
        key: Key,
        start_time: float,
        cores: Sequence[int],
        out_path: str | None,
        err_path: str | None,
    ) -> None:
        """Note that its process runs."""
        live = self._live.get(key)
        if live is None:
            live = self._live[key] = Live()
        if not live.running:
            self._running += 1
        live.running = True
        live.start_time = start_time
        live.cores = cores
        live.out_path = out_path
        live.err_path = err_path

    def end(self, key: Key, left: Ended) -> None:
        """Note that it has ended, and what it left; the first word counts."""
        self._drop(key)
        self._ended.setdefault(key, left)
        if len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)

    def refuse(self, key: Key) -> bool:
        """Note that the supervisor would not start it.

        Returns:
            Whether that is the attempt's fate. Otherwise it runs or has run, and the
            refused order was one that came twice.
        """
        live = self._live.get(key)
        if key in self._ended or (live is not None and live.running):
            return False
        self._drop(key)
        return True

    def replace(self, live: Iterable[tuple[Key, Live]]) -> None:
        """Take the supervisor's inventory: what it does not name lives no more.

        Definitions and values, which it does not tell, are kept.
        """
        before = self._live
        self._live = dict(live)
        for key, entry in self._live.items():
            if (known := before.get(key)) is not None:
                entry.definition, entry.value = known.definition, known.value
        self._running = sum(entry.running for entry in self._live.values())

    def inventory(self, unknown_ends: Iterable[End]) -> Iterator[Inhabitant]:
        """Yield what the head must not take for lost.

        Args:
            unknown_ends: Ends that the head has not acknowledged. Their attempts are
                named as if they lived: their reports follow on the same stream.
        """
        named: set[Key] = set()
        for key, live in self._live.items():
            named.add(key)
            yield Inhabitant(key, live.running, live.start_time, live.cores)
        for end in unknown_ends:
            if end.key not in named:
                named.add(end.key)
                cores = end.cores or (() if end.core < 0 else (end.core,))
                yield Inhabitant(end.key, end.start > 0, end.start, cores)

    def _drop(self, key: Key) -> None:
        live = self._live.pop(key, None)
        if live is not None and live.running:
            self._running -= 1
