"""Specifications that were read of late: who submits the same has it read once."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from hpcsched.services.convert_job_spec import new_job

if TYPE_CHECKING:
    from hpcsched.api.v1 import job_pb2
    from hpcsched.runtime.front import NewJob

KEPT: Final = 64
LARGEST: Final = 4096
"""Bytes of a specification that is kept."""


class KnownSpecs:
    """See the module."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, NewJob] = OrderedDict()

    def value(self, spec: job_pb2.JobSpec, body: bytes, field: str) -> NewJob:
        """Return what a client asks for; of the same bytes the same value.

        Args:
            spec: The message.
            body: Its deterministic serialization.
            field: Its name, for refusals.

        Raises:
            HpcError: it asks for something that there is not.
        """
        known = self._known.get(body)
        if known is None:
            known = new_job(spec, field)
            # A user's blob is kept nowhere in the clear for longer than it takes.
            secret = any(task.user_blob for task in known.tasks)
            if len(body) <= LARGEST and not secret:
                self._known[body] = known
                if len(self._known) > KEPT:
                    self._known.popitem(last=False)
        return known
