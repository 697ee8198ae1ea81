"""What the agent says: each message is checked before it changes anything."""

from __future__ import annotations

from node_agent.supervisor import protocol, records
from node_agent.supervisor.alike import Alike
from node_agent.supervisor.attempt import Attempt, mask_of
from node_agent.supervisor.checks import (
    check_attempts,
    check_cores,
    check_id,
    check_starts,
    fields,
    grace,
    reason,
)
from node_agent.supervisor.definition import FieldError
from node_agent.supervisor.familiar import Familiar
from node_agent.supervisor.usage import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from node_agent.supervisor.ending import Ender
    from node_agent.supervisor.node import Node
    from node_agent.supervisor.protocol import Message
    from node_agent.supervisor.starting import Starter
    from node_agent.supervisor.stopping import Stopper

DEFAULT_REASON = protocol.CANCELED


class Orders:
    """Checks messages and carries them out.

    Args:
        on_upgrade: Called to execute new code in place.
        on_shutdown: Called to end everything; no task lives.
    """

    def __init__(
        self,
        node: Node,
        starter: Starter,
        stopper: Stopper,
        ender: Ender,
        *,
        on_upgrade: Callable[[], None],
        on_shutdown: Callable[[], None],
    ) -> None:
        self._node = node
        self._usage = Usage(node)
        self._familiar = Familiar(node.user)
        self._starter = starter
        self._stopper = stopper
        self._ender = ender
        self._on_upgrade = on_upgrade
        self._on_shutdown = on_shutdown
        self._handlers: dict[str, Callable[[list[Any]], None]] = {
            protocol.DEFINE: self._define,
            protocol.GRANT: self._grant,
            protocol.START: self._start,
            protocol.STOP: self._stop,
            protocol.RECALL: self._recall,
            protocol.ALIKE: self._alike,
            protocol.END_JOB: self._end_job,
            protocol.END_JOBS: self._end_jobs,
            protocol.PURGE: self._purge,
            protocol.ACK: self._acknowledge,
            protocol.STOP_ALL: self._stop_all,
            protocol.SETTINGS: self._set,
            protocol.PING: self._ping,
            protocol.USAGE: self._tell_usage,
            protocol.UPGRADE: self._upgrade,
            protocol.SHUTDOWN: self._shut_down,
        }

    def obey(self, messages: list[Message]) -> None:
        """Carry out the messages of one read; a wrong one changes nothing."""
        link = self._node.link
        for name, *items in messages:
            if link is None or not (link.greeted or name == protocol.HELLO):
                if link is not None:
                    link.refuse("the first message must be hello")
                return
            if name == protocol.HELLO:
                self._greet(items)
                continue
            handler = self._handlers.get(name)
            if handler is None:
                self._node.say(protocol.ERROR, f"no message is called {name:.40}")
                continue
            try:
                handler(items)
            except FieldError as error:
                self._node.say(protocol.ERROR, str(error))

    # -- the inventory

    def _greet(self, items: list[Any]) -> None:
        node = self._node
        link = node.link
        if link is None:
            return
        hello = items[0] if items and isinstance(items[0], dict) else {}
        if hello.get("version") != protocol.VERSION:
            link.refuse(
                f"hello: version {hello.get('version')!r:.20} is not spoken here,"
                f" only {protocol.VERSION}"
            )
            return
        self._starter.settle()
        node.publish()  # what is in no agent's hands yet comes with all the rest
        hidden = node.unpublished()
        table = node.table
        link.send(
            protocol.encode_message(
                [
                    protocol.HELLO,
                    {
                        "version": protocol.VERSION,
                        "node": node.config.node,
                        "boot_id": node.boot_id,
                        "instance": table.instance,
                        "containment": node.containment,
                        "position": table.position,
                        "usage": True,
                        "alike": True,
                        "holds_starts": True,
                        "cores": len(node.launcher.cpus),
                        "running": [_inventory(item) for item in table.live.values()],
                        "queued": [
                            [*item.instance_key, item.attempt]
                            for item in table.queued.values()
                        ],
                    },
                ]
            )
        )
        link.greeted = True
        link.tells_job_ends = hello.get("job_ends") is not False
        link.report(
            text for text, _ in table.reports.values() if id(text) not in hidden
        )
        for warning in node.warnings:
            node.say(protocol.ERROR, warning)
        node.warnings.clear()

    # -- orders

    def _define(self, items: list[Any]) -> None:
        (raw,) = fields("define", items, 1)
        if not isinstance(raw, dict):
            raise FieldError("define: must be an object")
        definition = self._familiar.definition(raw)
        self._check_room("define", definition.job)
        self._keep(self._familiar.record)
        self._node.table.define(definition)

    def _check_room(self, name: str, job: int) -> None:
        """Refuse what would be the first of one job too many.

        Raises:
            FieldError: it would.
        """
        table = self._node.table
        if job not in table.jobs and not table.room_for_jobs:
            text = f"{len(table.jobs)} jobs are on this node, no more are taken"
            raise FieldError(f"{name}: job {job}: {text}")

    def _keep(self, record: bytes) -> None:
        """Append a record that an order asks for.

        Raises:
            FieldError: there is no space left for it.
        """
        node = self._node
        if not node.journal.has_room(len(record)):
            node.publish()
            if not node.compact() or not node.journal.has_room(len(record)):
                raise FieldError("no space left for the node's journal")
        node.journal.add(record)

    def _grant(self, items: list[Any]) -> None:
        job, cores = fields("grant", items, 2)
        check_id("grant: job", job)
        check_cores("grant", cores)
        self._check_room("grant", job)
        self._keep(records.granted(job, cores))
        self._node.table.grant(job, mask_of(cores))

    def _start(self, items: list[Any]) -> None:
        job, task, number, starts = fields("start", items, 4)
        for name, value in (("job", job), ("task", task), ("def", number)):
            check_id(f"start: {name}", value)
        check_starts("start", starts)
        self._starter.accept(job, task, number, starts)

    def _alike(self, items: list[Any]) -> None:
        alike = Alike(fields("alike", items, 5), self._node.user)
        if not self._starter.accept_alike(alike):
            self.obey(list(alike.one_by_one()))

    def _stop(self, items: list[Any]) -> None:
        job, task, attempts, grace_s, *rest = fields("stop", items, 4, 5)
        check_attempts("stop", job, task, attempts)
        why = reason("stop", rest, DEFAULT_REASON)
        self._stopper.stop(job, task, attempts, grace("stop", grace_s), why)

    def _recall(self, items: list[Any]) -> None:
        job, task, attempts = fields("recall", items, 3)
        check_attempts("recall", job, task, attempts)
        self._stopper.give_back(job, task, attempts)

    def _end_job(self, items: list[Any]) -> None:
        (job,) = fields("end_job", items, 1)
        check_id("end_job: job", job)
        self._stopper.end_job(job)

    def _end_jobs(self, items: list[Any]) -> None:
        (jobs,) = fields("end_jobs", items, 1)
        if not isinstance(jobs, list):
            raise FieldError("end_jobs: must be a list of jobs")
        for job in jobs:
            check_id("end_jobs: job", job)
        self._stopper.end_jobs(jobs)

    def _purge(self, items: list[Any]) -> None:
        (job,) = fields("purge", items, 1)
        check_id("purge: job", job)
        self._keep(records.purged(job))
        self._node.table.purge(job)
        self._node.outputs.purge(job)

    def _acknowledge(self, items: list[Any]) -> None:
        (position,) = fields("ack", items, 1)
        check_id("ack: position", position)
        node = self._node
        if position > node.table.position:
            raise FieldError(f"ack: position {position} was never given out")
        node.table.acknowledge(position)
        if node.journal.has_room(len(record := records.acknowledged(position))):
            node.journal.add(record)

    def _stop_all(self, items: list[Any]) -> None:
        grace_s, *rest = fields("stop_all", items, 1, 2)
        why = reason("stop_all", rest, DEFAULT_REASON)
        self._stopper.stop_all(grace("stop_all", grace_s), why)

    def _set(self, items: list[Any]) -> None:
        (settings,) = fields("settings", items, 1)
        if not isinstance(settings, dict):
            raise FieldError("settings: must be an object")
        quota = settings.get("output_quota")
        if quota is None:
            return
        if type(quota) is not int or quota < 0:
            raise FieldError("settings: output_quota: must be bytes from 0")
        node = self._node
        self._keep(records.set_to({"output_quota": quota}))
        node.table.settings["output_quota"] = quota
        node.outputs.quota = quota
        node.outputs.enforce()

    def _ping(self, items: list[Any]) -> None:
        (value,) = fields("ping", items, 1)
        self._node.say(protocol.PONG, value, urgent=False)
        self._node.gathering.answer()

    def _tell_usage(self, items: list[Any]) -> None:
        fields("usage", items, 0)
        self._node.say(protocol.USAGE, self._usage.read())

    def _upgrade(self, items: list[Any]) -> None:
        fields("upgrade", items, 0)
        self._on_upgrade()

    def _shut_down(self, items: list[Any]) -> None:
        fields("shutdown", items, 0)
        if self._node.table.has_work() or self._node.by_pid:
            raise FieldError("shutdown: tasks live on this node; stop_all ends them")
        self._on_shutdown()


def _inventory(attempt: Attempt) -> list[Any]:
    return [
        *attempt.key,
        attempt.pid or None,
        attempt.started_at,
        attempt.core_list,
        attempt.out_path,
        attempt.err_path,
        attempt.state,
    ]
