"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ACTIVE = sa.text("active IS 1")
ENDED = sa.text("active IS 0")


def upgrade() -> None:
    """Make every table."""
    _make_events_and_jobs()
    _make_parts_of_jobs()
    _make_cluster()


def _make_events_and_jobs() -> None:
    op.create_table(
        "event",
        sa.Column("seq", BIG, primary_key=True, autoincrement=False),
        sa.Column("job_id", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("event_by_job", "event", ["job_id", "seq"])
    op.create_table(
        "job",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("create_time", sa.Float(53), nullable=False),
        sa.Column("submit_time", sa.Float(53)),
        sa.Column("end_time", sa.Float(53)),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("blob", sa.LargeBinary, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_index("job_by_state", "job", ["state", "id"])
    op.create_index("job_by_owner", "job", ["owner", "state", "id"])
    op.create_index("job_by_create_time", "job", ["create_time", "id"])
    op.create_index(
        "job_active",
        "job",
        ["id"],
        sqlite_where=ACTIVE,
        postgresql_where=sa.text("active IS true"),
    )
    op.create_index(
        "job_by_end_time",
        "job",
        ["end_time", "id"],
        sqlite_where=ENDED,
        postgresql_where=sa.text("active IS false"),
    )


def _make_parts_of_jobs() -> None:
    op.create_table(
        "job_label",
        _key("job_id"),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("job_label_by_value", "job_label", ["name", "value", "job_id"])
    op.create_table(
        "job_spec", _key("job_id"), _key("task_id"), _body(), sqlite_with_rowid=False
    )
    op.create_table(
        "chunk",
        _key("job_id"),
        _key("tbl"),
        _key("chunk"),
        _body(),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "note", _key("job_id"), _key("note_id"), _body(), sqlite_with_rowid=False
    )
    op.create_table(
        "output",
        _key("job_id"),
        _key("task_id"),
        _key("instance_id"),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table("purge", _key("job_id"))


def _make_cluster() -> None:
    op.create_table(
        "request",
        sa.Column("principal", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("request_by_time", "request", ["time"])
    op.create_table(
        "node",
        _key("node_id"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("blob", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "parameter",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "token",
        sa.Column("token_id", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("create_time", sa.Float(53), nullable=False),
        sa.Column("expire_time", sa.Float(53)),
    )
    for name in ("counter", "meta"):
        op.create_table(
            name,
            sa.Column("name", sa.Text, primary_key=True),
            sa.Column("value", BIG, nullable=False),
        )


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement=False)


def _body() -> sa.Column[bytes]:
    return sa.Column("body", sa.LargeBinary, nullable=False)
