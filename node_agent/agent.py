"""The node between its two neighbours: the supervisor below, the head above.

What the supervisor says changes the table of attempts and fills the spool; what the
head orders is handed down. Both connections come and go on their own.

A lost supervisor ends the stream to the head, too. Orders on their way may be lost, and
only the comparison that begins each stream finds that out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from node_agent.acquaintance import Acquaintance
from node_agent.carrying import Carrier
from node_agent.config import site_variables
from node_agent.core.attempts import Attempts, Ended
from node_agent.core.definitions import Definitions
from node_agent.core.frames import Load, NodeFacts
from node_agent.core.news import (
    Inventory,
    NewsError,
    ended_of,
    inventory_of,
    refused_of,
    started_of,
)
from node_agent.core.session import StaleHeadError, check_term
from node_agent.core.spool import Spool
from node_agent.core.usage import Usages, usage_of
from node_agent.shelf import Shelf
from node_agent.supervised import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hpcsched.common.clock import Clock
    from node_agent.config import AgentConfig
    from node_agent.core.attempts import Inhabitant
    from node_agent.core.definitions import Message
    from node_agent.core.frames import Welcome
    from node_agent.core.orders import Key, Order
    from node_agent.probes.machine import Machine
    from node_agent.term import TermFile

log = logging.getLogger(__name__)

#: Round trips to the supervisor after which all of its journal has arrived: an answer
#: may overtake reports of its own turn, not of the one before.
SETTLING_PINGS: Final = 2

#: So many attempts that wait for a core keep a node busy, even with the shortest of
#: tasks, for longer than reports of starts and ends are gathered.
DEEP_QUEUE: Final = 32

#: So many times as many wait here as have ended since the head heard of an end: it has
#: time to send more before these have started.
PLENTY: Final = 3


class Agent:
    """The state of the agent, and what happens to it."""

    def __init__(
        self, config: AgentConfig, machine: Machine, clock: Clock, term: TermFile
    ) -> None:
        self._config = config
        self._machine = machine
        self._clock = clock
        self._term = term
        self._acquaintance = Acquaintance(config.dir / "head.json", clock)
        self._inventory: Inventory | None = None
        self._quota = 0
        self._attempts = Attempts()
        self._definitions = Definitions(config.name, site_variables(config))
        self._handed_down: deque[tuple[int, Callable[[], None]]] = deque()
        self._settling: list[int] = []
        self._wake: Callable[[], None] = _nobody
        self._interrupt: Callable[[str], None] = _nobody_to_interrupt
        self._acknowledged = 0
        self._ack_planned = False
        self.usages = Usages()
        self.spool = Spool()
        self.supervisor = Supervisor(str(config.supervisor_socket), clock, self)
        self._carrier = Carrier(self._definitions, self._attempts, self.supervisor)
        self.shelf = Shelf(
            config.output_dir, self._attempts, self._definitions, self.supervisor
        )
        self.ready = asyncio.Event()
        self._hears: dict[str, Callable[[Message], None]] = {
            "hello": self._hear_hello,
            "started": self._hear_started,
            "ended": self._hear_ended,
            "refused": self._hear_refused,
            "pong": self._hear_pong,
            "error": self._hear_error,
            "usage": self._hear_usage,
            "job_ended": _hear_nothing,
            "all_stopped": _hear_nothing,
        }

    # For the link: see link.stream.Node

    @property
    def has_deep_queue(self) -> bool:
        return self._attempts.queued >= DEEP_QUEUE

    @property
    def starts_have_waited(self) -> bool:
        return self._inventory is not None and self._inventory.holds_starts

    def has_plenty(self, ends: int) -> bool:
        return self._attempts.queued >= max(DEEP_QUEUE, PLENTY * ends)

    def facts(self) -> NodeFacts:
        inventory, machine = self._inventory, self._machine
        run, position = self._acquaintance.under(self._term.value)
        return NodeFacts(
            node=self._config.name,
            boot_id=inventory.boot_id if inventory else machine.boot_id,
            instance=inventory.instance if inventory else "",
            machine_id=machine.machine_id,
            cores=self._config.cores or machine.cores,
            sockets=machine.sockets,
            memory_bytes=machine.memory_bytes,
            containment=inventory.containment if inventory else "group",
            os=machine.os,
            groups=self._config.groups,
            term=self._term.value,
            version=self._config.version,
            hardware=machine.hardware,
            cluster=self._acquaintance.cluster,
            run=run,
            position=position,
        )

    def inventory(self) -> Iterable[Inhabitant]:
        return self._attempts.inventory(self.spool.ends())

    def load(self) -> Load:
        return Load(
            running=self._attempts.running,
            queued=self._attempts.queued,
            load=self._machine.load(),
            time=self._clock.wall(),
        )

    async def welcomed(self, welcome: Welcome) -> None:
        known = self._acquaintance.cluster
        if known and welcome.cluster and welcome.cluster != known:
            if any(True for _ in self.inventory()):
                raise StaleHeadError("work of another cluster lives here")
            await asyncio.to_thread(self._term.forget)  # the node moves there
        check_term(welcome.term, self._term.value)
        if welcome.term > self._term.value:
            await asyncio.to_thread(self._term.raise_to, welcome.term)
        if welcome.cluster:
            self._acquaintance.meet(welcome.cluster, welcome.run, welcome.term)
        if welcome.output_quota_bytes > 0:
            self._quota = welcome.output_quota_bytes
            self._send_settings()

    def heard_of(self, position: int) -> None:
        self._acquaintance.hear(position)

    def carry_out(self, orders: Iterable[Order], done: Callable[[], None]) -> None:
        for order in orders:
            self._carrier.carry_out(order)
        self._acknowledge()
        self._handed_down.append((self.supervisor.ping(), done))
        self.supervisor.flush()

    def acknowledged(self, position: int) -> None:
        self._acknowledged = position
        if not self._ack_planned:  # one message for all that this turn acknowledges
            self._ack_planned = True
            asyncio.get_running_loop().call_soon(self._acknowledge)

    def attach(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.usages.again()

    def ask_usage(self) -> None:
        tells = self._inventory is not None and self._inventory.tells_usage
        if tells and self._attempts.running:
            self.supervisor.send(["usage"])

    def on_interrupt(self, interrupt: Callable[[str], None]) -> None:
        """Name whom to call when the stream must end: the supervisor is lost."""
        self._interrupt = interrupt

    @property
    def term(self) -> int:
        """Highest term of a head so far."""
        return self._term.value

    # For the supervisor's connection: see supervised.Listener

    def supervisor_connected(self) -> None:
        self._forget_journal()

    def supervisor_said(self, messages: list[Message]) -> None:
        for message in messages:
            hear = self._hears.get(message[0])
            if hear is None:
                log.warning("unknown message", extra={"name_": str(message[0])})
                continue
            try:
                hear(message)
            except NewsError as error:
                self._hear_error(["error", str(error)])
            except Exception:  # a fault of ours must not end the connection
                log.exception("a message of the supervisor was not handled")
        if self.spool.has_waiting:
            self._wake()

    def supervisor_lost(self) -> None:
        self.ready.clear()
        self._handed_down.clear()
        self._interrupt("the supervisor is lost")

    def _hear_hello(self, message: Message) -> None:
        inventory = inventory_of(message[1] if len(message) > 1 else {})
        self._inventory = inventory
        self._carrier.takes_alike = inventory.takes_alike
        self._attempts.replace(inventory.live)
        self.usages.keep(key for key, _ in inventory.live)
        for known in self._definitions.replay():
            self.supervisor.send(known)
        self._send_settings()
        self._settling = [self.supervisor.ping()]

    def _hear_started(self, message: Message) -> None:
        news = started_of(message)
        key = news.report.key
        if not self.spool.add(news.position, news.report):
            return
        if self._attempts.ended(key) is None:  # delivered again, with its end behind it
            self._attempts.start(
                key, news.report.time, news.cores, news.out_path, news.err_path
            )
        self.shelf.changed(key)

    def _hear_ended(self, message: Message) -> None:
        position, report, left = ended_of(message)
        if not self.spool.add(position, report):
            return
        self._attempts.end(report.key, self._with_files(report.key, left))
        self.usages.forget(report.key)
        self.shelf.changed(report.key)

    def _hear_usage(self, message: Message) -> None:
        for key, usage in usage_of(message):
            if self._attempts.live(key) is not None:
                self.usages.take(key, usage)
        if self.usages.has_news:
            self._wake()

    def _hear_refused(self, message: Message) -> None:
        report = refused_of(message, self._clock.wall())
        if self._attempts.refuse(report.key):
            self.spool.add_unjournalled(report)
            self.shelf.changed(report.key)
        log.info(
            "start refused",
            extra={"attempt": report.key, "problem": report.message},
        )

    def _hear_pong(self, message: Message) -> None:
        number = message[1] if len(message) > 1 else 0
        if self._settling and number == self._settling[-1]:
            if len(self._settling) < SETTLING_PINGS:
                self._settling.append(self.supervisor.ping())
            else:
                self._settling = []
                self.ready.set()
        while self._handed_down and self._handed_down[0][0] <= number:
            self._handed_down.popleft()[1]()

    def _hear_error(self, message: Message) -> None:
        problem = str(message[1]) if len(message) > 1 else ""
        log.error("trouble with the supervisor", extra={"problem": problem})

    def _with_files(self, key: Key, left: Ended) -> Ended:
        """Add the user's files, as long as the definition is here to name them."""
        out = self.shelf.user_path(key, stderr=False)
        err = self.shelf.user_path(key, stderr=True)
        if out is None and err is None:
            return left
        return Ended(left.out_bytes, left.err_bytes, out, err)

    def _forget_journal(self) -> None:
        self.spool.clear()
        self._handed_down.clear()
        self._settling = []
        self._acknowledged = 0

    def _acknowledge(self) -> None:
        planned, self._ack_planned = self._ack_planned, False
        if planned and self._acknowledged:
            self.supervisor.send(["ack", self._acknowledged])

    def _send_settings(self) -> None:
        if self._quota:
            self.supervisor.send(["settings", {"output_quota": self._quota}])


def _hear_nothing(message: Message) -> None:
    """Take a message that asks for nothing."""


def _nobody() -> None:
    """Whom to wake while there is no stream."""


def _nobody_to_interrupt(_: str) -> None:
    """Whom to interrupt while there is no stream."""
