"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From nothing."""
    _feed()
    _configs()
    _consumers()
    _gateways()


def _feed() -> None:
    feed = op.create_table(
        "feed",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("pruned", sa.BigInteger, nullable=False),
        comment="One row: the newest revision, and the newest one whose changes are no longer kept.",
    )
    op.bulk_insert(feed, [{"id": 1, "revision": 0, "pruned": 0}])
    op.create_table(
        "change",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("ref", sa.String(255), primary_key=True),
    )


def _configs() -> None:
    op.create_table(
        "config",
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.UniqueConstraint("service", "id", name="config_id"),
        sa.UniqueConstraint("service", "digest", name="config_digest"),
    )
    op.create_table(
        "config_text",
        sa.Column("config", sa.Integer, sa.ForeignKey("config.place"), primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "rollout",
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("shares", sa.JSON, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("force", sa.Boolean, nullable=False),
        sa.UniqueConstraint("service", "id", name="rollout_id"),
    )
    op.create_index("rollout_status", "rollout", ["status", "service"])
    op.create_table(
        "delivery",
        sa.Column("service", sa.String(255), primary_key=True),
        sa.Column("rollout", sa.String(32), primary_key=True),
        sa.Column("gateway", sa.String(255), primary_key=True),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )


def _consumers() -> None:
    op.create_table(
        "consumer",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(255), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_table(
        "api_key",
        sa.Column("uid", sa.String(64), primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("consumer", sa.BigInteger, sa.ForeignKey("consumer.number"), nullable=False),
        sa.Column("hint", sa.String(32), nullable=False),
        sa.Column("display_name", sa.String(255), nullable=False),
        sa.Column("services", sa.JSON, nullable=False),
        sa.Column("restrictions", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double, nullable=False),
    )
    op.create_index("ix_api_key_consumer", "api_key", ["consumer"])
    op.create_table(
        "quota_override",
        sa.Column("service", sa.String(255), primary_key=True),
        sa.Column("consumer", sa.BigInteger, sa.ForeignKey("consumer.number"), primary_key=True, autoincrement=False),
        sa.Column("metric", sa.String(255), primary_key=True),
        sa.Column("limit_name", sa.String(255), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )


def _gateways() -> None:
    op.create_table(
        "gateway",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
    )
    op.create_table(
        "secret",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
