"""Why nothing of a task was executed."""

from __future__ import annotations

import errno
import os

SHORTAGES = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}


class StartFailedError(Exception):
    """Nothing was executed.

    Attributes:
        code: What failed: ``cwd``, ``stdin``, ``stdout``, ``stderr``, ``exec``,
            ``user``, ``hosts`` or ``cgroup``.
        is_of_node: The node is at fault, not the task: it may be tried elsewhere.
        text: The errno's name and what it was about.
    """

    def __init__(
        self,
        code: str,
        error: OSError | ValueError,
        what: bytes,
        *,
        is_of_node: bool = False,
    ) -> None:
        self.code = code
        number = error.errno if isinstance(error, OSError) else None
        self.is_of_node = is_of_node or number in SHORTAGES
        name = ""
        if isinstance(error, OSError) and error.errno is not None:
            name = errno.errorcode.get(error.errno, str(error.errno))
            reason = os.strerror(error.errno)
        else:
            name, reason = "EINVAL", str(error)
        shown = what.decode("utf-8", "replace")
        self.text = f"{code}: {name}: {reason}: {shown}"
        super().__init__(self.text)
