"""Until when the alarms of a recipient's digests have been looked at, so that a stop of any length leaves none out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "digests",
        sa.Column("recipient", sa.String(64), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("recipient", name=op.f("pk_digests")),
    )


def downgrade() -> None:
    op.drop_table("digests")
