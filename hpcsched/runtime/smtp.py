"""Handing messages to a mail server. Blocks: for a thread of its own."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import EmailMessage

TIMEOUT_S: Final = 15.0
PORT: Final = 25
TLS_PORT: Final = 587
IMPLICIT_TLS_PORT: Final = 465
_PERMANENT: Final = 500


class MailServerError(Exception):
    """The mail server cannot be used now.

    Attributes:
        settled: Positions of messages that were sent, or refused for good, before.
        refused: Those that were refused for good.
    """

    def __init__(
        self, problem: str, settled: set[int], refused: Sequence[Refused]
    ) -> None:
        super().__init__(problem)
        self.settled = settled
        self.refused = refused


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where messages are handed in.

    Attributes:
        address: HOST or HOST:PORT; port 25 if none is given, 587 with TLS.
        tls: From the beginning on port 465, else by STARTTLS, without which nothing is
            sent. The server's certificate must be one that this machine trusts.
        trust: For tests: what certificates are checked with.
    """

    address: str
    tls: bool
    trust: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that the server did not take.

    Attributes:
        position: In the list that was handed in.
        again: It may be tried again.
    """

    position: int
    problem: str
    again: bool


def post(server: MailServer, messages: Sequence[EmailMessage]) -> list[Refused]:
    """Send messages over one connection; return those that were refused.

    Raises:
        MailServerError: the connection could not be made, or was lost on the way.
    """
    settled: set[int] = set()
    found: list[Refused] = []
    try:
        host, port = _address(server)
        with _connect(server, host, port) as connection:
            for position, message in enumerate(messages):
                refused = _send(connection, position, message)
                if refused is not None:
                    found.append(refused)
                if refused is None or not refused.again:
                    settled.add(position)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        problem = str(error) or type(error).__name__
        if len(settled) + sum(one.again for one in found) == len(messages):
            return found  # all was said and done; only the goodbye was not
        for_good = [one for one in found if not one.again]
        raise MailServerError(problem, settled, for_good) from error
    return found


def _address(server: MailServer) -> tuple[str, int]:
    """Return host and port.

    Raises:
        ValueError: there is no host, or the port is none.
    """
    parts = urlsplit(f"//{server.address}")
    if not parts.hostname:
        raise ValueError(f"{server.address!r} is not HOST or HOST:PORT")
    default = TLS_PORT if server.tls else PORT
    return parts.hostname, default if parts.port is None else parts.port


def _connect(server: MailServer, host: str, port: int) -> smtplib.SMTP:
    if not server.tls:
        return smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    trust = server.trust or ssl.create_default_context()
    if port == IMPLICIT_TLS_PORT:
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=trust)
    connection = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    try:
        connection.starttls(context=trust)
    except BaseException:
        connection.close()
        raise
    return connection


def _send(
    connection: smtplib.SMTP, position: int, message: EmailMessage
) -> Refused | None:
    try:
        connection.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        ((code, text),) = list(error.recipients.values())[:1]
        return _refused(position, code, text)
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        return _refused(position, error.smtp_code, error.smtp_error)
    except (smtplib.SMTPNotSupportedError, UnicodeError) as error:
        return Refused(position, str(error), again=False)
    return None


def _refused(position: int, code: int, text: bytes | str) -> Refused:
    said = text.decode(errors="replace") if isinstance(text, bytes) else text
    return Refused(position, f"{code} {said}", again=code < _PERMANENT)
