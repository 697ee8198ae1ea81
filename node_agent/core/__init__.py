"""What the agent knows and decides: pure, without I/O, clock or event loop."""

from __future__ import annotations
