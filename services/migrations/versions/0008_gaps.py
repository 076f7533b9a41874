"""When gateways heard nothing, for backtests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gateway_gaps",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("gateway", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("begins_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_gaps")),
    )
    op.create_index(op.f("ix_gateway_gaps_gateway"), "gateway_gaps", ["gateway", "ends_at"])


def downgrade() -> None:
    op.drop_table("gateway_gaps")
