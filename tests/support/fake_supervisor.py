"""A supervisor without processes: a socket that says what the test wants."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from node_agent.supervisor import protocol
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from pathlib import Path

    Attempt = tuple[int, int, int, int]


class FakeSupervisor:
    """Speaks the supervisor's protocol, keeps a journal, answers pings.

    Attributes:
        heard: Every message of the agent but pings, in order.
        acks: Positions that the agent has acknowledged, in order.
        running: What the next hello says that runs.
        queued: What it says that waits.
        journal: Unacknowledged reports.
        uses: What it answers when asked what tasks use; None: it does not know how.
        script: Messages that are answered at once: name to function.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[list[Any]] = []
        self.acks: list[int] = []
        self.running: list[list[Any]] = []
        self.queued: list[list[Any]] = []
        self.journal: list[list[Any]] = []
        self.uses: list[list[Any]] | None = None
        self.position = 0
        self.connections = 0
        self.answers_pings = True
        self.runs_starts = False
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def close(self) -> None:
        """Go away, as a supervisor that was killed does."""
        if self._server is not None:
            self._server.close()
        self.hang_up()
        if self._server is not None:
            await self._server.wait_closed()
        self._server = None

    def hang_up(self) -> None:
        """Close the connection; the journal stays."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def say(self, *messages: list[Any]) -> None:
        if self._writer is not None and messages:
            self._writer.write(protocol.encode(messages))

    def started(self, *keys: Attempt, **more: Any) -> None:
        """Report that processes have started, all in one frame."""
        self._report([self._started(key, **more) for key in keys])

    def ended(self, *keys: Attempt, **body: Any) -> None:
        """Report that processes have ended, all in one frame."""
        self._report([self._ended(key, **body) for key in keys])

    def ran(self, *keys: Attempt) -> None:
        """Report a start and an end for each."""
        reports = []
        for key in keys:
            reports += [self._started(key), self._ended(key)]
        self._report(reports)

    def of_kind(self, name: str) -> list[list[Any]]:
        return [message for message in self.heard if message[0] == name]

    async def hears(self, name: str, count: int = 1) -> list[list[Any]]:
        return await wait_for_async(
            lambda: self.of_kind(name),
            until=lambda found: len(found) >= count,
            what=f"{count} x {name}",
        )

    async def connected(self, times: int = 1) -> None:
        await wait_for_async(
            lambda: self.connections,
            until=lambda count: count >= times,
            what="the agent's connection",
        )

    def _started(
        self, key: Attempt, out: str | None = None, err: str | None = None
    ) -> list[Any]:
        self.position += 1
        start = 1000.0 + self.position
        return ["started", self.position, *key, 4000, start, [1], out, err]

    def _ended(self, key: Attempt, **body: Any) -> list[Any]:
        self.position += 1
        facts = {
            "reason": "EXITED", "exit_code": 0, "signal": None, "start": 1000.5,
            "end": 2000.5, "output": "", "out_bytes": 0, "err_bytes": 0, "code": None,
            "message": "", "user_ms": 3, "system_ms": 4, "max_rss_kb": 5, "why": None,
            "cores": [1],
        }  # fmt: skip
        return ["ended", self.position, *key, {**facts, **body}]

    def _report(self, reports: list[list[Any]]) -> None:
        self.journal += reports
        self.say(*reports)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writer = writer
        frames = protocol.FrameReader()
        while data := await reader.read(1 << 16):
            answers = []
            for message in frames.feed(data):
                answers += self._answer(message)
            if answers and not writer.is_closing():
                writer.write(protocol.encode(answers))
        writer.close()

    def _answer(self, message: list[Any]) -> list[list[Any]]:
        name, *items = message
        if name == "ping":
            return [["pong", items[0]]] if self.answers_pings else []
        self.heard.append(message)
        if name == "hello":
            self.connections += 1
            return [["hello", self._inventory()], *self.journal]
        if name == "ack":
            self.acks.append(items[0])
            self.journal = [r for r in self.journal if r[1] > items[0]]
        if name == "usage":
            return [["usage", self.uses]]
        if name == "start" and self.runs_starts:
            job, task, _, entries = items
            answers = []
            for instance, attempt, *_ in entries:
                key = (job, task, instance, attempt)
                answers += [self._started(key), self._ended(key)]
            self.journal += answers
            return answers
        return []

    def _inventory(self) -> dict[str, Any]:
        return {
            "version": 1,
            "boot_id": "boot-1",
            "instance": "journal-1",
            "containment": "group",
            "position": self.position,
            "cores": 4,
            "running": self.running,
            "queued": self.queued,
            "usage": self.uses is not None,
        }
