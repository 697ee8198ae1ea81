"""The socket to the agent: one connection at a time, a newer one replaces the older."""

from __future__ import annotations

import os
import select
import socket
from collections import deque

from node_agent.supervisor import protocol
from node_agent.supervisor.channel import listen
from node_agent.supervisor.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from node_agent.supervisor.protocol import Message

READ_BYTES = 256 * 1024
FRAME_TARGET_BYTES = 1024 * 1024


class Link:
    """Reads frames from the agent, and sends it what has gathered.

    Attributes:
        greeted: The agent has said hello.
        urgent: Something waits that is asked for, or tells of trouble.
        tells_end: A report waits that makes the head go on.
        tells_job_ends: The agent wants to hear that nothing is left of a job.
    """

    tells_job_ends = True

    def __init__(
        self,
        path: str,
        group: int | None,
        poll: select.epoll,
        obey: Callable[[list[Message]], None],
    ) -> None:
        self._path = path
        mode = 0o600 if group is None else 0o660
        self._listener = listen(path, socket.SOCK_STREAM, mode)
        if group is not None:
            os.chown(path, -1, group)
        self._poll = poll
        self._obey = obey
        self._agent: socket.socket | None = None
        self._reader = protocol.FrameReader()
        self._waiting: deque[bytes] = deque()
        self._unsent = memoryview(b"")
        self._blocked = False
        self._closing = False
        self.greeted = self.urgent = self.tells_end = False
        poll.register(self._listener, select.EPOLLIN)

    def handle(self, descriptor: int, events: int) -> bool:
        """Serve a descriptor that is ready; return whether it belongs here."""
        if self._agent is not None and descriptor == self._agent.fileno():
            if events & select.EPOLLOUT:
                self.flush()
            if events & ~select.EPOLLOUT and self._agent is not None:
                self._read(self._agent)
            return True
        if descriptor == self._listener.fileno():
            self._accept()
            return True
        return False

    def _accept(self) -> None:
        try:
            agent, _ = self._listener.accept()
        except OSError as error:
            log(f"accept: {error}")
            return
        self.drop()
        agent.setblocking(False)  # noqa: FBT003
        self._agent = agent
        self._poll.register(agent, select.EPOLLIN)

    def _read(self, agent: socket.socket) -> None:
        try:
            data = agent.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or self._closing:
            self.drop()
            return
        try:
            messages = self._reader.feed(data)
        except protocol.ProtocolError as error:
            self.refuse(str(error))
            return
        self._obey(messages)

    def refuse(self, text: str) -> None:
        """Tell the agent why, and close its connection once that is sent."""
        self.send(protocol.encode_message([protocol.ERROR, text]))
        self._closing = True

    def send(self, text: bytes, *, urgent: bool = True) -> None:
        """Queue a message; without a connection it is dropped."""
        if self._agent is not None and not self._closing:
            self._waiting.append(text)
            self.urgent |= urgent

    def report(self, texts: Iterable[bytes], *, tells_end: bool = True) -> None:
        """Queue reports; an agent that has not said hello gets them after that."""
        if self.greeted and not self._closing:
            self._waiting.extend(texts)
            self.tells_end |= tells_end

    @property
    def waits(self) -> int:
        """How many messages are to be sent."""
        return len(self._waiting)

    def flush(self) -> None:
        """Send what has gathered, as far as the agent takes it."""
        agent = self._agent
        self.urgent = self.tells_end = False
        if agent is None:
            return
        try:
            while self._unsent or self._waiting:
                if not self._unsent:
                    self._unsent = memoryview(self._next_frame())
                count = agent.send(self._unsent, socket.MSG_NOSIGNAL)
                self._unsent = self._unsent[count:]
        except BlockingIOError:
            self._watch_output(agent, wanted=True)
            return
        except OSError:
            self.drop()
            return
        self._watch_output(agent, wanted=False)
        if self._closing:
            self.drop()

    def _next_frame(self) -> bytes:
        waiting = self._waiting
        texts = [waiting.popleft()]
        size = len(texts[0])
        while waiting and size + len(waiting[0]) < FRAME_TARGET_BYTES:
            text = waiting.popleft()
            size += len(text)
            texts.append(text)
        return protocol.frame_of(texts)

    def _watch_output(self, agent: socket.socket, *, wanted: bool) -> None:
        if wanted != self._blocked:
            self._blocked = wanted
            flags = select.EPOLLIN | (select.EPOLLOUT if wanted else 0)
            self._poll.modify(agent, flags)

    def drop(self) -> None:
        """Close the agent's connection, if there is one."""
        agent, self._agent = self._agent, None
        if agent is not None:
            self._poll.unregister(agent)
            agent.close()
        self._reader = protocol.FrameReader()
        self._waiting.clear()
        self._unsent = memoryview(b"")
        self._blocked = self._closing = False
        self.greeted = self.urgent = self.tells_end = False
        self.tells_job_ends = True

    def close(self) -> None:
        """Close everything, and remove the socket's file."""
        self.drop()
        self._poll.unregister(self._listener)
        self._listener.close()
        try:
            os.unlink(self._path)
        except OSError:
            return
