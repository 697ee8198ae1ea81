"""The actors of the head: one owner for each piece of state, mail in batches."""

from __future__ import annotations
