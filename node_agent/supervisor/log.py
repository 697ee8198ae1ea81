"""One line per remark on standard error, where the service manager collects it."""

from __future__ import annotations

import os
import sys


def log(text: str) -> None:
    """Write a line that names the program and the process; never fails."""
    line = f"hpc-task-supervisor[{os.getpid()}]: {text}\n"
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads it any more
        return
