"""Use cases of tokens: who may call."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.caller import ROLES
from hpcsched.runtime.durable import written
from hpcsched.runtime.front import NO_REQUEST
from hpcsched.runtime.turns import request_row
from hpcsched.store.base import Delta, TokenRow

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.runtime.front import Request
    from hpcsched.runtime.ledger import Ledgers
    from hpcsched.runtime.mail import Ledger
    from hpcsched.runtime.world import World

USER_LIMIT: Final = 80
#: Before the digests of tokens that came from a file, in names of counters.
ADOPTED: Final = "adopted "


class TokenCalls:
    """The part of ``runtime.front.ClusterFront`` about tokens."""

    _world: World
    _ledgers: Ledgers
    _tokens: dict[bytes, TokenRow]
    _token_lock: asyncio.Lock
    _counters: Mapping[str, int]

    async def create_token(
        self,
        caller: Caller,
        user: str,
        role: str,
        lifetime_s: float | None,
        request: Request = NO_REQUEST,
    ) -> tuple[TokenRow, str]:
        """Return a new token's row and its secret, which is not kept.

        A repeated request makes no second token. Its first answer may have been lost,
        and no secret can be told twice: the token gets a new one, the old one is void.

        Raises:
            HpcError: PERMISSION_DENIED, INVALID_FIELD, REQUIRED_FIELD, TEXT_TOO_LONG,
                OUT_OF_RANGE; TOKEN_NOT_FOUND: it was revoked since the first request.
        """
        caller.require_administrator("create tokens")
        _check(user, role, lifetime_s)
        now = self._world.clock.wall()
        secret = self._new_secret()
        row = TokenRow(
            token_id=self._world.ids.uuid(),
            digest=_digest(secret),
            user=user,
            role=role,
            create_time=now,
            expire_time=None if lifetime_s is None else now + lifetime_s,
        )

        async def act(ledger: Ledger | None) -> Any:
            requests = []
            if ledger is not None:
                requests = [request_row(ledger, row.token_id, now)]
            await written(self._world, Delta(tokens=[row], requests=requests))
            self._tokens[row.digest] = row
            return row.token_id

        made = await self._ledgers.once(caller, request, act)
        if made != row.token_id:
            row = await self._renew(made, row.digest)
        return row, secret

    async def _renew(self, token_id: str, digest: bytes) -> TokenRow:
        """Give a token another secret."""
        async with self._token_lock:
            before = self._find(token_id)
            row = replace(before, digest=digest)
            await written(self._world, Delta(tokens=[row]))
            del self._tokens[before.digest]
            self._tokens[digest] = row
        return row

    def _find(self, token_id: str) -> TokenRow:
        for row in self._tokens.values():
            if row.token_id == token_id:
                return row
        raise HpcError("TOKEN_NOT_FOUND", token_id=token_id)

    def _new_secret(self) -> str:
        raw = self._world.ids.token_bytes(32)
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    async def adopt_token(self, user: str, role: str, secret: str) -> TokenRow:
        """Make a secret that exists already (of a file) a token, at the first start.

        Raises:
            HpcError: UNAUTHENTICATED, it was one and was revoked, which a restart must
                not undo; DISK_FULL, OUTCOME_UNKNOWN.
        """
        digest = _digest(secret)
        known = self._tokens.get(digest)
        if known is not None:
            return known
        mark = f"{ADOPTED}{digest.hex()}"
        if mark in self._counters:
            raise HpcError("UNAUTHENTICATED", problem="the token was revoked")
        row = TokenRow(
            token_id=self._world.ids.uuid(),
            digest=digest,
            user=user,
            role=role,
            create_time=self._world.clock.wall(),
            expire_time=None,
        )
        await written(self._world, Delta(tokens=[row], counters={mark: 1}))
        self._tokens[digest] = row
        return row

    async def list_tokens(self, caller: Caller) -> Sequence[TokenRow]:
        """Return all tokens, oldest first."""
        caller.require_administrator("list tokens")
        return sorted(self._tokens.values(), key=lambda row: row.create_time)

    async def revoke_tokens(self, caller: Caller, ids: Sequence[str]) -> None:
        """Make tokens void, all or none."""
        caller.require_administrator("revoke tokens")
        if not ids:
            raise HpcError("REQUIRED_FIELD", field="ids")
        async with self._token_lock:
            gone = [self._find(token_id).digest for token_id in ids]
            await written(self._world, Delta(revoked_tokens=list(ids)))
            for digest in gone:
                self._tokens.pop(digest, None)

    def authenticate(self, secret: str) -> TokenRow | None:
        """Return the token of a secret, or None."""
        row = self._tokens.get(_digest(secret))
        if row is None:
            return None
        expired = (
            row.expire_time is not None and row.expire_time <= self._world.clock.wall()
        )
        return None if expired else row

    def admits(self, caller: Caller) -> bool:
        """May this caller connect now (AllowNewUserConnections)?"""
        return caller.administrator or self._world.settings.allow_users


def _check(user: str, role: str, lifetime_s: float | None) -> None:
    if role not in ROLES:
        problem = f"{role!r} is not one of {', '.join(ROLES)}"
        raise HpcError("INVALID_FIELD", field="role", problem=problem)
    if not user:
        raise HpcError("REQUIRED_FIELD", field="user")
    if len(user) > USER_LIMIT:
        raise HpcError(
            "TEXT_TOO_LONG", field="user", length=len(user), limit=USER_LIMIT
        )
    if lifetime_s is not None and lifetime_s <= 0:
        value = f"{lifetime_s:g} s"
        raise HpcError("OUT_OF_RANGE", field="lifetime", value=value, limit="above 0 s")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
