"""Choosing and ordering what a list shows: filters, sort keys, pages (api.md 11)."""

from __future__ import annotations
