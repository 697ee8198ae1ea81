"""The tables, once, for every database.

Events live as long as their job. ``job`` and the tables named after it hold the state
that the events lead to. A job that is being purged loses its row in ``job`` at once and
is named in ``purge`` until the rest of it has been deleted slice by slice (sql.chores);
reads leave out what such a job still has.

A change here needs a migration, and ``HEAD`` its number.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from hpcsched.core.listing.properties import TASK_COUNTS

#: The newest migration (migrations/versions); a new file is made at it directly.
HEAD: Final = "0009"

#: "HPCS": the application id in the header of our SQLite files.
APPLICATION_ID: Final = 0x48504353

#: Counts over the life of a cluster. SQLite's own row number needs the name INTEGER.
BIG: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

#: Properties that count a job's tasks and elements, and their columns.
COUNT_COLUMNS: Final = {
    name: name.replace("task_counts.", "tasks_") for name in TASK_COUNTS
}

metadata: Final = sa.MetaData()

event: Final = sa.Table(
    "event",
    metadata,
    sa.Column("seq", BIG, primary_key=True, autoincrement=False),
    sa.Column("job_id", sa.Integer, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("time", sa.Float(53), nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("crc", sa.BigInteger),
    sa.Index("event_by_job", "job_id", "seq"),
)

job: Final = sa.Table(
    "job",
    metadata,
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
    sa.Column("previous_state", sa.Integer),
    sa.Column("start_time", sa.Float(53)),
    sa.Column("change_time", sa.Float(53), nullable=False, server_default="0"),
    sa.Column("requeue_count", sa.Integer, nullable=False, server_default="0"),
    *(
        sa.Column(name, sa.Integer, nullable=False, server_default="0")
        for name in COUNT_COLUMNS.values()
    ),
    sa.Column("crc", sa.BigInteger),
)

IS_ACTIVE: Final = job.c.active.is_(sa.true())
HAS_ENDED: Final = job.c.active.is_(sa.false())

# Listing takes the states one by one, each from an index in the order of the ids.
sa.Index("job_by_state", job.c.state, job.c.id)
sa.Index("job_by_owner", job.c.owner, job.c.state, job.c.id)
sa.Index("job_by_create_time", job.c.create_time, job.c.id)
sa.Index("job_active", job.c.id, sqlite_where=IS_ACTIVE, postgresql_where=IS_ACTIVE)
sa.Index(
    "job_by_end_time",
    job.c.end_time,
    job.c.id,
    sqlite_where=HAS_ENDED,
    postgresql_where=HAS_ENDED,
)

job_label: Final = sa.Table(
    "job_label",
    metadata,
    sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Index("job_label_by_value", "name", "value", "job_id"),
    sqlite_with_rowid=False,
)

#: What only an edit changes, and lists choose and sort by (core.listing.properties).
job_terms: Final = sa.Table(
    "job_terms",
    metadata,
    sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("user_name", sa.Text),
    sa.Column("runtime", BIG),
    *(
        sa.Column(name, sa.Integer)
        for name in (
            *("job_type", "unit_type", "run_until_canceled", "is_exclusive"),
            *("auto_calculate_min", "auto_calculate_max", "min_cores", "max_cores"),
            *("min_sockets", "max_sockets", "min_nodes", "max_nodes"),
            *("can_grow", "can_shrink"),
        )
    ),
    sa.Column("job_template", sa.Text),
    sa.Column("pool", sa.Text),
)

job_parent: Final = sa.Table(
    "job_parent",
    metadata,
    sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("parent_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Index("job_parent_by_parent", "parent_id", "job_id"),
    sqlite_with_rowid=False,
)

job_spec: Final = sa.Table(
    "job_spec",
    metadata,
    sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("task_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("crc", sa.BigInteger),
    sqlite_with_rowid=False,
)

chunk: Final = sa.Table(
    "chunk",
    metadata,
    sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tbl", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("chunk", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("crc", sa.BigInteger),
    sqlite_with_rowid=False,
)

note: Final = sa.Table(
    "note",
    metadata,
    sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("note_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("crc", sa.BigInteger),
    sqlite_with_rowid=False,
)

output: Final = sa.Table(
    "output",
    metadata,
    sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("task_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("instance_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("crc", sa.BigInteger),
    sqlite_with_rowid=False,
)

request: Final = sa.Table(
    "request",
    metadata,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
    sa.Column("time", sa.Float(53), nullable=False),
    sa.Column("crc", sa.BigInteger),
    sa.Index("request_by_time", "time"),
    sqlite_with_rowid=False,
)

node: Final = sa.Table(
    "node",
    metadata,
    sa.Column("node_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("blob", sa.LargeBinary, nullable=False),
    sa.Column("crc", sa.BigInteger),
)

#: What administrators have defined, such as node groups, by kind and name.
entry: Final = sa.Table(
    "entry",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("crc", sa.BigInteger),
    sqlite_with_rowid=False,
)

parameter: Final = sa.Table(
    "parameter",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("crc", sa.BigInteger),
)

token: Final = sa.Table(
    "token",
    metadata,
    sa.Column("token_id", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("create_time", sa.Float(53), nullable=False),
    sa.Column("expire_time", sa.Float(53)),
    sa.Column("crc", sa.BigInteger),
)

counter: Final = sa.Table(
    "counter",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", BIG, nullable=False),
    sa.Column("crc", sa.BigInteger),
)

# Accounting outlives its job. The database numbers the rows.

job_history: Final = sa.Table(
    "job_history",
    metadata,
    sa.Column("history_id", BIG, primary_key=True),
    sa.Column("job_id", sa.Integer, nullable=False),
    sa.Column("requeue_id", sa.Integer, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("event_time", sa.Float(53), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("crc", sa.BigInteger),
    sa.Index("job_history_by_job", "job_id"),
    sa.Index("job_history_by_time", "event_time"),
)

allocation: Final = sa.Table(
    "allocation",
    metadata,
    sa.Column("history_id", BIG, primary_key=True),
    sa.Column("job_id", sa.Integer, nullable=False),
    sa.Column("requeue_id", sa.Integer, nullable=False),
    sa.Column("node_id", sa.Integer, nullable=False),
    sa.Column("cores", sa.Text, nullable=False),
    sa.Column("start_time", sa.Float(53), nullable=False),
    sa.Column("end_time", sa.Float(53), nullable=False),
    sa.Column("crc", sa.BigInteger),
    sa.Index("allocation_by_job", "job_id"),
    sa.Index("allocation_by_time", "end_time"),
)

usage: Final = sa.Table(
    "usage",
    metadata,
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("core_ms", BIG, nullable=False),
    sa.Column("user_ms", BIG, nullable=False),
    sa.Column("kernel_ms", BIG, nullable=False),
    sa.Column("finished", BIG, nullable=False),
    sa.Column("failed", BIG, nullable=False),
    sa.Column("canceled", BIG, nullable=False),
    sa.Column("crc", sa.BigInteger),
    sqlite_with_rowid=False,
)

purge: Final = sa.Table(
    "purge",
    metadata,
    sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("crc", sa.BigInteger),
)

meta: Final = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", BIG, nullable=False),
    sa.Column("crc", sa.BigInteger),
)

#: The row of ``meta`` with the newest sequence that was purged.
FLOOR: Final = "floor_seq"
