"""The journal: one append-only log that survives any kill -9 and a full disk.

A record is a header (four bytes that name the segment, length, CRC-32) and a payload.
Space is allocated ahead, and a spare segment is kept: when the disk is full, the ends
of everything that has started can still be written, and the log can still be made
short again. Writes are plain; the reaper syncs them in the background.

A segment begins with the whole state (snapshot, then an end marker), so only the newest
complete one matters. The CRC is seeded with the segment's number: what a reused file
held before is never taken for a record of now.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER = struct.Struct(">2sHII")
MAGIC = b"\xa5J"
CHUNK_BYTES = 1024 * 1024
SMALL_CHUNK_BYTES = 64 * 1024
ROTATE_BYTES = 8 * 1024 * 1024
BASE_RESERVE_BYTES = 32 * 1024
RESERVE_PER_TASK_BYTES = 2048
END_OF_LOG = bytes(HEADER.size)
SNAPSHOT_END = b"Z"
MAX_SEGMENT = 1 << 32
MAX_CHECKSUM = 0xFFFFFFFF


def checksum(segment: int, payload: bytes) -> int:
    """Return the CRC of a payload in a segment."""
    return zlib.crc32(payload, segment & MAX_CHECKSUM)


def record_of(segment: int, payload: bytes) -> bytes:
    """Return a payload with its header."""
    return (
        HEADER.pack(MAGIC, segment & 0xFFFF, len(payload), checksum(segment, payload))
        + payload
    )


def segment_path(directory: str, segment: int) -> str:
    """Return the path of a segment."""
    return os.path.join(directory, f"{segment:010d}.log")


class Journal:
    """The writer. Records become part of the log with the next flush.

    Attributes:
        tasks: How many tasks may still need room for their end.
        path: The segment that is written.
        dirty: Whether something was written since ``clean`` was last set.
        failure: What the last flush failed with, None if it did not.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.tasks = 0
        self.path = ""
        self.dirty = False
        self.failure: str | None = None
        self._segment = 0
        self._fd = -1
        self._offset = 0
        self._allocated = 0
        self._snapshot_bytes = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._old: list[str] = []

    def add(self, payload: bytes) -> None:
        """Append a record to what the next flush writes."""
        # As record_of does: this is called some ten times for each task.
        segment = self._segment
        check = zlib.crc32(payload, segment & MAX_CHECKSUM)
        record = HEADER.pack(MAGIC, segment & 0xFFFF, len(payload), check) + payload
        self._pending.append(record)
        self._pending_bytes += len(record)

    def flush(self) -> bool:
        """Write what was added, at once and whole.

        Returns:
            Whether all is in the log. If not, it stays for the next flush, and
            ``failure`` says why.
        """
        if not self._pending:
            return True
        data = b"".join(self._pending)
        needed = self._offset + len(data) + len(END_OF_LOG)
        if needed > self._allocated:
            self._extend(needed)
        try:
            self._write(data + END_OF_LOG)
        except OSError as error:
            self.failure = str(error)
            return False
        self._offset += len(data)
        self._pending.clear()
        self._pending_bytes = 0
        self.dirty = True
        self.failure = None
        return True

    def _write(self, data: bytes) -> None:
        offset = self._offset
        view = memoryview(data)
        while view:
            count = os.pwrite(self._fd, view, offset)
            view = view[count:]
            offset += count

    def has_room(self, size: int) -> bool:
        """Say whether a start of this many bytes leaves room for every end.

        The journal is made longer, if it can be.
        """
        reserve = BASE_RESERVE_BYTES + self.tasks * RESERVE_PER_TASK_BYTES
        needed = self._offset + self._pending_bytes + size + reserve
        return needed <= self._allocated or self._extend(needed)

    @property
    def is_long(self) -> bool:
        """Whether it is time to begin a new segment."""
        return self._offset > max(ROTATE_BYTES, 4 * self._snapshot_bytes)

    def _extend(self, needed: int) -> bool:
        for chunk in (CHUNK_BYTES, SMALL_CHUNK_BYTES):
            length = -(-needed // chunk) * chunk
            try:
                os.posix_fallocate(self._fd, self._allocated, length - self._allocated)
            except OSError:
                continue
            self._allocated = length
            return True
        return False

    def rotate(self, payloads: Iterable[bytes]) -> bool:
        """Begin a new segment with a snapshot of the whole state.

        What was added and not flushed is part of the state, too. The old segment is
        kept until ``synced`` is called.

        Returns:
            Whether it was done; if not, the old segment is written on.
        """
        segment = self._segment + 1
        records = [record_of(segment, payload) for payload in payloads]
        data = b"".join([*records, record_of(segment, SNAPSHOT_END)])
        path = segment_path(self.directory, segment)
        previous = self._fd, self._offset, self._allocated
        try:
            self._begin_segment(data, path)
        except OSError as error:
            if self._fd != previous[0]:
                os.close(self._fd)
            self._fd, self._offset, self._allocated = previous
            self.failure = str(error)
            return False
        if previous[0] >= 0:
            os.close(previous[0])
        if self.path:
            self._old.append(self.path)
        self._pending.clear()  # the snapshot has what they would have led to
        self._pending_bytes = 0
        self._segment = segment
        self._offset = self._snapshot_bytes = len(data)
        self.path = path
        self.dirty = True
        return True

    def _begin_segment(self, data: bytes, path: str) -> None:
        """Fill the spare segment and give it its name.

        Raises:
            OSError: there is no space for it.
        """
        os.makedirs(self.directory, mode=0o700, exist_ok=True)  # if somebody removed it
        spare = os.path.join(self.directory, "spare")
        self._fd = os.open(spare, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._offset = 0
        self._allocated = os.fstat(self._fd).st_size
        reserve = BASE_RESERVE_BYTES + self.tasks * RESERVE_PER_TASK_BYTES
        needed = len(data) + len(END_OF_LOG) + reserve
        if needed > self._allocated and not self._extend(needed):
            raise OSError("no space for a new segment of the journal")
        self._write(data + END_OF_LOG)
        os.rename(spare, path)

    def synced(self, path: str) -> None:
        """Take note that a segment is on the disk; older ones are not needed."""
        if path != self.path:
            return
        spare = os.path.join(self.directory, "spare")
        for old in self._old:
            with contextlib.suppress(OSError):
                if os.path.exists(spare):
                    os.unlink(old)
                else:
                    os.truncate(old, CHUNK_BYTES)
                    os.rename(old, spare)
        self._old.clear()

    def make_spare(self) -> None:
        """See to it that the next segment needs no new space; may fail silently."""
        spare = os.path.join(self.directory, "spare")
        with contextlib.suppress(OSError):
            descriptor = os.open(spare, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, CHUNK_BYTES)
            finally:
                os.close(descriptor)

    def resume(self, segment: int, offset: int, old: list[str]) -> None:
        """Go on writing an existing segment, of which ``offset`` bytes are good.

        Raises:
            OSError: it cannot be opened.
        """
        self._segment = segment
        if segment:
            self.path = segment_path(self.directory, segment)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            self._offset = offset
            self._allocated = os.fstat(self._fd).st_size
        self._old = old

    def close(self) -> None:
        """Write what is left and close the file."""
        if self._fd >= 0:
            self.flush()
            os.close(self._fd)
            self._fd = -1
