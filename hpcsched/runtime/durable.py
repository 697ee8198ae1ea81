"""Waiting for a commit, and what its failure is called."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from hpcsched.common.errors import HpcError
from hpcsched.runtime.eager import Begun

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from hpcsched.runtime.world import World
    from hpcsched.store.base import Delta

T = TypeVar("T")


def refusal_of(error: BaseException) -> HpcError:
    """Return what callers are told of a commit that failed.

    A full disk is an OSError (store.errors) and nothing was changed; of anything else
    it is not known.
    """
    full = isinstance(error, OSError)
    return HpcError("DISK_FULL" if full else "OUTCOME_UNKNOWN")


async def written(world: World, delta: Delta) -> int:
    """Return once a delta is durable, with the number of its first event.

    Raises:
        HpcError: DISK_FULL, OUTCOME_UNKNOWN.
    """
    future: asyncio.Future[int] = world.loop.create_future()

    def done(seq: int, error: BaseException | None) -> None:
        if future.done():
            return  # whoever waited has gone; what is committed stands
        if error is None:
            future.set_result(seq)
        else:
            future.set_exception(refusal_of(error))

    world.store.commit(delta, done)
    return await future


async def written_together(world: World, deltas: Sequence[Delta]) -> Sequence[int]:
    """Return once deltas are durable, with the number of the first event of each.

    Raises:
        HpcError: DISK_FULL, OUTCOME_UNKNOWN; then none is.
    """
    future: asyncio.Future[Sequence[int]] = world.loop.create_future()

    def done(seqs: Sequence[int], error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(seqs)
        else:
            future.set_exception(refusal_of(error))

    world.store.commit_together(deltas, done)
    return await future


async def to_its_end(world: World, work: Coroutine[Any, Any, T]) -> T:
    """Return what work returns, which goes on when whoever waits for it goes.

    Raises:
        Exception: what the work raises.
    """
    future: asyncio.Future[T] = world.loop.create_future()

    async def run() -> None:
        try:
            result = await work
        except Exception as error:  # noqa: BLE001  it is whoever waits' own
            future.set_exception(error)
            future.exception()  # who waits may have gone
        except BaseException:
            future.cancel()
            raise
        else:
            future.set_result(result)

    begun = Begun(run())
    if not begun.over:
        world.spawn(begun.rest())
    return await asyncio.shield(future)
