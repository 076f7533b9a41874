"""What has been heard of a command's effect is kept with the command: when it was measured and received, and when the
gateway began to say it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("commands") as table:
        table.add_column(sa.Column("evidence", sa.JSON(), nullable=True))
        table.drop_column("measured_since")


def downgrade() -> None:
    with op.batch_alter_table("commands") as table:
        table.add_column(sa.Column("measured_since", UtcDateTime(), nullable=True))
        table.drop_column("evidence")
