"""A cluster job scheduler for Linux with the semantics of HPC Pack.

This package imports nothing of its own: an agent that needs ``hpcsched.rpc`` must not
load the head.
"""

from __future__ import annotations
