"""Buttons under messages, and what they did to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_buttons"
down_revision = "0008_living"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "chat_buttons",
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("deed", sa.String(), nullable=False),
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("used_by", sa.String(), nullable=True),
        sa.Column("used_name", sa.Text(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("nonce"),
        sa.UniqueConstraint("delivery", "deed"),
    )
    op.create_index("ix_chat_buttons_event", "chat_buttons", ["event"], unique=False)
    op.create_index("ix_chat_buttons_expires_at", "chat_buttons", ["expires_at"], unique=False)
    op.create_table(
        "chat_changes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_chat_changes_at", "chat_changes", ["at"], unique=False)
    op.create_table(
        "chat_dialogues",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("given", sa.Text(), nullable=False),
        sa.Column("skipped", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=True),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_chat_dialogues_person", "chat_dialogues", ["person"], unique=False)
    op.create_index("ix_chat_dialogues_expires_at", "chat_dialogues", ["expires_at"], unique=False)
    op.create_table(
        "chat_choices",
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("dialogue", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("nonce"),
    )
    op.create_index("ix_chat_choices_expires_at", "chat_choices", ["expires_at"], unique=False)
    op.create_table(
        "chat_numbers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "number"),
    )
    op.create_index("ix_chat_numbers_at", "chat_numbers", ["at"], unique=False)
