"""Who may have tasks run as whom (properties.md 3.1, UserName)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from hpcsched.core.caller import Caller

FIELD: Final = "spec.user_name"
ROOT: Final = "root"
SEPARATORS: Final = frozenset(":/,")
"""Of passwd(5), paths and lists: no name has one."""


def check_run_as(name: str, owner: str, caller: Caller) -> None:
    """Refuse an account that the caller may not have a job's tasks run as.

    A job's tasks may always run as its owner. As anybody else only at the word of a
    job administrator, and never as root. That holds for whoever says what such tasks
    do as well: the owner of a job that an administrator has made run as another account
    cannot give it commands of his own. Whether there is such an account, and whether it
    is one of the system's, the node finds out that is to run it.

    Args:
        name: Of the account; empty: the owner.
        owner: The job's.
        caller: Who says so, or says what the tasks do.

    Raises:
        HpcError: PERMISSION_DENIED, INVALID_FIELD.
    """
    if not name or name == owner:
        return
    caller.require_job_administrator(f"run tasks as {name} ({FIELD})")
    if name == ROOT:
        problem = "tasks of others never run as root"
        raise HpcError("INVALID_FIELD", field=FIELD, problem=problem)
    if name[0] in "-+~" or not name.isprintable() or SEPARATORS & set(name):
        problem = f"{name!r} is no name of an account"
        raise HpcError("INVALID_FIELD", field=FIELD, problem=problem)
