"""What every verb is given: settings, the shape of its output, and a way to call."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TypeVar

from hpcsched.cli import settings
from hpcsched.cli.settings import Options, Settings

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from google.protobuf.message import Message
    from rich.console import Console

    from hpcsched.cli.tables import Table
    from hpcsched.client import AsyncClient
    from hpcsched.client.api import Api

T = TypeVar("T")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class App:
    """One call of ``hpc``.

    Attributes:
        options: Global options as given.
        as_json: Was ``--json`` given?
        quiet: Was ``--quiet`` given?
        verbose: How often ``-v`` was given.
    """

    __slots__ = ("_runner", "as_json", "options", "quiet", "verbose")

    def __init__(self) -> None:
        self.options = Options()
        self.as_json = False
        self.quiet = False
        self.verbose = 0
        self._runner: asyncio.Runner | None = None

    def settings(self) -> Settings:
        """Return how to reach the head."""
        return settings.resolve(self.options, settings.environment())

    def call(self, work: Callable[[Api], Coroutine[Any, Any, T]]) -> T:
        """Connect, make calls one after the other, and return what comes of them.

        It takes no event loop; see ``client.blocking``.

        Raises:
            KeyboardInterrupt: Ctrl-C; the call was cancelled.
        """
        with settings.open_blocking(self._found()) as client:
            return client.run(work(client))

    def follow(self, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """Connect, do work that streams or waits, and return what comes of it.

        Raises:
            KeyboardInterrupt: Ctrl-C; the work was cancelled.
        """
        found = self._found()

        async def go() -> T:
            async with settings.open_client(found) as client:
                return await work(client)

        return self.run(go())

    def _found(self) -> Settings:
        found = self.settings()
        if self.verbose:
            from hpcsched.cli.problems import note

            note(f"head {found.address}, token file {found.token_file or 'none'}")
        return found

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine comes to.

        gRPC clings to the first loop that it has seen, so a process has one.

        Raises:
            KeyboardInterrupt: Ctrl-C; the coroutine was cancelled.
        """
        import asyncio

        if self._runner is None:
            self._runner = asyncio.Runner()
        try:
            return self._runner.run(work)
        except BaseExceptionGroup as group:
            # Of several failures at once the first is the one to tell.
            raise _first(group) from None

    def close(self) -> None:
        """Close the loop, at the end of the command line."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    @property
    def color(self) -> str:
        """When to colour: ``auto``, ``always`` or ``never``."""
        if self.options.color:
            return self.options.color
        environ = settings.environment()
        config = settings.read_config(settings.config_path(environ))
        return config.get("color", "auto")

    def colored(self, *, stderr: bool = False) -> bool:
        """Say whether to colour what is written."""
        choice = self.color
        if choice != "auto":
            return choice == "always"
        stream = sys.stderr if stderr else sys.stdout
        return stream.isatty() and not os.environ.get("NO_COLOR")

    def console(self, *, stderr: bool = False) -> Console:
        """Return a terminal to draw on."""
        from rich.console import Console

        colored = self.colored(stderr=stderr)
        return Console(
            stderr=stderr,
            no_color=not colored,
            force_terminal=True if self.color == "always" else None,
            highlight=False,
        )

    def print_message(self, message: Message) -> None:
        """Print an API message as one JSON object."""
        from hpcsched.cli.shapes import to_dict

        self.print_json(to_dict(message))

    def print_json(self, value: object) -> None:
        """Print one JSON object, indented on a terminal."""
        import json

        indent = 2 if sys.stdout.isatty() else None
        self.print(json.dumps(value, ensure_ascii=False, indent=indent))

    def print_table(self, table: Table) -> None:
        """Print a table: drawn on a terminal, plain and untruncated where piped."""
        from hpcsched.cli.tables import draw, plain

        if sys.stdout.isatty() or self.color == "always":
            draw(table, self.console())
        else:
            self.print(plain(table))

    def print(self, text: object = "") -> None:
        """Print a line on stdout at once."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
