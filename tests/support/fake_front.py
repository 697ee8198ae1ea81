"""A front door that answers what the test says, and tells what it was asked."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from hpcsched.runtime.front import (
    AccountingFront,
    ClusterFront,
    JobFront,
    PoolFront,
)
from hpcsched.runtime.node_front import NodeFront
from hpcsched.store.base import TokenRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from hpcsched.core.caller import Caller
    from hpcsched.runtime.frames import AgentFrame, AgentLink, Hello

FRONTS = (JobFront, ClusterFront, AccountingFront, NodeFront, PoolFront)
STREAMS = ("watch", "watch_job", "read_output", "follow_command")

#: Secrets of the tokens that there are.
USER = "user-secret"
ADMINISTRATOR = "administrator-secret"
NODE = "node-secret"


def token_row(user: str, role: str) -> TokenRow:
    """Return the row of a token that does not end."""
    return TokenRow(
        token_id=f"id-of-{user}",
        digest=b"",
        user=user,
        role=role,
        create_time=1.0,
        expire_time=None,
    )


class FakeSession:
    """The head's end of one agent's stream."""

    def __init__(self, hello: Hello, link: AgentLink, token_node: str) -> None:
        self.hello = hello
        self.link = link
        self.token_node = token_node
        self.frames: list[AgentFrame] = []
        self.closings = 0
        self.gone = asyncio.Event()

    def receive(self, frame: AgentFrame) -> None:
        self.frames.append(frame)

    def closed(self) -> None:
        self.closings += 1
        self.gone.set()


class FakeFront:
    """Every method of the Protocols of the front door; calls are checked against them.

    Attributes:
        answers: By method: a value, an exception to raise, or a function that is called
            with the arguments and may be a coroutine function. For a stream: what it
            yields; an exception among it is raised, and ``Ellipsis`` waits for ever.
        calls: Method and bound arguments of every call, in order.
        ended: Streams whose generator was closed.
    """

    def __init__(self) -> None:
        self.serving = True
        self.admits_users = True
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.ended: list[str] = []
        self.stream_ended = asyncio.Event()
        self.sessions: list[FakeSession] = []
        self.refuse_agents: Exception | None = None
        self.tokens = {
            USER: token_row("ann", "user"),
            ADMINISTRATOR: token_row("root", "administrator"),
            NODE: token_row("n1", "node"),
        }

    def __getattr__(self, name: str) -> Callable[..., Any]:
        declared = next(filter(None, (getattr(f, name, None) for f in FRONTS)), None)
        if declared is None or name.startswith("_"):
            raise AttributeError(f"the front door has no {name}")
        signature = inspect.signature(declared)

        def noted(*args: Any, **kwargs: Any) -> dict[str, Any]:
            bound = signature.bind(self, *args, **kwargs).arguments
            del bound["self"]
            self.calls.append((name, bound))
            return bound

        async def call(*args: Any, **kwargs: Any) -> Any:
            bound = noted(*args, **kwargs)
            answer = self.answers.get(name)
            if isinstance(answer, Exception):
                raise answer
            answer = answer(**bound) if callable(answer) else answer
            return await answer if inspect.isawaitable(answer) else answer

        def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            noted(*args, **kwargs)
            return self._stream(name, iter(self.answers.get(name, ())))

        return stream if name in STREAMS else call

    async def _stream(self, name: str, items: Iterator[Any]) -> AsyncIterator[Any]:
        try:
            for item in items:
                if isinstance(item, BaseException):
                    raise item
                if item is ...:
                    await asyncio.Event().wait()
                yield item
        finally:
            self.ended.append(name)
            self.stream_ended.set()

    def authenticate(self, secret: str) -> TokenRow | None:
        return self.tokens.get(secret)

    def node_number(self, name: str) -> int:
        return int(name.removeprefix("n"))

    def admits(self, caller: Caller) -> bool:
        return caller.administrator or self.admits_users

    async def connect(
        self, hello: Hello, link: AgentLink, *, token_node: str
    ) -> FakeSession:
        if self.refuse_agents is not None:
            raise self.refuse_agents
        session = FakeSession(hello, link, token_node)
        self.sessions.append(session)
        return session

    @property
    def last(self) -> dict[str, Any]:
        """Arguments of the last call."""
        return self.calls[-1][1]
