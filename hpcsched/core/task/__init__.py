"""Decisions about one task: what it is, what may happen to it, what follows."""

from __future__ import annotations
