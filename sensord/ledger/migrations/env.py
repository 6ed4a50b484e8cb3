"""Alembic's entry: runs on the connection that the ledger opened, in its transaction."""

from __future__ import annotations

from alembic import context

from notifiers.columns import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
