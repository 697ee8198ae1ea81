"""The program ``hpcschedd``: its configuration, and the wiring of all its classes."""

from __future__ import annotations
