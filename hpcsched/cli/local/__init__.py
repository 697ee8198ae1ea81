"""A whole cluster as processes of one user on this machine: ``hpc up``."""

from __future__ import annotations
