"""What running tasks use, as the supervisor says it from time to time.

It is told to the head as it changes, and may be lost: it decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from node_agent.core.news import NewsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from node_agent.core.orders import Key

#: Most entries in one frame: it stays far below 1 MiB.
MOST_IN_FRAME: Final = 512


class TaskUsage(NamedTuple):
    """What the processes of one attempt have used so far, and use now.

    Attributes:
        user_ms, kernel_ms: Processor time so far.
        resident_kib: Memory now.
        processes: Number of processes.
        pids: Ids of the first of them.
    """

    user_ms: int
    kernel_ms: int
    resident_kib: int
    processes: int
    pids: tuple[int, ...]


def usage_of(message: Sequence[Any]) -> list[tuple[Key, TaskUsage]]:
    """Return the entries of a ``usage``.

    Raises:
        NewsError: it cannot be read.
    """
    try:
        _, entries = message
        return [
            (
                (int(j), int(t), int(i), int(a)),
                TaskUsage(
                    max(0, int(user)),
                    max(0, int(kernel)),
                    max(0, int(resident)),
                    max(0, int(count)),
                    tuple(map(int, pids)),
                ),
            )
            for j, t, i, a, user, kernel, resident, count, pids in entries
        ]
    except (TypeError, ValueError) as error:
        raise NewsError(f"usage: {error!r}") from error


class Usages:
    """What was said last of each attempt that runs, and what of it is news."""

    def __init__(self) -> None:
        self._known: dict[Key, TaskUsage] = {}
        self._fresh: dict[Key, None] = {}

    @property
    def has_news(self) -> bool:
        """Is there anything that the head has not been told on this stream?"""
        return bool(self._fresh)

    def take(self, key: Key, usage: TaskUsage) -> None:
        """Note what was said; what is as it was is no news. Times never go back."""
        before = self._known.get(key)
        if before is not None:
            user = max(before.user_ms, usage.user_ms)
            kernel = max(before.kernel_ms, usage.kernel_ms)
            usage = usage._replace(user_ms=user, kernel_ms=kernel)
        if usage != before:
            self._known[key] = usage
            self._fresh[key] = None

    def forget(self, key: Key) -> None:
        """The attempt has ended: its report says what it used."""
        if self._known.pop(key, None) is not None:
            self._fresh.pop(key, None)

    def keep(self, keys: Iterable[Key]) -> None:
        """Forget all others: they have ended while nobody was told."""
        for key in self._known.keys() - set(keys):
            self.forget(key)

    def again(self) -> None:
        """Another stream has begun: all of it is news there."""
        self._fresh = dict.fromkeys(self._known)

    def news(self) -> list[tuple[Key, TaskUsage]]:
        """Return what is told in the next frame."""
        found = []
        for key in list(self._fresh)[:MOST_IN_FRAME]:
            del self._fresh[key]
            found.append((key, self._known[key]))
        return found
