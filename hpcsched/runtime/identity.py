"""Which history of which cluster a head serves, and whether a node has seen another.

A node remembers the cluster, the run of the head that it heard last, and how far that
one had come. A head that knows less than a node was started on another store: on an
empty one, on another cluster's, or on an older copy of its own. It must not tell the
node to stop work that it does not know (RELIABILITY F10, F17).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcsched.store.progress import Progress, generation_of

if TYPE_CHECKING:
    from hpcsched.runtime.frames import Hello


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a head is.

    Attributes:
        cluster: Made with the store, and kept with it.
        run: Of this start of the head.
        term: Of this head.
        found: How far the store had come when this head found it.
    """

    cluster: str
    run: str
    term: int
    found: Progress


def is_foreign(identity: Identity, hello: Hello, next_job: int) -> bool:
    """Does work of another cluster live on the node?

    An agent of the first version names no cluster: then a store that never had a job
    knows none of its attempts. (What lives there includes what has ended and was not
    acknowledged.)
    """
    if hello.cluster:
        return bool(hello.live) and hello.cluster != identity.cluster
    newest = max((one.job_id for one in hello.live), default=0)
    return identity.found.next_job == 1 and newest >= next_job


def rolled_back(identity: Identity, hello: Hello, next_job: int) -> str:
    """Return what a node has seen that the store does not know; empty: nothing.

    Args:
        identity: The head's.
        hello: The node's; not a foreign one's.
        next_job: Number of the next job.
    """
    known = hello.cluster == identity.cluster
    moved = bool(hello.cluster) and not known  # from another cluster, with nothing
    earlier = generation_of(hello.term) < generation_of(identity.term)
    if moved or earlier or (known and hello.run == identity.run):
        return ""
    newest = max((one.job_id for one in hello.live), default=0)
    last = identity.found.last_seq
    # A node that names no run may have been told this term by this very head: it heard
    # the Welcome, and lost what it wrote of it, or had no time to write it.
    same = identity.term if hello.run else identity.term + 1
    if known and hello.term >= same:
        return f"it has seen a head of term {hello.term}, this one is {identity.term}"
    if known and hello.position > last:
        return f"it has heard of event {hello.position}, the store ended with {last}"
    if newest >= next_job:
        return f"job {newest} runs there, the store has none above {next_job - 1}"
    return ""


def seen_by(hello: Hello) -> Progress:
    """Return how far the cluster had come, as a node knows it."""
    newest = max((one.job_id for one in hello.live), default=0)
    return Progress(term=hello.term, next_job=newest + 1, last_seq=hello.position)
