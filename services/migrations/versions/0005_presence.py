"""Where the break is, and which new devices wait to be adopted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _columns() -> dict[str, tuple[sa.Column[object], ...]]:
    return {
        "device_states": (
            sa.Column("reason", sa.String(32), nullable=True),
            sa.Column("since", UtcDateTime(), nullable=True),
            sa.Column("said", sa.JSON(), nullable=True),
            sa.Column("down_since", UtcDateTime(), nullable=True),
            sa.Column("back_since", UtcDateTime(), nullable=True),
        ),
        "gateways": (
            sa.Column("broker_lost_at", UtcDateTime(), nullable=True),
            sa.Column("watching_since", UtcDateTime(), nullable=True),
        ),
        "devices": (
            sa.Column("unit", sa.String(64), nullable=True),
            sa.Column("origin", sa.String(16), nullable=True),
            sa.Column("serves", sa.JSON(), nullable=True),
            sa.Column("replaced_address", sa.String(128), nullable=True),
            sa.Column("first_heard_at", UtcDateTime(), nullable=True),
            sa.Column("announced", sa.JSON(), nullable=True),
            sa.Column("ignored_at", UtcDateTime(), nullable=True),
        ),
        "supplies": (sa.Column("needs_all", sa.Boolean(), nullable=True),),
    }


def upgrade() -> None:
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.create_table(
        "device_renames",
        sa.Column("old", sa.String(200), nullable=False),
        sa.Column("new", sa.String(64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("old", name=op.f("pk_device_renames")),
    )
    op.execute("UPDATE devices SET origin = 'file', serves = '[]', announced = '{}'")
    op.execute("UPDATE device_states SET said = '{}', reason = 'never_heard'")
    # Who said so is not known any more: any message of the device overrules it.
    op.execute(
        """UPDATE device_states SET said = '{"": "offline"}', reason = 'device_said_offline' """
        "WHERE presence = 'offline'"
    )
    op.execute("UPDATE device_states SET reason = 'heard' WHERE presence = 'online'")
    op.execute("UPDATE device_states SET reason = 'overdue' WHERE presence = 'stale'")


def downgrade() -> None:
    op.drop_table("device_renames")
    for table, columns in _columns().items():
        for column in columns:
            op.drop_column(table, column.name)
