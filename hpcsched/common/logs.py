"""Logging that never holds up the event loop: JSON lines, written by a thread."""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

if TYPE_CHECKING:
    from types import TracebackType

#: Records that may wait for the thread; about 10 MB at the worst.
CAPACITY: Final = 10_000

#: Seconds in which ``close`` gets rid of what is still waiting.
CLOSE_TIMEOUT_S: Final = 2.0

#: What each record has; every other attribute came with ``extra``.
_STANDARD: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {
    "message",
    "asctime",
    "taskName",
}

#: Keys of a JSON line that an extra must not overwrite.
_KEYS: Final = ("time", "level", "logger", "message", "exception", "stack")


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03d}Z"


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {
        f"{name}_" if name in _KEYS else name: value
        for name, value in vars(record).items()
        if name not in _STANDARD
    }


class JsonFormatter(logging.Formatter):
    """One record, one line of JSON: time (RFC 3339, UTC), level, logger, message.

    Extras become keys of their own; one that JSON does not know is written as text. An
    exception is one string with its traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            entry["exception"] = record.exc_text
        if record.stack_info:
            entry["stack"] = record.stack_info
        return json.dumps(entry, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """One record for people: time, level, logger, message, then ``key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record), f"{record.levelname:<7}", f"{record.name}:"]
        parts.append(record.getMessage())
        parts += [f"{name}={value}" for name, value in _extras(record).items()]
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        lines = [" ".join(parts), record.exc_text, record.stack_info]
        return "\n".join(line for line in lines if line)


class DroppingHandler(QueueHandler):
    """Hands records to a thread; drops and counts them when it cannot keep up.

    Attributes:
        dropped: Records that nobody will read, since the start.
    """

    def __init__(self, records: queue.SimpleQueue[Any], capacity: int) -> None:
        super().__init__(records)
        self._records = records
        self._capacity = capacity
        self.dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        # Runs under the handler's lock, so the count is exact.
        if self._records.qsize() >= self._capacity:
            self.dropped += 1
        else:
            self._records.put(record)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # The text is made here: an argument may change before the thread gets to it.
        record.msg = record.getMessage()
        record.args = None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        return record


class Logs:
    """The pipeline that ``setup`` has built."""

    def __init__(self, output: logging.Handler, capacity: int) -> None:
        self._records: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        self._output = output
        self._told = 0
        self._closed = False
        self.handler = DroppingHandler(self._records, capacity)
        # A daemon: an output that hangs must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def dropped(self) -> int:
        """Records that were dropped since the start."""
        return self.handler.dropped

    def close(self) -> None:
        """Write what waits, for two seconds at most, and stop logging."""
        if self._closed:
            return
        self._closed = True
        logging.getLogger().removeHandler(self.handler)
        self._records.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def end_if_stuck(self, status: int) -> None:
        """End the program here if nobody takes its log, once it is closed.

        The thread that hangs in a write has locks that the interpreter wants at its own
        end, and would wait for without end.
        """
        if self._closed and self._thread.is_alive():
            os._exit(status)

    def _run(self) -> None:
        while (record := self._records.get()) is not None:
            self._output.handle(record)
            self._tell_of_dropped()
        self._output.flush()

    def _tell_of_dropped(self) -> None:
        lost = self.handler.dropped - self._told
        if lost and self._records.qsize() <= 1:
            self._told += lost
            text = "log records dropped: they came faster than they could be written"
            name = __name__
            gap = logging.LogRecord(name, logging.WARNING, "", 0, text, None, None)
            gap.dropped = lost
            self._output.handle(gap)


def setup(
    level: int | str,
    *,
    json: bool,
    stream: TextIO | None = None,
    capacity: int = CAPACITY,
) -> Logs:
    """Send all logging of the process to a stream, through a thread.

    Args:
        level: The least level that is logged, a number or a name in any case.
        json: One JSON object a line; else lines for people.
        stream: stderr if none is given.
        capacity: Records that may wait before new ones are dropped.

    Returns:
        The pipeline; close it last.

    Raises:
        ValueError: there is no such level.
    """
    root = logging.getLogger()
    root.setLevel(level.upper() if isinstance(level, str) else level)
    output = logging.StreamHandler(stream if stream is not None else sys.stderr)
    output.setFormatter(JsonFormatter() if json else TextFormatter())
    logs = Logs(output, capacity)
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(logs.handler)
    logging.captureWarnings(capture=True)
    return logs
