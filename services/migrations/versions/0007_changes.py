"""How often rule books and maintenance windows were changed; indexes for what is asked for often."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COUNTS = ("book_version", "window_changes")
_INDEXES = (
    ("ix_rule_corrections_known_at", "rule_corrections", ["known_at"]),
    ("ix_rule_corrections_device_measured_at", "rule_corrections", ["device", "measured_at"]),
    ("ix_shadow_episodes_cleared_at", "shadow_episodes", ["cleared_at"]),
)


def upgrade() -> None:
    for name in _COUNTS:
        op.add_column("sites", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE sites SET book_version = "
        "COALESCE((SELECT MAX(version) FROM rule_books WHERE rule_books.site = sites.id), 0)"
    )
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns)
    op.drop_index(op.f("ix_rule_corrections_device"), "rule_corrections")
    op.drop_index(op.f("ix_rule_corrections_site"), "rule_corrections")


def downgrade() -> None:
    op.create_index(op.f("ix_rule_corrections_site"), "rule_corrections", ["site"])
    op.create_index(op.f("ix_rule_corrections_device"), "rule_corrections", ["device"])
    for name, table, _ in _INDEXES:
        op.drop_index(name, table)
    for name in _COUNTS:
        op.drop_column("sites", name)
