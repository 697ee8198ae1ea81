"""A mail server of one thread on loopback, that answers as a test says."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from email.message import EmailMessage


class MailServer:
    """Takes messages; a context manager.

    Attributes:
        messages: What was sent, parsed, with the envelope's sender and recipients.
        refuse: Recipient to the line that refuses it.
        cut_after: Closes the connection after so many messages; None: never.
        silent: Takes connections and never says a word.
    """

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        self.messages: list[tuple[str, list[str], EmailMessage]] = []
        self.refuse: dict[str, str] = {}
        self.cut_after: int | None = None
        self.silent = False
        self._trust = trust
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    @property
    def address(self) -> str:
        return f"localhost:{self._socket.getsockname()[1]}"

    @property
    def subjects(self) -> list[str]:
        return [str(message["Subject"]) for _, _, message in self.messages]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer:
                if self.silent:
                    self._over.wait()
                    continue
                with suppress(OSError):
                    self._talk(peer)

    def _talk(self, peer: Any) -> None:
        lines = peer.makefile("rwb", buffering=0)
        lines.write(b"220 here\r\n")
        self._listen(lines, peer)

    def _listen(self, lines: Any, peer: Any = None) -> None:
        sender, recipients, taken = "", list[str](), 0
        while line := lines.readline().decode().strip():
            verb, _, rest = line.partition(" ")
            answer = "250 OK"
            match verb.upper():
                case "EHLO":
                    more = "250-STARTTLS\r\n" if self._trust else ""
                    answer = f"250-here\r\n{more}250 8BITMIME"
                case "STARTTLS" if self._trust is not None:
                    lines.write(b"220 go\r\n")
                    with self._trust.wrap_socket(peer, server_side=True) as inner:
                        self._listen(inner.makefile("rwb", buffering=0))
                    return
                case "MAIL":
                    sender, recipients = _address(rest), []
                case "RCPT":
                    recipients.append(_address(rest))
                    answer = self.refuse.get(recipients[-1], answer)
                case "DATA":
                    lines.write(b"354 go on\r\n")
                    body = b""
                    while (part := lines.readline()) != b".\r\n":
                        body += part
                    parsed: Any = message_from_bytes(body, policy=default)
                    self.messages.append((sender, recipients, parsed))
                    taken += 1
                case "QUIT":
                    lines.write(b"221 bye\r\n")
                    return
            lines.write(f"{answer}\r\n".encode())
            if taken == self.cut_after:
                return


def _address(text: str) -> str:
    return text[text.index("<") + 1 : text.index(">")]
