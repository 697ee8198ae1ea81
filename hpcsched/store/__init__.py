"""Where events and states are kept: the protocol and its backends."""

from __future__ import annotations
