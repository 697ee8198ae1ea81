"""What the supervisor is told in a turn of the loop goes in as few frames as it may."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, cast

import pytest

from node_agent import supervised
from node_agent.supervisor import protocol
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    import asyncio

    from tests.support.manual_clock import ManualClock

LIMIT = 200


class Written:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.frames.append(data)


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def wire(
    clock: ManualClock, written: Written, monkeypatch: pytest.MonkeyPatch
) -> supervised._Wire:
    monkeypatch.setattr(supervised, "FRAME_BYTES", LIMIT)
    wire = supervised._Wire(lambda _: None, clock)
    wire._transport = cast("asyncio.Transport", written)
    return wire


def short(count: int) -> list[list[Any]]:
    return [["m", number] for number in range(count)]


@pytest.mark.parametrize(
    ("messages", "frames"),
    [
        (short(1), 1),
        (short(supervised.ENCODED_AT_ONCE), 1),
        (short(supervised.ENCODED_AT_ONCE + 1), 1),
        (short(40), 3),
        ([["m", "x" * 150], ["m", "y" * 150], ["m", 1]], 2),
        ([["m", "x" * 3 * LIMIT]], 1),
        ([["m", 1], ["m", "x" * 3 * LIMIT], ["m", 2]], 3),
    ],
)
async def test_everything_arrives_once_in_order_and_no_frame_is_longer_than_it_must_be(
    wire: supervised._Wire,
    written: Written,
    messages: list[list[Any]],
    frames: int,
) -> None:
    for message in messages:
        wire.send(message)
    await settle()
    reader = protocol.FrameReader()
    arrived = [reader.feed(frame) for frame in written.frames]
    assert [message for frame in arrived for message in frame] == messages
    assert len(written.frames) == frames
    for frame, held in zip(written.frames, arrived, strict=True):
        (length,) = struct.unpack_from(">I", frame)
        assert length <= LIMIT + 2 or len(held) == 1


async def test_what_the_next_turn_says_is_a_frame_of_its_own(
    wire: supervised._Wire, written: Written
) -> None:
    for message in short(2):
        wire.send(message)
        await settle()
    assert len(written.frames) == 2
