"""Deleting a job that has ended: what is written, and who forgets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.runtime.accounting import ended_tasks
from hpcsched.runtime.turns import request_row
from hpcsched.store.base import Delta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.model import Job
    from hpcsched.runtime.mail import Mail
    from hpcsched.runtime.world import World


def deleting_delta(job: Job, mail: Mail, now: float) -> Delta:
    """Return what deletes a job."""
    requests = []
    if mail.ledger is not None:
        requests = [request_row(mail.ledger, None, now)]
    sums = ended_tasks(job.counts, None)
    return Delta(purge_job=job.job_id, requests=requests, sums=sums)


def has_gone(world: World, job: Job, sums: Mapping[str, int], mail: Mail) -> None:
    """A job is deleted: tell who asked, and all who knew it."""
    world.tally.committed(sums)
    mail.answer(job.last_nodes, None)
    world.families.gone(job.job_id)
    world.apart.gone(job.job_id)
