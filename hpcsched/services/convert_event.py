"""Events and steps of a watch as messages."""

from __future__ import annotations

from collections import OrderedDict
from operator import is_
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from hpcsched.api.v1 import watch_service_pb2 as pb
from hpcsched.services.convert_job import counts_message, job_message
from hpcsched.services.convert_time import put_timestamp, timestamp
from hpcsched.services.cursors import encode_cursor
from hpcsched.services.limits import MAX_EVENTS_PER_MESSAGE, MAX_JOBS_PER_MESSAGE
from hpcsched.services.sending import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hpcsched.api.v1 import node_pb2
    from hpcsched.core.views import ChangeView, EventView
    from hpcsched.runtime.front import WatchItem

T = TypeVar("T")
_Key: TypeAlias = tuple[int, bool, bool, int, int]
PATTERNS_KEPT: Final = 64


class Shared:
    """The last messages about events: most watchers of a moment are sent the same.

    A few, as some are still at the first part of a wave when others are at its second.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, tuple[Sequence[EventView], pb.WatchResponse]] = (
            OrderedDict()
        )

    def message(
        self, events: Sequence[EventView], seq: int, *, caught_up: bool, bookmark: bool
    ) -> pb.WatchResponse:
        """Return the message that holds events; nobody may change it."""
        key = (seq, caught_up, bookmark, len(events), events[0].seq if events else 0)
        known = self._kept.get(key)
        if known is not None and all(map(is_, events, known[0])):
            return known[1]
        message = pb.WatchResponse(
            cursor=encode_cursor(seq), caught_up=caught_up, bookmark=bookmark
        )
        add = message.events.add
        for view in events:
            _put_event(add(), view)
        if events:
            self._kept[key] = (events, message)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return message


_shared = Shared()


def watch_responses(item: WatchItem) -> Iterator[pb.WatchResponse]:
    """Return one step as messages of bearable size; marks are on the last of them.

    A part of a snapshot has no cursor: who resumed from it would miss the rest.
    """
    for jobs in _parts(item.jobs, MAX_JOBS_PER_MESSAGE):
        yield pb.WatchResponse(jobs=[job_message(job) for job in jobs])
    *before, last = list(_parts(item.events, MAX_EVENTS_PER_MESSAGE)) or [()]
    for events in before:
        yield _shared.message(events, events[-1].seq, caught_up=False, bookmark=False)
    yield _shared.message(
        last, item.seq, caught_up=item.caught_up, bookmark=item.bookmark
    )


def watch_job_responses(item: WatchItem) -> Iterator[pb.WatchJobResponse]:
    """Return one step of a job's watch as messages; marks and job are on the last."""
    *before, last = list(_parts(item.events, MAX_EVENTS_PER_MESSAGE)) or [()]
    for events in before:
        yield pb.WatchJobResponse(
            events=map(event_message, events), cursor=encode_cursor(events[-1].seq)
        )
    yield pb.WatchJobResponse(
        events=map(event_message, last),
        cursor=encode_cursor(item.seq),
        caught_up=item.caught_up,
        bookmark=item.bookmark,
        job=None if item.job is None else job_message(item.job),
        task_counts=None if item.counts is None else counts_message(item.counts),
    )


def event_message(view: EventView) -> pb.Event:
    """Return an event as watchers see it."""
    return pb.Event(
        cursor=encode_cursor(view.seq),
        time=timestamp(view.time),
        job_id=view.job_id,
        revision=view.revision,
        name=view.name,
        actor=view.actor,
        changes=_change_messages(view.changes),
        node_change=_node_change_message(view) if view.node else None,
        message=view.message,
        node_group=view.group,
    )


_patterns: dict[int, tuple[EventView, pb.Event]] = {}
"""Events without what is each one's own, by the identity of their changes."""


def _put_event(event: pb.Event, view: EventView) -> None:
    """Make a new message that of an event.

    Of jobs that are alike only place, time and number differ: the rest is copied.
    """
    if view.job_changes is None:
        event.CopyFrom(event_message(view))
        return
    known = _patterns.get(id(view.changes))
    if known is None or not view.is_like(known[0]):
        known = view, event_message(view)
        if len(_patterns) >= PATTERNS_KEPT:
            _patterns.clear()
        _patterns[id(view.changes)] = known
    event.CopyFrom(known[1])
    event.cursor = encode_cursor(view.seq)
    event.job_id = view.job_id
    put_timestamp(event.time, view.time)


def ranges_text(ranges: Iterable[tuple[int, int]]) -> str:
    """Return ranges of numbers as text.

    >>> ranges_text([(1, 64), (70, 70)])
    '1-64,70'
    """
    return ",".join(
        str(first) if first == last else f"{first}-{last}" for first, last in ranges
    )


_known: dict[int, tuple[Sequence[ChangeView], list[pb.Change]]] = {}
"""Changes as messages, by the identity of the former: many events share them."""


def _change_messages(changes: Sequence[ChangeView]) -> list[pb.Change]:
    known = _known.get(id(changes))
    if known is not None and known[0] is changes:
        return known[1]
    messages = [_change_message(change) for change in changes]
    if len(_known) >= KEPT:
        _known.clear()
    _known[id(changes)] = (changes, messages)
    return messages


def _change_message(change: ChangeView) -> pb.Change:
    return pb.Change(
        task_id=change.task_id,
        elements=ranges_text(change.elements),
        state=change.state,
        previous_state=change.previous_state,
        reason_code=change.reason_code,
        reason=change.reason,
    )


def _node_change_message(view: EventView) -> pb.NodeChange:
    new, old = view.node_state
    return pb.NodeChange(
        node=view.node,
        state=cast("node_pb2.Node.State.ValueType", new),
        previous_state=cast("node_pb2.Node.State.ValueType", old),
        reachable=view.node_reachable,
        joined_groups=view.joined_groups,
        left_groups=view.left_groups,
    )


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
