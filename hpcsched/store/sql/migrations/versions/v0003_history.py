"""Accounting, and sums over jobs that have ended."""

from __future__ import annotations

from collections import Counter

import msgpack
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATES = {8: "finished", 9: "failed", 10: "canceled"}


def upgrade() -> None:
    """Make the tables, and count the tasks of the jobs that have ended so far."""
    op.create_table(
        "job_history",
        sa.Column("history_id", BIG, primary_key=True),
        _number("job_id"),
        _number("requeue_id"),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        _number("state"),
        _time("event_time"),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("job_history_by_job", "job_history", ["job_id"])
    op.create_index("job_history_by_time", "job_history", ["event_time"])
    op.create_table(
        "allocation",
        sa.Column("history_id", BIG, primary_key=True),
        _number("job_id"),
        _number("requeue_id"),
        _number("node_id"),
        sa.Column("cores", sa.Text, nullable=False),
        _time("start_time"),
        _time("end_time"),
    )
    op.create_index("allocation_by_job", "allocation", ["job_id"])
    op.create_index("allocation_by_time", "allocation", ["end_time"])
    op.create_table(
        "usage",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("project", sa.Text, primary_key=True),
        _sum("core_ms"),
        _sum("user_ms"),
        _sum("kernel_ms"),
        _sum("finished"),
        _sum("failed"),
        _sum("canceled"),
        sqlite_with_rowid=False,
    )
    _count_ended_tasks()


def _count_ended_tasks() -> None:
    connection = op.get_bind()
    counts: Counter[str] = Counter()
    ended = connection.exec_driver_sql("SELECT blob FROM job WHERE active IS FALSE")
    for (blob,) in ended:
        body = msgpack.unpackb(blob, strict_map_key=False)
        for number, state in STATES.items():
            counts[f"ended tasks {state}"] += body["counts"][number]
    counter = sa.table("counter", sa.column("name"), sa.column("value"))
    for name, value in counts.items():
        connection.execute(sa.insert(counter).values(name=name, value=value))


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float(53), nullable=False)


def _sum(name: str) -> sa.Column[int]:
    return sa.Column(name, BIG, nullable=False)
