"""The options that say as which accounts a node runs its tasks."""

from __future__ import annotations

import os

from node_agent.supervisor import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any


def add_options(parser: ArgumentParser) -> None:
    """Add them to the supervisor's others."""
    group = parser.add_argument_group("accounts of tasks")
    group.add_argument(
        "--run-as",
        choices=(commands.SELF, commands.OWNER),
        default=commands.SELF,
        help="self: tasks have this process's account, a job that names another one is"
        " refused (the default); owner: the account that the job names, or its"
        " owner's; needs root",
    )
    group.add_argument(
        "--min-uid",
        type=int,
        default=commands.MIN_UID,
        metavar="UID",
        help="with owner: refuse accounts with a lower user id"
        f" (default: {commands.MIN_UID}); 0 is always refused",
    )
    group.add_argument(
        "--privileged-groups",
        default=",".join(commands.PRIVILEGED),
        metavar="NAMES",
        help="with owner: refuse accounts in one of these groups, beside group 0"
        " (default: %(default)s)",
    )
    group.add_argument(
        "--allow-new-privileges",
        action="store_true",
        help="with owner: let tasks use setuid programs",
    )


def settings_of(parser: ArgumentParser, options: Namespace) -> dict[str, Any]:
    """Return the settings for the configuration; end the program if they are wrong."""
    if options.min_uid < 1:
        parser.error("--min-uid: must be 1 or more: no task runs as root")
    owner = options.run_as == commands.OWNER
    if owner and os.geteuid() != 0 and not options.end_tasks:
        parser.error("--run-as owner: only root can give a task another account")
    groups = (name.strip() for name in options.privileged_groups.split(","))
    return {
        "run_as": options.run_as,
        "min_uid": options.min_uid,
        "privileged": [name for name in groups if name],
        "new_privileges": options.allow_new_privileges,
    }
