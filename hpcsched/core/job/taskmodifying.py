"""Changing a task while it and its job are Configuring (properties.md 2 and 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.common.errors import HpcError
from hpcsched.core.job.accounts import check_run_as
from hpcsched.core.job.commandjob import refuse_command
from hpcsched.core.job.events import EventName
from hpcsched.core.job.locating import show
from hpcsched.core.job.modifying import check_revision
from hpcsched.core.job.taskchanging import (
    changed,
    check_states,
    in_place_of,
    tables_of,
)
from hpcsched.core.job.validation import validate_changed

if TYPE_CHECKING:
    from hpcsched.core.job.commands import ModifyTask
    from hpcsched.core.job.turn import Turn


def modify_task(turn: Turn, command: ModifyTask) -> None:
    """Change properties of a task, all or none.

    Another range makes other elements (lifecycle.md 6); those whose value stays are
    kept with what they have done.

    Raises:
        HpcError: PERMISSION_DENIED, REVISION_CONFLICT, TASK_NOT_FOUND,
            TASK_NOT_MODIFIABLE, ELEMENTS_HAVE_ENDED, or what a validation refuses.
    """
    job = turn.job
    name = show(job.job_id, (command.task_id, 0))
    command.caller.require_owner(job.owner, f"modify task {name}")
    check_run_as(job.spec.user_name, job.owner, command.caller)
    check_revision(job, command.expected_revision)
    refuse_command(job, "modify tasks of")
    record = job.task(command.task_id)
    if record is None:
        raise HpcError("TASK_NOT_FOUND", job_id=job.job_id, task=name)
    check_states(job, record, name)
    new = changed(record.spec, in_place_of(command.changes), command.entries)
    if new == record.spec:
        return
    specs = [one.spec for one in job.tasks]
    specs[record.task_id - 1] = new
    validate_changed(job.spec, specs, record.task_id - 1, turn.settings)
    tables = tables_of(job, record, new, name)
    turn.emit(EventName.TASK_MODIFIED, respecs={record.task_id: new}, tables=tables)
