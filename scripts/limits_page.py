"""The page of limits: their numbers come from the code, their words are here."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import fields
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT: Final = """\
What is above a limit is refused at once and changes nothing; the answer names
the field, the limit and, where there is one, the setting. `RESOURCE_EXHAUSTED` comes
with a hint how long to wait (`RetryInfo`), which `hpc` and the Python client obey, each with a little
chance so that not all come back at the same moment.
"""
SET: Final = """\
The table `[limits]` of `hpcschedd.toml`; whole numbers, read at the start. The head
reads nothing of a request that is above one of these, so that refusing costs little.
When `calls` or `megabytes` are used up, only those are refused who have more than an even
share of them. Large requests are carried out two at a time, one caller after the other.
"""
FIXED: Final = (
    "These are part of the program; a quota of an administrator may be lower."
)

#: Of each setting, what callers get.
REFUSALS: Final = {
    "connections": "the connection is closed",
    "connections_per_address": "`TOO_MANY_CONNECTIONS`",
    "connections_per_user": "`TOO_MANY_CONNECTIONS`",
    "calls": "`TOO_MANY_CALLS`",
    "calls_per_user": "`TOO_MANY_CALLS`",
    "streams": "`TOO_MANY_STREAMS`",
    "streams_per_user": "`TOO_MANY_STREAMS`",
    "megabytes": "`TOO_MANY_BYTES`",
    "megabytes_per_user": "`TOO_MANY_BYTES`",
}

#: (what, module, constant, unit, what callers get)
ROWS: Final = (
    ("A message on the wire", "rpc.options", "MAX_MESSAGE_BYTES", "MiB", "`RESOURCE_EXHAUSTED` of gRPC itself"),
    ("Metadata of a call", "rpc.options", "MAX_METADATA_BYTES", "KiB", "`RESOURCE_EXHAUSTED` of gRPC itself; from twice of it on always, before by chance"),
    ("Calls at once on one connection", "rpc.options", "MAX_CLIENT_STREAMS", "", "further ones wait in the client"),
    ("Streams at once on one connection of an agent", "rpc.options", "MAX_AGENT_STREAMS", "", "further ones wait in the agent"),
    ("Time to begin a connection (TLS, HTTP/2)", "rpc.options", "HANDSHAKE_MS", "ms", "the connection is closed"),
    ("Time that a connection stays without a call", "rpc.options", "IDLE_MS", "ms", "the connection is closed; the next call opens another"),
    ("A job's specification with its tasks, or the tasks of one AddTasks", "services.limits", "MAX_SPEC_BYTES", "MiB", "`SPEC_TOO_LARGE`"),
    ("Arguments and environment of a task together", "core.job.validation", "COMMAND_BYTES", "MiB", "`SPEC_TOO_LARGE`"),
    ("Tasks of a job", "core.job.validation", "TASK_LIMIT", "", "`OUT_OF_RANGE`"),
    ("Jobs of one SubmitJobs; tasks of one AddTasks or SubmitTasks", "services.limits", "MAX_BATCH", "", "`OUT_OF_RANGE`"),
    ("Jobs, tasks or nodes that one call acts on, or one watch is about", "services.limits", "MAX_TARGETS", "", "`OUT_OF_RANGE`"),
    ("A request id", "services.limits", "MAX_REQUEST_ID", "characters", "`REQUEST_ID_INVALID`"),
    ("A user's name", "services.limits", "MAX_USER_NAME", "characters", "`TEXT_TOO_LONG`"),
    ("One answer with a list", "services.limits", "MAX_PAGE_BYTES", "MiB", "a shorter page, and the token of the next one"),
    ("Events in one message of a watch", "services.limits", "MAX_EVENTS_PER_MESSAGE", "", "more messages"),
    ("One message of an output", "services.limits", "MAX_OUTPUT_BYTES", "KiB", "more messages"),
    ("One WaitJob", "services.limits", "MAX_WAIT_S", "s", "the job as it is then"),
    ("A call without a deadline of its own", "services.limits", "DEFAULT_DEADLINE_S", "s", "`DEADLINE_EXCEEDED`"),
    ("A stream whose reader takes nothing", "services.limits", "WRITE_DEADLINE_S", "s", "`QUEUE_FULL`; a watch goes on from its last cursor"),
    ("Calls of one user with a request id that are being carried out, also those that were given up", "runtime.ledger", "RUNNING_LIMIT", "", "`QUEUE_FULL`"),
    ("Calls that wait for one job", "runtime.job_actor", "MAIL_LIMIT", "", "`QUEUE_FULL`"),
    ("Notifications by mail that wait", "runtime.mailer", "QUEUE_LIMIT", "", "a line in the log; that one is not sent"),
    ("Output of one node that a slow reader keeps in the head", "runtime.reading", "WINDOW", "KiB", "the node waits"),
    ("What nodes of one command wrote and a slow reader keeps in the head", "runtime.following", "ROOM", "MiB", "the nodes wait"),
    ("Lines of the log that wait to be written", "common.logs", "CAPACITY", "", "further ones are dropped and counted"),
    ("Nodes", "runtime.node_registry", "NODE_LIMIT", "", "the agent is refused"),
    ("Hello frames of an agent", "services.limits", "MAX_HELLO_BYTES", "MiB", "`OUT_OF_RANGE`, to the agent"),
    ("Attempts that an agent tells of when it connects", "services.limits", "MAX_LIVE_ATTEMPTS", "", "`OUT_OF_RANGE`, to the agent"),
    ("Time for an agent to say who it is", "services.limits", "HELLO_DEADLINE_S", "s", "`INVALID_FIELD`, to the agent"),
)  # fmt: skip

_SIZES: Final = {"MiB": 1 << 20, "KiB": 1 << 10}


def lines() -> list[tuple[str, list[tuple[str, ...]]]]:
    """Return the sections of the page: a heading text and the rows below."""
    return [(SET, _settings()), (FIXED, [_fixed(*row) for row in ROWS])]


def _settings() -> list[tuple[str, ...]]:
    from hpcsched.common.limits import CallLimits  # noqa: PLC0415

    said = _attributes(inspect.getdoc(CallLimits) or "")
    return [
        (f"`{one.name}`", f"{one.default:,}", said[one.name], REFUSALS[one.name])
        for one in fields(CallLimits)
    ]


def _attributes(text: str) -> Mapping[str, str]:
    """Return what a docstring says of each attribute."""
    body = text.partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", body, re.MULTILINE)
    return {name: " ".join(said.split()) for name, said in found}


def _fixed(what: str, module: str, name: str, unit: str, get: str) -> tuple[str, ...]:
    value = getattr(importlib.import_module(f"hpcsched.{module}"), name)
    number = value / _SIZES[unit] if unit in _SIZES else value
    text = f"{number:,g}" if number < 1e6 else f"{int(number):,}"  # noqa: PLR2004
    return (what, f"{text} {unit}".strip(), get)
