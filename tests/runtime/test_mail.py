"""Notifications: who is told what, and what happens when nobody takes them."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from hpcsched.common.errors import HpcError
from hpcsched.runtime import smtp
from hpcsched.runtime.front import Stop
from hpcsched.runtime.mailer import PAUSES_S, QUEUE_LIMIT, Mailer
from hpcsched.runtime.notices import Notice, message_of
from hpcsched.runtime.smtp import MailServerError, Refused, post
from tests.support.head_bench import ANN, NO_ID, ROOT, a_sweep
from tests.support.mail_server import MailServer
from tests.support.manual_clock import settle
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from email.message import EmailMessage

    from tests.support.head_bench import Bench

BOTH: dict[str, Any] = {"notify_on_start": True, "notify_on_completion": True}


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as made:
        yield made


async def use(bench: Bench, server: MailServer, **more: str) -> None:
    values = {
        "EmailNotificationEnabled": "True",
        "EmailSmtpServer": server.address,
        "EmailFromAddress": "hpc@site.example",
        **more,
    }
    await bench.head.set_parameters(ROOT, values, NO_ID)


async def told(server: MailServer, count: int) -> list[str]:
    await wait_for_async(lambda: server.subjects, until=lambda s: len(s) >= count)
    await settle()
    return server.subjects


async def test_a_job_tells_that_it_has_started_and_how_it_ended(
    bench: Bench, server: MailServer
) -> None:
    await use(bench, server)
    await bench.node()
    job_id = await bench.submit(a_sweep(3), email_address="ada@lab.example", **BOTH)
    await bench.until_state(job_id, "Finished")

    assert await told(server, 2) == [
        "[test] job 1 (job) has started",
        "[test] job 1 (job) is Finished",
    ]
    sender, recipients, message = server.messages[1]
    assert (sender, recipients) == ("hpc@site.example", ["ada@lab.example"])
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_content()
    assert "Tasks:     3 Finished" in text


async def test_an_owner_without_an_address_has_one_in_the_senders_domain(
    bench: Bench, server: MailServer
) -> None:
    await use(bench, server)
    job_id = await bench.submit(notify_on_completion=True, min_cores=9, max_cores=9)
    await bench.head.cancel_jobs(ANN, [job_id], Stop(message="enough"), NO_ID)

    assert await told(server, 1) == ["[test] job 1 (job) is Canceled"]
    assert server.messages[0][1] == ["ann@site.example"]
    assert "enough" in server.messages[0][2].get_content()


async def test_nobody_is_told_who_did_not_ask_or_where_it_is_switched_off(
    bench: Bench, server: MailServer
) -> None:
    await use(bench, server)
    await bench.node()
    silent = await bench.submit()
    ends = await bench.submit(notify_on_completion=True)
    await bench.until_state(silent, "Finished")
    await bench.until_state(ends, "Finished")
    assert await told(server, 1) == [f"[test] job {ends} (job) is Finished"]
    await use(bench, server, EmailNotificationEnabled="False")
    off = await bench.submit(**BOTH)
    await bench.until_state(off, "Finished")

    assert not bench.world.mailer._queue
    assert len(server.messages) == 1


def test_what_a_user_writes_gets_into_no_header() -> None:
    notice = Notice(
        job_id=1,
        owner="ann",
        address="ada@lab.example",
        subject="evil\r\nBcc: all@lab.example\x00",
        text=".\r\nQUIT\r\n",
    )
    message = message_of(notice, "hpc@site.example")

    assert message["Bcc"] is None
    assert message["Subject"] == "evil  Bcc: all@lab.example "
    for address in ("a@b\nBcc: c@d", "a@b, c@d", "<a@b>", "a@@b", "a b@c"):
        with pytest.raises(ValueError, match="no address"):
            message_of(
                Notice(job_id=1, owner="x", address=address, subject="", text=""),
                "hpc@site.example",
            )


class Post:
    """Stands for the connection: answers as the test says."""

    def __init__(self, *answers: list[Refused] | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[list[str]] = []

    def __call__(
        self, server: smtp.MailServer, messages: Sequence[EmailMessage]
    ) -> list[Refused]:
        self.sent.append([str(message["To"]) for message in messages])
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer


async def mailing(bench: Bench, *answers: Any) -> Post:
    """Let the head hand its messages to what the test says."""
    values = {"EmailNotificationEnabled": "True", "EmailSmtpServer": "mail"}
    await bench.head.set_parameters(ROOT, values, NO_ID)
    made = Post(*answers)
    bench.world.mailer = Mailer(bench.world, made)
    return made


async def cancel_one(bench: Bench, address: str = "ada@lab.example") -> None:
    spec: dict[str, Any] = {"min_cores": 9, "max_cores": 9, "email_address": address}
    job_id = await bench.submit(notify_on_completion=True, **spec)
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)


async def tries(bench: Bench, post: Post, count: int) -> None:
    await wait_for_async(lambda: len(post.sent), until=lambda n: n >= count)
    await settle()


async def test_what_the_server_cannot_take_now_is_tried_again_and_given_up(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    down = MailServerError("no route", set(), [])
    made = await mailing(bench, down, down, down, down)
    await cancel_one(bench)
    for attempt, pause in enumerate((*PAUSES_S, 0.0), start=1):
        await tries(bench, made, attempt)
        await wait_for_async(lambda: bench.clock.waiting, until=bool)
        await bench.clock.advance(pause + 1)

    await wait_for_async(lambda: bench.world.mailer.dropped, until=lambda n: n == 1)
    assert len(made.sent) == 4
    assert "no route" in caplog.text
    await cancel_one(bench)
    await tries(bench, made, 5)


async def test_only_what_was_not_settled_is_tried_again(bench: Bench) -> None:
    lost = MailServerError("gone", {0, 1}, [Refused(1, "550 who?", again=False)])
    made = await mailing(bench, lost, [Refused(1, "450 later", again=True)])
    notices = [
        Notice(job_id=1, owner=name, address=f"{name}@l.x", subject="", text="")
        for name in ("sent", "refused", "three", "four")
    ]
    bench.begin(bench.world.mailer._send(notices))
    for attempt, pause in enumerate(PAUSES_S[:2], start=1):
        await tries(bench, made, attempt)
        await wait_for_async(lambda: bench.clock.waiting, until=bool)
        await bench.clock.advance(pause + 1)
    await tries(bench, made, 3)

    assert made.sent[1:] == [["three@l.x", "four@l.x"], ["four@l.x"]]
    assert bench.world.mailer.dropped == 1


async def test_the_queue_is_bounded_and_nobody_waits_for_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    down = MailServerError("no route", set(), [])
    made = await mailing(bench, down)
    await cancel_one(bench)
    await tries(bench, made, 1)
    mailer = bench.world.mailer
    notice = Notice(job_id=5, owner="ann", address="", subject="", text="")
    for _ in range(QUEUE_LIMIT + 3):
        mailer._put(notice)

    assert len(mailer._queue) == QUEUE_LIMIT
    assert mailer.dropped == 3
    assert "1000 notifications wait" in caplog.text


def to(*addresses: str) -> list[EmailMessage]:
    return [
        message_of(
            Notice(job_id=1, owner="a", address=one, subject="s", text="t\n"), "h@s.x"
        )
        for one in addresses
    ]


def test_one_refused_recipient_does_not_keep_the_others_waiting(
    server: MailServer,
) -> None:
    server.refuse = {"no@l.x": "550 who?", "later@l.x": "451 busy"}
    where = smtp.MailServer(address=server.address, tls=False)

    refused = post(where, to("no@l.x", "yes@l.x", "later@l.x", "too@l.x"))

    assert refused == [
        Refused(0, "550 who?", again=False),
        Refused(2, "451 busy", again=True),
    ]
    assert [recipients for _, recipients, _ in server.messages] == [
        ["yes@l.x"],
        ["too@l.x"],
    ]


def test_a_lost_connection_tells_what_was_sent_before(server: MailServer) -> None:
    server.cut_after = 1
    where = smtp.MailServer(address=server.address, tls=False)

    with pytest.raises(MailServerError) as lost:
        post(where, to("a@l.x", "b@l.x"))

    assert lost.value.settled == {0}
    assert len(server.messages) == 1


def test_with_tls_nothing_is_sent_in_the_clear() -> None:
    authority = trustme.CA()
    trust, ours = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(trust)
    authority.issue_cert("localhost").configure_cert(ours)
    with MailServer(ours) as server:
        where = smtp.MailServer(address=server.address, tls=True, trust=trust)
        assert post(where, to("a@l.x")) == []
        assert len(server.messages) == 1
        stranger = smtp.MailServer(address=server.address, tls=True)
        with pytest.raises(MailServerError, match="certificate"):
            post(stranger, to("b@l.x"))
    with MailServer() as plain:
        where = smtp.MailServer(address=plain.address, tls=True, trust=trust)
        with pytest.raises(MailServerError, match="STARTTLS"):
            post(where, to("c@l.x"))
        assert plain.messages == []


@pytest.mark.parametrize("address", ["", "no such host:x", "127.0.0.1:1"])
def test_a_server_that_cannot_be_is_said_so(address: str) -> None:
    with pytest.raises(MailServerError):
        post(smtp.MailServer(address=address, tls=False), to("a@l.x"))


async def test_an_address_with_a_line_break_is_refused_with_the_job(
    bench: Bench,
) -> None:
    with pytest.raises(HpcError, match="blanks"):
        await bench.submit(email_address="a@b\nBcc: c@d")
