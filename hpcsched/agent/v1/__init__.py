"""Version 1 of it, generated from ``protos/hpcsched/agent/v1``."""

from __future__ import annotations
