"""Limits of the head so low that a run of ours meets them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator

LOW = {
    "hpcsched.runtime.feed.TAIL": 8,
    "hpcsched.runtime.feed.PAGE": 5,
    "hpcsched.runtime.frames.ORDERS_PER_FRAME": 2,
    "hpcsched.runtime.job_actor.BATCH": 2,
    "hpcsched.runtime.job_actor.MAIL_LIMIT": 2,
    "hpcsched.runtime.ledger.RUNNING_LIMIT": 2,
    "hpcsched.runtime.registry.ENDED_KEPT": 2,
    "hpcsched.runtime.watching.SNAPSHOT_PAGE": 2,
    "hpcsched.store.sql.chores.SLICE_ROWS": 5,
    "hpcsched.store.sql.loading.BATCH_JOBS": 2,
    "hpcsched.store.sql.store.EVENTS_PER_READ": 3,
}


@contextmanager
def tight(*, wanted: bool) -> Iterator[None]:
    """Lower the limits for a while, if that is wanted."""
    with ExitStack() as stack:
        for name, value in LOW.items() if wanted else ():
            stack.enter_context(patch(name, value))
        yield
