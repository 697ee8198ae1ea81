"""The store in an SQL database: one schema, SQLite as its first backend."""

from __future__ import annotations
