"""An event loop on virtual time, in which simulated programs live and die.

Time jumps to the next timer. Among what is ready the seed chooses, because asyncio's
FIFO hides races; what one task has asked for keeps its order (RELIABILITY.md 4.4).

A program is killed as ``kill -9`` kills it: nothing of it runs any more, no ``finally``
either. Its coroutines stay referenced until the run is over.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import sys
import warnings
from asyncio import base_events, events
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections import deque
    from collections.abc import Callable, Coroutine
    from contextvars import Context


class DeadlockError(AssertionError):
    """Nothing is ready and nothing is planned: everybody waits for ever."""


class Program:
    """One run of a simulated program.

    Attributes:
        alive: It has not been killed.
        frozen: It was stopped (SIGSTOP): what it has to do waits.
        fuse: So many callbacks later it dies; below 0: it does not.
    """

    __slots__ = ("_backlog", "_loop", "alive", "frozen", "fuse", "name", "on_death")

    def __init__(self, loop: SimLoop, name: str) -> None:
        self._loop = loop
        self.name = name
        self.alive = True
        self.frozen = False
        self.fuse = -1
        self.on_death: Callable[[], None] | None = None
        self._backlog: list[SimHandle] = []

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let a coroutine run as a part of this program."""
        context = copy_context()
        context.run(PROGRAM.set, self)
        return self._loop.create_task(work, context=context)

    def soon(self, call: Callable[..., object], *args: Any) -> None:
        """Let a callback come as a part of this program."""
        context = copy_context()
        context.run(PROGRAM.set, self)
        self._loop.call_soon(call, *args, context=context)

    def kill(self) -> None:
        """End it at once."""
        if self.alive:
            self.alive = False
            self._loop.graveyard.append(self._backlog)
            if self.on_death is not None:
                self.on_death()

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        backlog, self._backlog = self._backlog, []
        self._loop.add_ready(backlog)

    def put_off(self, handle: SimHandle) -> None:
        self._backlog.append(handle)


PROGRAM: ContextVar[Program | None] = ContextVar("program", default=None)


class SimHandle(events.Handle):
    """A callback, and the lane in which it keeps its place."""

    __slots__ = ("lane",)

    # Made tens of thousands of times a run: what asyncio's own sets, and no more.
    def __init__(
        self,
        callback: Callable[..., Any],
        args: Any,
        loop: SimLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = self._source_traceback = None
        owner = getattr(callback, "__self__", None)
        self.lane: Any = owner if isinstance(owner, asyncio.Task) else loop.lane


class SimTimerHandle(events.TimerHandle):
    """A callback of a later moment; it begins a lane of its own."""

    __slots__ = ("lane",)

    def __init__(
        self,
        when: float,
        callback: Callable[..., Any],
        args: Any,
        loop: SimLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = self._scheduled = False
        self._repr = self._source_traceback = None
        self._when = when
        self.lane = None


class SimFuture(asyncio.Future[Any]):
    """A future whose place in a set does not hang on where it lies in memory."""

    def __init__(self, loop: SimLoop) -> None:
        super().__init__(loop=loop)
        self._number = loop.next_number()

    def __hash__(self) -> int:
        return self._number


class SimTask(asyncio.Task[Any]):
    """The same of a task: asyncio keeps those of a TaskGroup in a set."""

    def __init__(self, work: Any, loop: SimLoop, context: Any) -> None:
        self._number = loop.next_number()
        self.program = PROGRAM.get() if context is None else context.get(PROGRAM)
        super().__init__(work, loop=loop, context=context, name=f"{self._number}")

    def __hash__(self) -> int:
        return self._number


class SimLoop(base_events.BaseEventLoop):
    """See the module.

    Attributes:
        steps: Callbacks so far.
        lateness: How likely, and how late at the most in seconds, a timer comes late.
        failures: What must not have happened, and has.
        most_steps: A run that is longer does not come to its end.
        on_trouble: Called after a callback of a program when there are failures, or
            too many steps.
    """

    # Of asyncio's own, which a test keeps an eye on.
    _ready: deque[Any]
    _stopping: bool

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._now = 0.0
        self._rng = rng
        self._clock_resolution = 1e-9
        self.lane: Any = None
        self.steps = 0
        self._numbers = 0
        self.lateness = (0.0, 0.0)
        self.most_steps = sys.maxsize
        self.on_trouble: Callable[[], None] = lambda: None
        self._timers: list[tuple[float, int, SimTimerHandle]] = []
        self._timer_numbers = 0
        self.graveyard: list[Any] = []
        self.sockets: dict[str, Any] = {}
        self.failures: list[str] = []
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        return self._now

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def create_future(self) -> SimFuture:
        return SimFuture(self)

    def _complain(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        what = context.get("future") or context.get("handle") or ""
        self.failures.append(f"{context.get('message')}: {error!r} {what!r:.300}")

    def _make_task(
        self, loop: Any, work: Any, *, context: Any = None
    ) -> asyncio.Task[Any]:
        task = SimTask(work, self, context)
        self.graveyard.append(task)
        if len(self.graveyard) > 50_000:
            self.graveyard = [
                one
                for one in self.graveyard
                if not (isinstance(one, asyncio.Task) and one.done())
            ]
        return task

    # What asyncio asks of a loop

    def _process_events(self, event_list: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> SimHandle:
        handle = SimHandle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        chance, most = self.lateness
        if chance and self._rng.random() < chance:
            when += self._rng.random() * most
        timer = SimTimerHandle(when, callback, args, self, context)
        self._timer_numbers += 1
        heapq.heappush(self._timers, (when, self._timer_numbers, timer))
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        """Do at once what a thread would do; its end is heard a moment later."""
        future = self.create_future()
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001  it is the caller's
            found: tuple[Any, BaseException | None] = None, error
        else:
            found = result, None

        def tell() -> None:
            if future.done():
                return
            if found[1] is None:
                future.set_result(found[0])
            else:
                future.set_exception(found[1])

        self.call_later(self._rng.random() * 0.002, tell)
        return future

    async def create_unix_connection(
        self, protocol_factory: Any, path: str | None = None, **_: Any
    ) -> Any:
        """Connect to whoever listens in this simulation."""
        listener = self.sockets.get(str(path))
        if listener is None:
            raise ConnectionRefusedError(111, f"nobody listens at {path}")
        protocol = protocol_factory()
        transport = listener(protocol, PROGRAM.get())
        protocol.connection_made(transport)
        return transport, protocol

    # How it runs

    def add_ready(self, handles: list[SimHandle]) -> None:
        self._ready.extend(handles)

    def _run_once(self) -> None:
        """Run until somebody says stop: asyncio asks after each round."""
        timers, ready = self._timers, self._ready
        pop, chance = heapq.heappop, self._rng.random
        while not self._stopping:
            while timers and timers[0][2]._cancelled:
                pop(timers)
            if not ready:
                if not timers:
                    raise DeadlockError("nothing is ready and nothing is planned")
                self._now = max(self._now, timers[0][0])
            now = self._now
            while timers and timers[0][0] <= now:
                timer = pop(timers)[2]
                if not timer._cancelled:
                    ready.append(timer)
            if len(ready) > 1:
                handle = self._choose(int(chance() * len(ready)))
            else:
                handle = ready.popleft()
            if not handle._cancelled:
                self._run(handle)

    def _choose(self, at: int) -> Any:
        """Take what is ready at this place, or what has to come before it."""
        ready = self._ready
        handle = ready[at]
        lane = handle.lane
        if lane is not None and at:
            for place in range(at):
                if ready[place].lane is lane:
                    handle, at = ready[place], place
                    break
        del ready[at]
        return handle

    def _run(self, handle: Any) -> None:
        program = handle._context.get(PROGRAM)
        if program is not None:
            if not program.alive:
                self.graveyard.append(handle)
                return
            if program.frozen:
                program.put_off(handle)
                return
        self.steps += 1
        self.lane = handle.lane or handle
        handle._run()
        if program is not None and program.alive:
            if self.failures or self.steps > self.most_steps:
                self.on_trouble()
            if program.fuse >= 0:
                program.fuse -= 1
                if program.fuse < 0:
                    program.kill()

    def bury(self) -> None:
        """Let everything go that the dead have left."""
        hook = sys.unraisablehook
        sys.unraisablehook = lambda _: None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._let_go()
            gc.collect()  # now that nothing here holds the tasks either
        sys.unraisablehook = hook
        self.close()

    def _let_go(self) -> None:
        tasks = [one for one in self.graveyard if isinstance(one, asyncio.Task)]
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            if not task.done():
                _close(task.get_coro())
        self._ready.clear()
        self._timers.clear()
        self.graveyard.clear()
        self.sockets.clear()
        self.on_trouble = lambda: None
        self.set_exception_handler(lambda *_: None)


def _close(work: Any) -> None:
    """End a coroutine whose cleaning up waits for others that never run again."""
    for _ in range(20):
        try:
            work.close()
        except RuntimeError:  # it ignored the wish, and waits somewhere else now
            continue
        except BaseException:  # noqa: BLE001  whatever it had on its mind
            return
        else:
            return
