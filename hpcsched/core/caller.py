"""Who calls, and what that allows (api.md section 1, roles)."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsched.common.errors import HpcError


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls: the name of the token's user, and whether it is an administrator's."""

    user: str
    administrator: bool = False

    def require_owner(self, owner: str, operation: str) -> None:
        """Refuse everybody but the owner and administrators.

        Raises:
            HpcError: PERMISSION_DENIED.
        """
        if not self.administrator and self.user != owner:
            raise HpcError("PERMISSION_DENIED", user=self.user, operation=operation)

    def require_administrator(self, operation: str) -> None:
        """Refuse everybody but administrators.

        Raises:
            HpcError: PERMISSION_DENIED.
        """
        if not self.administrator:
            raise HpcError("PERMISSION_DENIED", user=self.user, operation=operation)
