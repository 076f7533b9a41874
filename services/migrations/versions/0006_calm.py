"""Alarms that are suppressed, folded, snoozed and escalated; rule books, maintenance windows, rules on trial."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.database import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _columns() -> dict[str, tuple[sa.Column[object], ...]]:
    return {
        "alarms": (
            sa.Column("suppressed_by", sa.JSON(), nullable=True),
            sa.Column("parent", sa.String(64), nullable=True),
            sa.Column("flaps", sa.Integer(), nullable=True),
            sa.Column("snoozed_until", UtcDateTime(), nullable=True),
            sa.Column("snoozed_by", sa.String(64), nullable=True),
            sa.Column("step", sa.Integer(), nullable=True),
            sa.Column("step_at", UtcDateTime(), nullable=True),
        ),
        "sites": (
            sa.Column("params", sa.JSON(), nullable=True),
            sa.Column("rules", sa.JSON(), nullable=True),
        ),
        "recipients": (
            sa.Column("step", sa.Integer(), nullable=True),
            sa.Column("digest", sa.String(8), nullable=True),
        ),
    }


def _standing(name: str, where: str) -> None:
    op.create_index(
        name,
        "alarms",
        ["device", "child", "rule"],
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def upgrade() -> None:
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.create_index(op.f("ix_alarms_parent"), "alarms", ["parent"])
    op.drop_index("uq_alarms_active", "alarms")
    _standing("uq_alarms_standing", "state <> 'cleared'")
    op.execute("UPDATE sites SET params = '{}', rules = '[]'")
    op.create_table(
        "alarm_events",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("alarm", sa.String(64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("who", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarm_events")),
    )
    op.create_index(op.f("ix_alarm_events_alarm"), "alarm_events", ["alarm"])
    op.create_table(
        "rule_corrections",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("child", sa.String(64), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("measured_at", UtcDateTime(), nullable=False),
        sa.Column("known_at", UtcDateTime(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_corrections")),
    )
    op.create_index(op.f("ix_rule_corrections_site"), "rule_corrections", ["site"])
    op.create_index(op.f("ix_rule_corrections_device"), "rule_corrections", ["device"])
    op.create_table(
        "shadow_episodes",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("child", sa.String(64), nullable=False),
        sa.Column("profile", sa.String(64), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("raised_at", UtcDateTime(), nullable=False),
        sa.Column("cleared_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_episodes")),
    )
    op.create_index("ix_shadow_episodes_rule", "shadow_episodes", ["site", "profile", "rule"])
    op.create_table(
        "rule_books",
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("who", sa.String(64), nullable=False),
        sa.Column("note", sa.String(500), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("preview", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("site", "version", name=op.f("pk_rule_books")),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_rule_books_site_sites")),
    )
    op.create_table(
        "maintenance_windows",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("scope", sa.JSON(), nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("repeats", sa.JSON(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("cancelled_at", UtcDateTime(), nullable=True),
        sa.Column("cancelled_by", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maintenance_windows")),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_maintenance_windows_site_sites")),
    )
    op.create_index(op.f("ix_maintenance_windows_site"), "maintenance_windows", ["site"])


def downgrade() -> None:
    for table in (
        "maintenance_windows",
        "rule_books",
        "shadow_episodes",
        "rule_corrections",
        "alarm_events",
    ):
        op.drop_table(table)
    op.execute("UPDATE alarms SET state = 'cleared' WHERE state = 'suppressed'")
    op.drop_index("uq_alarms_standing", "alarms")
    _standing("uq_alarms_active", "state = 'active'")
    op.drop_index(op.f("ix_alarms_parent"), "alarms")
    for table, columns in _columns().items():
        for column in columns:
            op.drop_column(table, column.name)
