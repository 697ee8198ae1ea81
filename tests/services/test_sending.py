"""What many are sent is made into bytes once."""

from __future__ import annotations

from hpcsched.api.v1 import watch_service_pb2 as pb
from hpcsched.core.views import EventView
from hpcsched.services.convert_event import Shared
from hpcsched.services.sending import KEPT, Once


def an_event(seq: int) -> EventView:
    return EventView(
        seq=seq,
        job_id=7,
        revision=seq,
        time=1.0,
        owner="ann",
        name="TasksStarted",
        actor="node:n1",
        changes=(),
    )


class Counted:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, message: pb.WatchResponse) -> bytes:
        self.count += 1
        return message.SerializeToString()


def test_the_bytes_of_a_message_that_many_are_sent_are_made_once() -> None:
    made = Counted()
    once = Once(made)
    messages = [pb.WatchResponse(cursor=str(n)) for n in range(3)]

    sent = [once(message) for _ in range(5) for message in messages]

    assert made.count == 3
    assert sent == [message.SerializeToString() for message in messages] * 5


def test_of_messages_that_were_sent_only_the_last_few_are_kept() -> None:
    made = Counted()
    once = Once(made)
    first = pb.WatchResponse(cursor="first")
    for message in (first, *(pb.WatchResponse(cursor=str(n)) for n in range(KEPT))):
        once(message)

    assert once(first) == first.SerializeToString()
    assert made.count == KEPT + 2


def test_watchers_at_two_parts_of_a_wave_are_sent_the_same_messages() -> None:
    shared = Shared()
    parts = [[an_event(seq=1), an_event(seq=2)], [an_event(seq=3)]]

    def message(part: int) -> pb.WatchResponse:
        events = list(parts[part])  # each reads a list of its own
        return shared.message(events, events[-1].seq, caught_up=False, bookmark=False)

    first, second = message(0), message(1)

    assert message(0) is first
    assert message(1) is second
    others = shared.message([an_event(seq=3)], 3, caught_up=False, bookmark=False)
    assert others is not second
