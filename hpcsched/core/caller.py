"""Who calls, and what that allows (api.md section 1, roles).

A *user* acts on own jobs. A *job operator* may also look into, cancel, finish and
requeue the jobs of others; a *job administrator* may also change and submit them, and
run tasks as somebody else. Commands, nodes, parameters and tokens are the
*administrator's*, who may do everything. A *node*'s token opens the agent's stream of
one node and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hpcsched.common.errors import HpcError

USER: Final = "user"
JOB_OPERATOR: Final = "joboperator"
JOB_ADMINISTRATOR: Final = "jobadministrator"
ADMINISTRATOR: Final = "administrator"
NODE: Final = "node"
ROLES: Final = (USER, JOB_OPERATOR, JOB_ADMINISTRATOR, ADMINISTRATOR, NODE)
"""Roles of tokens, by the names that the store and the command line use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls: the name of the token's user, and what the token's role adds."""

    user: str
    administrator: bool = False
    job_administrator: bool = False
    job_operator: bool = False

    @classmethod
    def of(cls, user: str, role: str) -> Caller:
        """Return the caller of a token; a role that we do not know adds nothing."""
        return cls(
            user=user,
            administrator=role == ADMINISTRATOR,
            job_administrator=role == JOB_ADMINISTRATOR,
            job_operator=role == JOB_OPERATOR,
        )

    @property
    def role(self) -> str:
        """The name of the role."""
        if self.administrator:
            return ADMINISTRATOR
        if self.job_administrator:
            return JOB_ADMINISTRATOR
        return JOB_OPERATOR if self.job_operator else USER

    def require_owner(self, owner: str, operation: str) -> None:
        """Refuse who may not change the job of an owner.

        That may the owner, job administrators and administrators.

        Raises:
            HpcError: PERMISSION_DENIED.
        """
        if self.user != owner:
            self.require_job_administrator(operation)

    def require_operator(self, owner: str, operation: str) -> None:
        """Refuse who may not look into, cancel, finish or requeue an owner's job.

        That may the owner, job operators, job administrators and administrators.

        Raises:
            HpcError: PERMISSION_DENIED.
        """
        if not self.job_operator:
            self.require_owner(owner, operation)

    def require_job_administrator(self, operation: str) -> None:
        """Refuse everybody but job administrators and administrators.

        Raises:
            HpcError: PERMISSION_DENIED.
        """
        if not self.job_administrator:
            self.require_administrator(operation)

    def require_administrator(self, operation: str) -> None:
        """Refuse everybody but administrators.

        Raises:
            HpcError: PERMISSION_DENIED.
        """
        if not self.administrator:
            raise HpcError("PERMISSION_DENIED", user=self.user, operation=operation)
