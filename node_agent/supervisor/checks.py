"""Checks of what the agent says: each names the field and what it may be."""

from __future__ import annotations

from node_agent.supervisor.definition import FieldError, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_CORE = 65535
MAX_INSTANCE = 2**63 - 1
START_FIELDS = 5
PAIR_FIELDS = 2
MAX_REASON = 40


def fields(name: str, items: list[Any], least: int, most: int | None = None) -> Any:
    """Return a message's items.

    Raises:
        FieldError: there are more or fewer than it takes.
    """
    if not least <= len(items) <= (least if most is None else most):
        raise FieldError(f"{name}: takes {least} items, not {len(items)}")
    return items


def check_id(field: str, value: object) -> None:
    """Check the number of a job, a task or the like.

    Raises:
        FieldError: it is none.
    """
    if type(value) is not int or not 0 <= value <= MAX_INSTANCE:
        raise FieldError(f"{field}: must be an integer from 0, not {value!r:.40}")


def check_attempts(name: str, job: object, task: object, attempts: object) -> None:
    """Check whose attempts a message names.

    Raises:
        FieldError: they are no [instance, attempt] pairs of a task.
    """
    check_id(f"{name}: job", job)
    check_id(f"{name}: task", task)
    if not isinstance(attempts, list) or not all(
        isinstance(pair, list)
        and len(pair) == PAIR_FIELDS
        and all(type(number) is int for number in pair)
        for pair in attempts
    ):
        raise FieldError(f"{name}: attempts: must be [instance, attempt] pairs")


def check_cores(name: str, cores: object) -> None:
    """Check the cores of a grant.

    Raises:
        FieldError: they are no list of ids.
    """
    if not isinstance(cores, list) or not all(
        type(core) is int and 0 <= core <= MAX_CORE for core in cores
    ):
        raise FieldError(f"{name}: cores: must be a list of ids 0 to {MAX_CORE}")


def check_starts(name: str, starts: object) -> None:
    """Check the attempts of a start.

    Raises:
        FieldError: one of them makes no sense, or is there twice.
    """
    if not isinstance(starts, list):
        raise FieldError(f"{name}: must end with a list of attempts")
    instances = set()
    for item in starts:
        _check_start(item)
        instances.add(item[0])
    if len(instances) != len(starts):
        raise FieldError(f"{name}: an instance is named twice")


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


def grace(name: str, value: object) -> float | None:
    """Return a grace period in seconds; None: the definition's.

    Raises:
        FieldError: it is none.
    """
    if value is None:
        return None
    if type(value) not in {int, float} or value < 0:  # type: ignore[operator]
        raise FieldError(f"{name}: grace_s: must be seconds from 0, or null")
    return float(value)  # type: ignore[arg-type]


def reason(name: str, rest: list[Any], default: str) -> str:
    """Return why something is stopped.

    Raises:
        FieldError: it is no word.
    """
    word = rest[0] if rest and rest[0] is not None else default
    if not isinstance(word, str) or not word.isascii() or len(word) > MAX_REASON:
        raise FieldError(f"{name}: reason: must be a short word")
    return word
