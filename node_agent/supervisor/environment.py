"""The environment of a process: what its definition says, and what it has alone."""

from __future__ import annotations

from node_agent.supervisor.attempt import core_text
from node_agent.supervisor.definition import encoded
from node_agent.supervisor.pinned import vector

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from node_agent.supervisor.attempt import Attempt, Queued
    from node_agent.supervisor.pinned import Vector

#: Names of the task to which those of an element add its number.
_WITH_INSTANCE = (b"CCP_TASKSYSTEMID", b"CCP_TASKCONTEXT")


def environment_of(attempt: Attempt, queued: Queued) -> dict[bytes, bytes]:
    """Return all variables of an attempt."""
    environment = attempt.definition.environment
    if queued.extra:
        for name, value in queued.extra.items():
            environment[encoded(name)] = encoded(value)
    if attempt.instance:
        for own in _WITH_INSTANCE:
            if own in environment:
                environment[own] += b".%d" % attempt.instance
    environment.update(_own_variables(attempt))
    return environment


def _own_variables(attempt: Attempt) -> dict[bytes, bytes]:
    """Return the variables that differ from attempt to attempt, by their names."""
    instance = b"%d" % attempt.instance
    own = {
        b"CCP_TASKINSTANCEID": instance,
        b"HPC_ATTEMPT": b"%d" % attempt.attempt,
        b"HPC_TASK": attempt.definition.tag_prefix.encode() + instance,
    }
    if attempt.cores:
        own[b"CCP_COREIDS"] = core_text(attempt.cores, " ").encode()
    return own


def words_of(environment: Mapping[bytes, bytes]) -> list[bytes]:
    """Return an environment as a process gets it."""
    return [b"%b=%b" % item for item in environment.items()]


def shared_and_own(attempt: Attempt) -> tuple[Vector, list[bytes]]:
    """Return what all attempts of a definition have, and what this one has alone.

    That is the environment of one whose start brings none of its own.
    """
    definition = attempt.definition
    given, common = definition.given, definition.common
    own = {**definition.own, **_own_variables(attempt)}
    for name in _WITH_INSTANCE:
        if name in given:
            text = own.get(name, given[name])
            own[name] = text + b".%d" % attempt.instance if attempt.instance else text
    if common.words is None:
        changing = {*own, b"CCP_COREIDS"}
        kept = {name: given[name] for name in given if name not in changing}
        common.words = vector(words_of(kept))
    if b"CCP_COREIDS" in given:
        own.setdefault(b"CCP_COREIDS", given[b"CCP_COREIDS"])
    return common.words, words_of(own)
