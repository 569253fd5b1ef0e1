"""The schema as SQLAlchemy tables. The migrations make it; a test holds the two to each other.

Times are Unix seconds. A primary key named `place` only remembers the order in which rows were written.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

feed = Table(
    "feed",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    Column("pruned", BigInteger, nullable=False),
    comment="One row: the newest revision, and the newest one whose changes are no longer kept.",
)

change = Table(
    "change",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(16), primary_key=True),
    Column("ref", String(255), primary_key=True),
)

config = Table(
    "config",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("service", String(255), nullable=False),
    Column("id", String(32), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("service", "id", name="config_id"),
    UniqueConstraint("service", "digest", name="config_digest"),
)

config_text = Table(
    "config_text",
    metadata,
    Column("config", Integer, ForeignKey("config.place"), primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("file", Text, nullable=False),
    Column("text", Text, nullable=False),
)

rollout = Table(
    "rollout",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("service", String(255), nullable=False),
    Column("id", String(32), nullable=False),
    Column("shares", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("force", Boolean, nullable=False),
    UniqueConstraint("service", "id", name="rollout_id"),
    Index("rollout_status", "status", "service"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("service", String(255), primary_key=True),
    Column("rollout", String(32), primary_key=True),
    Column("gateway", String(255), primary_key=True),
    Column("ok", Boolean, nullable=False),
    Column("message", Text, nullable=False),
    Column("at", Double, nullable=False),
)

consumer = Table(
    "consumer",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(255), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
)

api_key = Table(
    "api_key",
    metadata,
    Column("uid", String(64), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("consumer", BigInteger, ForeignKey("consumer.number"), nullable=False, index=True),
    Column("hint", String(32), nullable=False),
    Column("display_name", String(255), nullable=False),
    Column("services", JSON, nullable=False),
    Column("restrictions", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double, nullable=False),
)

quota_override = Table(
    "quota_override",
    metadata,
    Column("service", String(255), primary_key=True),
    Column("consumer", BigInteger, ForeignKey("consumer.number"), primary_key=True, autoincrement=False),
    Column("metric", String(255), primary_key=True),
    Column("limit_name", String(255), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

gateway = Table(
    "gateway",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("url", Text, nullable=False),
    Column("seen_at", Double, nullable=False),
)

secret = Table(
    "secret",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
