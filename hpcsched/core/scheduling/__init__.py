"""Which job holds which cores of which node: pure planning, no state of its own."""

from __future__ import annotations
