"""Version 1 of the public contract, generated from ``protos/hpcsched/api/v1``."""

from __future__ import annotations
