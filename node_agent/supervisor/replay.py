"""Reading the journal after a restart: what is whole, what is torn, what is garbage."""

from __future__ import annotations

import os

from node_agent.supervisor.journal import (
    HEADER,
    MAGIC,
    SNAPSHOT_END,
    checksum,
    segment_path,
)

RECORD_LIMIT_BYTES = 64 * 1024 * 1024


class Replay:
    """What the journal's directory held.

    Attributes:
        payloads: The records of the newest segment that begins with a whole snapshot.
        segment: Its number, 0 if there is none.
        offset: Where its good part ends.
        old: Paths of other segments, not needed once a new one is synced.
        warnings: What was wrong with it, for the log and the agent.
    """

    __slots__ = ("offset", "old", "payloads", "segment", "warnings")

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.segment = 0
        self.offset = 0
        self.old: list[str] = []
        self.warnings: list[str] = []


def read_journal(directory: str) -> Replay:
    """Read the newest whole segment; set damaged parts aside.

    A torn tail is what a crash in the middle of a write leaves: it is dropped with a
    warning. Garbage with whole records behind it is damage: a copy of the file is kept
    beside it, and what is whole behind the garbage is still used, for it may say that
    an attempt was started.

    Raises:
        OSError: the directory cannot be read.
    """
    replay = Replay()
    numbers = sorted(
        (
            int(name.removesuffix(".log"))
            for name in os.listdir(directory)
            if name.endswith(".log") and name.removesuffix(".log").isdigit()
        ),
        reverse=True,
    )
    for number in numbers:
        path = segment_path(directory, number)
        if replay.segment:
            replay.old.append(path)
            continue
        with open(path, "rb") as file:
            data = file.read()
        payloads, offset, damage = _records(number, data)
        if SNAPSHOT_END not in payloads:
            replay.warnings.append(f"journal: {path} has no whole snapshot; set aside")
            os.rename(path, path + ".incomplete")
            continue
        replay.segment, replay.payloads, replay.offset = number, payloads, offset
        _tell_damage(replay, path, data, damage)
    return replay


def _records(number: int, data: bytes) -> tuple[list[bytes], int, list[range]]:
    """Return the good records, where they end, and the damaged spans between them."""
    payloads: list[bytes] = []
    damage: list[range] = []
    offset = 0
    while True:
        payload = _record_at(number, data, offset)
        if payload is None:
            following = _next_record(number, data, offset + 1)
            if following is None:
                return payloads, offset, damage
            damage.append(range(offset, following))
            offset = following
            continue
        payloads.append(payload)
        offset += HEADER.size + len(payload)


def _record_at(number: int, data: bytes, offset: int) -> bytes | None:
    if len(data) - offset < HEADER.size:
        return None
    magic, low, length, crc = HEADER.unpack_from(data, offset)
    if magic != MAGIC or low != number & 0xFFFF or length > RECORD_LIMIT_BYTES:
        return None
    start = offset + HEADER.size
    payload = data[start : start + length]
    if len(payload) != length or checksum(number, payload) != crc:
        return None
    return payload


def _next_record(number: int, data: bytes, start: int) -> int | None:
    mark = HEADER.pack(MAGIC, number & 0xFFFF, 0, 0)[:4]
    while (start := data.find(mark, start)) >= 0:
        if _record_at(number, data, start) is not None:
            return start
        start += 1
    return None


def _tell_damage(replay: Replay, path: str, data: bytes, damage: list[range]) -> None:
    tail = data[replay.offset : replay.offset + HEADER.size]
    if tail.strip(b"\0"):
        replay.warnings.append(
            f"journal: {path}: torn record at byte {replay.offset} dropped"
        )
    if damage:
        aside = f"{path}.damaged"
        with open(aside, "wb") as file:
            file.write(data)
        spans = ", ".join(f"{span.start}-{span.stop}" for span in damage)
        replay.warnings.append(
            f"journal: {path}: garbage at bytes {spans}; a copy is kept as {aside}"
        )
