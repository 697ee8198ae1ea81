"""Decisions about one job: what it is, what may happen to it, what follows."""

from __future__ import annotations
