"""What the agent says: each message is checked before it changes anything."""

from __future__ import annotations

from node_agent.supervisor import protocol, records
from node_agent.supervisor.attempt import Attempt, mask_of
from node_agent.supervisor.definition import Definition, FieldError, variables
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

MAX_CORE = 65535
MAX_INSTANCE = 2**63 - 1
START_FIELDS = 5
PAIR_FIELDS = 2
MAX_REASON = 40
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
            protocol.END_JOB: self._end_job,
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
        link.report(
            text for text, _ in table.reports.values() if id(text) not in hidden
        )
        for warning in node.warnings:
            node.say(protocol.ERROR, warning)
        node.warnings.clear()

    # -- orders

    def _define(self, items: list[Any]) -> None:
        (raw,) = _fields("define", items, 1)
        if not isinstance(raw, dict):
            raise FieldError("define: must be an object")
        definition = Definition(raw, self._node.user)
        self._keep(records.defined(raw))
        self._node.table.define(definition)

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
        job, cores = _fields("grant", items, 2)
        _check_id("grant: job", job)
        if not isinstance(cores, list) or not all(
            type(core) is int and 0 <= core <= MAX_CORE for core in cores
        ):
            raise FieldError(f"grant: cores: must be a list of ids 0 to {MAX_CORE}")
        self._keep(records.granted(job, cores))
        self._node.table.grant(job, mask_of(cores))

    def _start(self, items: list[Any]) -> None:
        job, task, number, starts = _fields("start", items, 4)
        for name, value in (("job", job), ("task", task), ("def", number)):
            _check_id(f"start: {name}", value)
        if not isinstance(starts, list):
            raise FieldError("start: must end with a list of attempts")
        instances = set()
        for item in starts:
            _check_start(item)
            instances.add(item[0])
        if len(instances) != len(starts):
            raise FieldError("start: an instance is named twice")
        self._starter.accept(job, task, number, starts)

    def _stop(self, items: list[Any]) -> None:
        job, task, attempts, grace_s, *rest = _fields("stop", items, 4, 5)
        _check_attempts("stop", job, task, attempts)
        why = _reason("stop", rest)
        self._stopper.stop(job, task, attempts, _grace("stop", grace_s), why)

    def _recall(self, items: list[Any]) -> None:
        job, task, attempts = _fields("recall", items, 3)
        _check_attempts("recall", job, task, attempts)
        self._stopper.give_back(job, task, attempts)

    def _end_job(self, items: list[Any]) -> None:
        (job,) = _fields("end_job", items, 1)
        _check_id("end_job: job", job)
        self._stopper.end_job(job)

    def _purge(self, items: list[Any]) -> None:
        (job,) = _fields("purge", items, 1)
        _check_id("purge: job", job)
        self._keep(records.purged(job))
        self._node.table.purge(job)
        self._node.outputs.purge(job)

    def _acknowledge(self, items: list[Any]) -> None:
        (position,) = _fields("ack", items, 1)
        _check_id("ack: position", position)
        node = self._node
        if position > node.table.position:
            raise FieldError(f"ack: position {position} was never given out")
        node.table.acknowledge(position)
        if node.journal.has_room(len(record := records.acknowledged(position))):
            node.journal.add(record)

    def _stop_all(self, items: list[Any]) -> None:
        grace_s, *rest = _fields("stop_all", items, 1, 2)
        why = _reason("stop_all", rest)
        self._stopper.stop_all(_grace("stop_all", grace_s), why)

    def _set(self, items: list[Any]) -> None:
        (settings,) = _fields("settings", items, 1)
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
        (value,) = _fields("ping", items, 1)
        self._node.say(protocol.PONG, value)

    def _tell_usage(self, items: list[Any]) -> None:
        _fields("usage", items, 0)
        self._node.say(protocol.USAGE, self._usage.read())

    def _upgrade(self, items: list[Any]) -> None:
        _fields("upgrade", items, 0)
        self._on_upgrade()

    def _shut_down(self, items: list[Any]) -> None:
        _fields("shutdown", items, 0)
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


def _fields(name: str, items: list[Any], least: int, most: int | None = None) -> Any:
    if not least <= len(items) <= (least if most is None else most):
        raise FieldError(f"{name}: takes {least} items, not {len(items)}")
    return items


def _check_id(field: str, value: object) -> None:
    if type(value) is not int or not 0 <= value <= MAX_INSTANCE:
        raise FieldError(f"{field}: must be an integer from 0, not {value!r:.40}")


def _check_attempts(name: str, job: object, task: object, attempts: object) -> None:
    """Check whose attempts a message names.

    Raises:
        FieldError: they are no [instance, attempt] pairs of a task.
    """
    _check_id(f"{name}: job", job)
    _check_id(f"{name}: task", task)
    if not isinstance(attempts, list) or not all(
        isinstance(pair, list)
        and len(pair) == PAIR_FIELDS
        and all(type(number) is int for number in pair)
        for pair in attempts
    ):
        raise FieldError(f"{name}: attempts: must be [instance, attempt] pairs")


def _check_start(item: object) -> None:
    """Check one attempt of a start.

    Raises:
        FieldError: it is not [instance, attempt, value, ncores, env or null].
    """
    if not isinstance(item, list) or len(item) != START_FIELDS:
        raise FieldError("start: an attempt is [instance, attempt, value, ncores, env]")
    instance, attempt, value, ncores, extra = item
    if type(instance) is not int or not 0 <= instance <= MAX_INSTANCE:
        raise FieldError(f"start: instance: must be from 0, not {instance!r:.40}")
    if type(attempt) is not int or not 0 <= attempt <= MAX_INSTANCE:
        raise FieldError(f"start: attempt: must be from 0, not {attempt!r:.40}")
    if value is not None and type(value) not in {int, str}:
        raise FieldError("start: value: must be an integer or a string")
    if type(ncores) is not int or not 0 <= ncores <= MAX_CORE + 1:
        raise FieldError(f"start: ncores: must be 0 to {MAX_CORE + 1}")
    if extra is not None:
        variables(extra, "start: env")


def _grace(name: str, value: object) -> float | None:
    if value is None:
        return None
    if type(value) not in {int, float} or value < 0:  # type: ignore[operator]
        raise FieldError(f"{name}: grace_s: must be seconds from 0, or null")
    return float(value)  # type: ignore[arg-type]


def _reason(name: str, rest: list[Any]) -> str:
    reason = rest[0] if rest and rest[0] is not None else DEFAULT_REASON
    if not isinstance(reason, str) or not reason.isascii() or len(reason) > MAX_REASON:
        raise FieldError(f"{name}: reason: must be a short word")
    return reason
