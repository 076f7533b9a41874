"""Where a gateway served last, so that somebody is told when a spare one dies; and which were taken down for good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("gateways") as table:
        table.add_column(sa.Column("home", sa.String(64), nullable=True))
        table.add_column(sa.Column("forgotten_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("gateways") as table:
        table.drop_column("forgotten_at")
        table.drop_column("home")
