"""Clients of the head: calls that get lost, are answered late, and are repeated."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.runtime.front import Request
from tests.support.sim.loop import PROGRAM

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from hpcsched.runtime.head import Head
    from tests.support.sim.loop import Program, SimLoop
    from tests.support.sim.programs import HeadSite
    from tests.support.sim.story import Story

    Operation = Callable[[Head], Awaitable[Any]]

#: Refusals after which the same call is made again.
WEATHER = {"DISK_FULL", "OUTCOME_UNKNOWN", "QUEUE_FULL", "HEAD_STOPPING"}
DEADLINE_S = 20.0


class Unanswered(Exception):  # noqa: N818  it is no error of anybody's
    """Nobody knows what became of the call."""


class Clients:
    """Makes calls.

    Attributes:
        lossy: How likely a request or an answer gets lost.
        doubled: How likely a request arrives twice, the second time much later.
        late: How likely an answer takes seconds; the head may die meanwhile.
        asked: How often each operation reached a head.
        under_way: How many calls have no answer yet.
    """

    def __init__(
        self, loop: SimLoop, site: HeadSite, rng: random.Random, story: Story
    ) -> None:
        self.loop = loop
        self.site = site
        self.rng = rng
        self.story = story
        self.lossy = self.doubled = self.late = 0.0
        self.impatient = 0.0
        self.calls = self.under_way = 0
        self.asked: Counter[str] = Counter()
        self._waiting: dict[asyncio.Future[Any], None] = {}
        self._mourners: list[Callable[[], None]] = []
        site.on_end = self._head_ended
        site.on_elder = story.tell

    def mourn(self, program: Program, tell: Callable[[], None]) -> None:
        """Have somebody told of the death of the head that lives now."""
        if program.alive:
            self._mourners.append(tell)
        else:
            tell()

    def _head_ended(self, why: str) -> None:
        self.story.tell(why)
        mourners, self._mourners = self._mourners, []
        for tell in mourners:
            tell()
        waiting, self._waiting = self._waiting, {}
        for future in waiting:
            if not future.done():
                future.set_exception(Unanswered(why))

    def request(self, name: str) -> Request:
        digest = hashlib.sha256(name.encode()).digest()
        return Request(request_id=name, digest=digest)

    async def call(self, what: str, operation: Operation) -> Any:
        """Make a call until it is answered; return the answer.

        Raises:
            HpcError: it is refused.
            Unanswered: the client has given up.
        """
        self.under_way += 1
        try:
            return await self._until_answered(what, operation)
        finally:
            self.under_way -= 1

    async def _until_answered(self, what: str, operation: Operation) -> Any:
        while True:
            self.calls += 1
            try:
                answer = await self.once(operation)
            except Unanswered:
                if self.impatient and self.rng.random() < self.impatient:
                    self.story.tell(f"client: {what}: given up")
                    raise
            except HpcError as refusal:
                if refusal.reason not in WEATHER:
                    self.story.tell(f"client: {what}: refused: {refusal.reason}")
                    raise
            else:
                if not what.startswith("get "):
                    self.story.tell(f"client: {what}: done")
                return answer
            await asyncio.sleep(0.2 + self.rng.random() * 3)

    async def once(self, operation: Operation, deadline: float = DEADLINE_S) -> Any:
        """Make a call once."""
        await asyncio.sleep(self.rng.random() * 0.01)
        found = self.site.someone()
        if found is None:
            raise Unanswered("no head")
        head, program = found
        lost = self.rng.random()
        if lost < self.lossy / 2:
            raise Unanswered("the request was lost")
        if self.doubled and self.rng.random() < self.doubled:
            self._arrive_again(operation)
        work = operation(head)
        self.asked[getattr(work, "__name__", "other")] += 1
        answer = await self._run(program, work, deadline)
        if self.late and self.rng.random() < self.late:
            await asyncio.sleep(self.rng.random() * 10)
        if lost > 1 - self.lossy / 2:
            raise Unanswered("the answer was lost")
        return answer

    def _arrive_again(self, operation: Operation) -> None:
        """Have a request arrive once more, at whichever head there is by then."""

        def arrive() -> None:
            head, program = self.site.head, self.site.program
            if head is not None and program is not None and program.alive:
                program.start(forgotten(operation(head)))

        async def forgotten(work: Any) -> None:
            with contextlib.suppress(HpcError):
                await work

        seconds = self.rng.random() * self.rng.choice((0.01, 1.0, 60.0))
        token = PROGRAM.set(None)
        self.loop.call_later(seconds, arrive)
        PROGRAM.reset(token)

    async def _run(self, program: Program, work: Any, deadline: float) -> Any:
        future: asyncio.Future[Any] = self.loop.create_future()
        self._waiting[future] = None

        def answer(value: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        async def run() -> None:
            try:
                value = await work
            except HpcError as refusal:
                answer(None, refusal)
            except Exception as error:  # noqa: BLE001  clients see INTERNAL
                self.loop.failures.append(f"a call raised {error!r}")
                answer(None, HpcError("INTERNAL"))
            else:
                answer(value, None)

        task = program.start(run())
        try:
            await asyncio.wait({future}, timeout=deadline)
            if not future.done():
                task.cancel()  # as the gate ends a call at its deadline
                raise Unanswered("the deadline has passed")
            return future.result()
        finally:
            self._waiting.pop(future, None)
