"""What several devices are fed by, as the site file says."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sites", sa.Column("feeds", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("sites") as table:
        table.drop_column("feeds")
