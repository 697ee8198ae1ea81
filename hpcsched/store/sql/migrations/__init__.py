"""Alembic's migrations, oldest first in ``versions``; run by sql.migrate."""

from __future__ import annotations
