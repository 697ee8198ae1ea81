"""Runs migrations over the connection that sql.migrate hands in, in its transaction."""

from __future__ import annotations

from alembic import context

from hpcsched.store.sql import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    transactional_ddl=False,  # the transaction is the caller's
    render_as_batch=True,
)
context.run_migrations()
