"""What one document says of a service, before it is put together with the others of its service."""

from __future__ import annotations

from dataclasses import dataclass, field

from authz.model.auth import JwtProvider
from authz.model.quota import Limit, Metric
from authz.model.service import LOCAL, Api, Backend, Operation
from authz.sources.node import Node
from authz.sources.openapi.rpcs import Claim
from authz.sources.transcoding import Said


@dataclass(frozen=True, slots=True)
class MetricUse:
    """Where a document names a metric that it, or another document of its service, must declare."""

    metric: str
    line: int
    user: str


@dataclass(slots=True)
class Reading:
    """One document. Lists grow while it is read; `host` is '' where the document names none.

    Protos have a reading for each of their services; what is said of them elsewhere has one without an API's name.
    `is_named`: the document itself says which host it is of.
    `claims` are the operations that may be RPCs: they stand among `operations` too until they are known to be.
    """

    file: str
    host_at: tuple[Node, str] | None = None
    host: str = ""
    is_named: bool = False
    api: Api = field(default_factory=lambda: Api("", ""))
    operations: list[Operation] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    providers: dict[str, JwtProvider] = field(default_factory=dict)
    metrics: list[tuple[Metric, int]] = field(default_factory=list)
    limits: list[tuple[Limit, int]] = field(default_factory=list)
    metric_uses: list[MetricUse] = field(default_factory=list)
    backend: Backend = LOCAL
    allow_all: bool = False
    allow_cors: bool = False
    is_version3: bool = False
    endpoint: str = ""
    target: str = ""
    keep_escaped_slashes: bool = False
    descriptors: bytes = field(default=b"", repr=False)
    fully_decode_reserved: bool = False
    transcoding: Said | None = None

    @property
    def host_line(self) -> int:
        """Where the host stands, or should. Asked for in findings only: in a large JSON text it costs a search."""
        return self.host_at[0].line(self.host_at[1]) if self.host_at else 0
