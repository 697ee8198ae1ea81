"""Handing the head's orders down to the supervisor."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from node_agent.core import orders as o
from node_agent.core.definitions import DefinitionsFullError
from node_agent.core.messages import (
    MOST_ENTRIES,
    end_messages,
    entries_of,
    start_messages,
    stop_messages,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from node_agent.core.attempts import Attempts
    from node_agent.core.definitions import Definitions
    from node_agent.supervised import Supervisor

log = logging.getLogger(__name__)


class Carrier:
    """Tells the supervisor what the head has ordered, and remembers what it was.

    Attributes:
        takes_alike: Does the supervisor take orders for jobs that are alike?
    """

    def __init__(
        self, definitions: Definitions, attempts: Attempts, supervisor: Supervisor
    ) -> None:
        self._definitions = definitions
        self._attempts = attempts
        self._supervisor = supervisor
        self.takes_alike = False
        self._ways: Mapping[type[o.Order], Callable[[Any], None]] = {
            o.StartTasks: self._start,
            o.StartAlike: self._start_alike,
            o.StopTasks: self._stop,
            o.RecallTasks: self._stop,
            o.DefineTask: self._define,
            o.SetGrant: self._grant,
            o.EndJob: self._end_job,
            o.EndJobs: self._end_jobs,
            o.PurgeJob: self._purge,
        }

    def carry_out(self, order: o.Order) -> None:
        """Hand an order down; one to read is none for the supervisor."""
        way = self._ways.get(type(order))
        if way is None:
            log.error("an order to read came the wrong way")
        else:
            way(order)

    def _define(self, order: o.DefineTask) -> None:
        try:
            message = self._definitions.define(order)
        except DefinitionsFullError as error:
            # What is started by it is refused by the supervisor: tried elsewhere.
            log.error("a definition was left out", extra={"problem": str(error)})  # noqa: TRY400
            return
        if message is not None:
            self._supervisor.send(message)

    def _grant(self, order: o.SetGrant) -> None:
        try:
            message = self._definitions.grant(order.job_id, list(order.cores))
        except DefinitionsFullError as error:
            log.error("cores were left out", extra={"problem": str(error)})  # noqa: TRY400
            return
        self._supervisor.send(message)

    def _start(self, order: o.StartTasks) -> None:
        definition = self._definitions.find(
            order.job_id, order.task_id, order.definition
        )
        self._expect(order.job_id, order)
        for message in start_messages(order, definition):
            self._supervisor.send(message)

    def _start_alike(self, order: o.StartAlike) -> None:
        start, count = order.start, len(order.job_ids)
        message = None
        if self.takes_alike and 0 < count * len(start.instances) <= MOST_ENTRIES:
            with suppress(DefinitionsFullError):  # said of those that find no room
                message = self._definitions.define_alike(order)
        if message is None:
            for one in order.one_by_one():
                self.carry_out(one)
            return
        task, number = start.task_id, start.definition
        definition = self._definitions.find(order.job_ids[0], task, number)
        for job_id in order.job_ids:
            self._expect(job_id, start)
        self._supervisor.send([*message, entries_of(start, definition)])

    def _expect(self, job_id: int, order: o.StartTasks) -> None:
        """Note that the supervisor is told to start these attempts of a job."""
        columns = zip(order.instances, order.attempts, order.values, strict=True)
        for instance, attempt, value in columns:
            key = (job_id, order.task_id, instance, attempt)
            self._attempts.order(key, order.definition, value)

    def _stop(self, order: o.StopTasks | o.RecallTasks) -> None:
        for message in stop_messages(order):
            self._supervisor.send(message)

    def _end_job(self, order: o.EndJob) -> None:
        self._definitions.forget(order.job_id)
        self._supervisor.send(["end_job", order.job_id])

    def _end_jobs(self, order: o.EndJobs) -> None:
        for job_id in order.job_ids:
            self._definitions.forget(job_id)
        for message in end_messages(order, together=self.takes_alike):
            self._supervisor.send(message)

    def _purge(self, order: o.PurgeJob) -> None:
        self._supervisor.send(["purge", order.job_id])
