"""Blobs of users (UserBlob): encrypted from the moment they come in.

Only whoever submitted the job reads them back. What the store keeps, and its copies
have, is of no use without the head's key, which is a file of its own beside the store.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.common.rng import Ids
    from hpcsched.core.task.spec import TaskSpec

log = logging.getLogger(__name__)

LIMIT: Final = 8000
"""Bytes of a blob when it is encrypted (properties.md 4.1)."""
KEY_BYTES: Final = 32
_NONCE: Final = 12
_LABEL: Final = b"hpcsched user_blob"


class Blobs:
    """Seals and opens blobs with the key of one head.

    Args:
        key: KEY_BYTES bytes; without one it is made up, and lost with the process.
        ids: Where chance comes from.
    """

    def __init__(self, key: bytes | None, ids: Ids) -> None:
        self._cipher = AESGCM(ids.token_bytes(KEY_BYTES) if key is None else key)
        self._ids = ids

    def sealed(self, tasks: Sequence[TaskSpec]) -> tuple[TaskSpec, ...]:
        """Return tasks as they are stored.

        Raises:
            HpcError: SPEC_TOO_LARGE.
        """
        if not any(task.user_blob for task in tasks):
            return tuple(tasks)
        return tuple(
            replace(task, user_blob=self.seal(task.user_blob, f"tasks[{number}]"))
            for number, task in enumerate(tasks)
        )

    def seal(self, blob: bytes, field: str) -> bytes:
        """Return a blob as it is stored; an empty one stays empty.

        Raises:
            HpcError: SPEC_TOO_LARGE.
        """
        if not blob:
            return b""
        nonce = self._ids.token_bytes(_NONCE)
        found = nonce + self._cipher.encrypt(nonce, blob, _LABEL)
        if len(found) > LIMIT:
            name = f"{field}.user_blob (encrypted)"
            raise HpcError("SPEC_TOO_LARGE", field=name, length=len(found), limit=LIMIT)
        return found

    def opened(self, task: TaskSpec) -> TaskSpec:
        """Return a stored task as its submitter gave it."""
        if not task.user_blob:
            return task
        nonce, body = task.user_blob[:_NONCE], task.user_blob[_NONCE:]
        try:
            return replace(task, user_blob=self._cipher.decrypt(nonce, body, _LABEL))
        except InvalidTag:
            log.exception("a user blob was sealed with another key; it reads as empty")
            return replace(task, user_blob=b"")
