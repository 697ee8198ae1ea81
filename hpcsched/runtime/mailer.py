"""Sends the notifications of committed turns, and holds nobody up.

Notices wait in a bounded queue in memory, and each is sent at most once; only where the
connection breaks between a message and the server's answer it may come twice. Those
that a stop of the head finds in the queue are not sent; neither is what the mail server
refuses for good, or does not take in four attempts.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from hpcsched.runtime.notices import message_of, notices_of
from hpcsched.runtime.smtp import MailServer, MailServerError, post

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from email.message import EmailMessage

    from hpcsched.core.job.model import Job
    from hpcsched.runtime.notices import Notice
    from hpcsched.runtime.smtp import Refused
    from hpcsched.runtime.turns import Decided
    from hpcsched.runtime.world import World

    Post = Callable[[MailServer, Sequence[EmailMessage]], list[Refused]]

log = logging.getLogger(__name__)
QUEUE_LIMIT: Final = 1_000
BATCH: Final = 50
PAUSES_S: Final = (60.0, 300.0, 900.0)
"""Before the second, third and fourth attempt."""


class Mailer:
    """See the module.

    Attributes:
        dropped: Notices for which there was no room, or that were given up.
    """

    def __init__(self, world: World, post: Post = post) -> None:
        self._world = world
        self._post = post
        self._queue: deque[Notice] = deque()
        self._busy = False
        self.dropped = 0

    def note(self, job: Job, decided: Decided) -> None:
        """Turns of a job are committed: tell who asked to be told."""
        spec = job.spec
        if not (spec.notify_on_start or spec.notify_on_completion):
            return
        if not self._world.settings.email:
            return
        turns = [decision.turn for decision, _ in decided]
        for notice in notices_of(self._world.scene.cluster, job, turns):
            self._put(notice)

    def _put(self, notice: Notice) -> None:
        if len(self._queue) >= QUEUE_LIMIT:
            self._drop([notice], f"{QUEUE_LIMIT} notifications wait")
            return
        self._queue.append(notice)
        if not self._busy:
            self._busy = True
            self._world.spawn(self._deliver())

    def _drop(self, notices: Sequence[Notice], problem: str) -> None:
        self.dropped += len(notices)
        jobs = ", ".join(str(notice.job_id) for notice in notices[:10])
        count = len(notices)
        log.error("%d notifications not sent (jobs %s): %s", count, jobs, problem)

    async def _deliver(self) -> None:
        try:
            while self._queue:
                count = min(BATCH, len(self._queue))
                await self._send([self._queue.popleft() for _ in range(count)])
        finally:
            self._busy = False

    async def _send(self, notices: list[Notice]) -> None:
        """Hand notices in, those that it may help again after a while."""
        for pause in (*PAUSES_S, None):
            left, problem = await self._attempt(notices)
            if not left:
                return
            if pause is None or not self._world.settings.email:
                self._drop(left, problem)
                return
            log.warning("notifications are tried again in %.0f s: %s", pause, problem)
            await self._world.clock.sleep(pause)
            notices = left

    async def _attempt(self, notices: list[Notice]) -> tuple[list[Notice], str]:
        """Try once; return what is to be tried again, and why."""
        settings = self._world.settings
        if not settings.email_server:
            return notices, "EmailSmtpServer is not set"
        sender = settings.email_from or f"hpcsched@{socket.gethostname()}"
        server = MailServer(address=settings.email_server, tls=settings.email_ssl)
        sendable: list[Notice] = []
        messages: list[EmailMessage] = []
        for notice in notices:
            try:
                messages.append(message_of(notice, sender))
            except ValueError as error:
                self._drop([notice], str(error))
            else:
                sendable.append(notice)
        if not messages:
            return [], ""
        try:
            refused = await self._in_thread(server, messages)
        except MailServerError as error:
            for one in error.refused:
                self._drop([sendable[one.position]], one.problem)
            left = [n for at, n in enumerate(sendable) if at not in error.settled]
            return left, f"{settings.email_server}: {error}"
        problem = ""
        again: list[Notice] = []
        for one in refused:
            if one.again:
                again.append(sendable[one.position])
                problem = one.problem
            else:
                self._drop([sendable[one.position]], one.problem)
        return again, problem

    async def _in_thread(
        self, server: MailServer, messages: Sequence[EmailMessage]
    ) -> list[Refused]:
        """Post in a thread that a stop of the head does not wait for."""
        loop = self._world.loop
        answer: asyncio.Future[list[Refused]] = loop.create_future()

        def tell(refused: list[Refused], error: Exception | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(refused)
            else:
                answer.set_exception(error)

        def work() -> None:
            refused: list[Refused] = []
            problem: Exception | None = None
            try:
                refused = self._post(server, messages)
            except Exception as error:  # noqa: BLE001  it is told to the loop
                problem = error
            try:
                loop.call_soon_threadsafe(tell, refused, problem)
            except RuntimeError:
                log.warning("the head stopped while notifications were sent")

        threading.Thread(target=work, name="hpcsched-mail", daemon=True).start()
        return await answer
