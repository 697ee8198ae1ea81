"""Checksums of rows; rows of before have none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

TABLES = (
    *("job", "job_spec", "chunk", "note"),
    *("event", "output", "request", "node", "entry", "token"),
    *("job_history", "allocation"),
)


def upgrade() -> None:
    """Add the columns."""
    for name in TABLES:
        op.add_column(name, sa.Column("crc", sa.BigInteger()))
