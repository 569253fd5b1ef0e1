"""What documents mean: a service, its operations and their backends."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from authz.model.auth import OPEN, JwtProvider, Requirement
from authz.model.paths import Template
from authz.model.quota import Cost, Limit, Metric
from authz.model.transcoding import UNSAID, TranscodingOptions

DEFAULT_DEADLINE = 15.0


class PathTranslation(enum.Enum):
    """google.api.BackendRule.PathTranslation."""

    APPEND = "APPEND_PATH_TO_ADDRESS"
    CONSTANT = "CONSTANT_ADDRESS"


class Protocol(enum.Enum):
    """google.api.BackendRule.protocol."""

    HTTP1 = "http/1.1"
    HTTP2 = "h2"


@dataclass(frozen=True, slots=True)
class Backend:
    """google.api.BackendRule: where an operation is sent.

    `address` is `scheme://host[:port][/path]` with scheme http, https, grpc or grpcs, without trailing slash;
    empty means the gateway's own `backend` setting. `deadline` is in seconds. `audience` is the audience of the
    token put into Authorization; empty means that backend authentication is off and the caller's header
    stays. `protocol` None means what the scheme implies.
    """

    address: str = ""
    path_translation: PathTranslation = PathTranslation.APPEND
    deadline: float = DEFAULT_DEADLINE
    protocol: Protocol | None = None
    jwt_audience: str = ""
    disable_auth: bool = True


LOCAL = Backend()


@dataclass(frozen=True, slots=True)
class Rpc:
    """What a gRPC backend calls an operation. `service` is a full name: `package.Service`."""

    service: str
    method: str
    client_streaming: bool = False
    server_streaming: bool = False

    @property
    def path(self) -> str:
        """The path of its calls: `/package.Service/Method`."""
        return f"/{self.service}/{self.method}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path template.

    `selector` is `API.Method` as google.api.Service names it. `method` is an HTTP method in upper case, or `*`.
    `template` holds the whole public path, base path included. `body_name` is the name of the body parameter
    ("" for none). `stream_timeout` is seconds (0: the setting's). `generated` marks what no document wrote
    (`x-google-allow: all`, CORS passthrough). `websocket`: an upgrade to WebSocket is let through. `rpc` is None
    where nothing says that the operation is one; an RPC has an operation for each of its bindings and one for its own
    path, which differ in nothing but method, template and backend.
    """

    selector: str
    method: str
    template: Template
    requirement: Requirement = OPEN
    costs: tuple[Cost, ...] = ()
    backend: Backend = LOCAL
    body_name: str = ""
    stream_timeout: float = 0.0
    generated: bool = False
    summary: str = ""
    parameters: tuple[str, ...] = ()
    rpc: Rpc | None = None
    websocket: bool = False
    file: str = ""
    line: int = 0

    @property
    def short_name(self) -> str:
        """The method name without its API: `ListShelves`."""
        return self.selector.rsplit(".", 1)[-1]

    @property
    def is_rpc_path(self) -> bool:
        """Whether this is where gRPC clients call, not a binding for others."""
        return self.rpc is not None and self.method == "POST" and self.template.paths[0] == self.rpc.path

    @property
    def speaks_grpc(self) -> bool:
        """Whether the backend takes gRPC calls. An RPC whose backend does not is transcoded in reverse.

        The scheme of its address says it, and a protocol of http/1.1 where it has none.
        """
        if self.rpc is None:
            return False
        address = self.backend.address
        return address.startswith("grpc") if address else self.backend.protocol is not Protocol.HTTP1

    @property
    def is_metered(self) -> bool:
        """Whether a call takes from any quota."""
        return any(cost.amount > 0 for cost in self.costs)


@dataclass(frozen=True, slots=True)
class Api:
    """google.protobuf.Api: a named, versioned group of operations; one per document."""

    name: str
    version: str
    title: str = ""
    base_path: str = ""


@dataclass(frozen=True, slots=True)
class SourceText:
    """One document as a user wrote it: the name it was given by, and its text."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """What one or more documents of one host mean. Immutable; `id` is `YYYY-MM-DDrN`, empty before a deploy.

    `allow_cors`: OPTIONS requests without an operation of their own pass to the backend (google.api.Endpoint).
    `keep_escaped_slashes`: `%2F` and `%5C` in a path are forwarded instead of refused (`x-authz-escaped-slashes`).
    `descriptors` is a serialised FileDescriptorSet, imports first, of everything that its RPCs need; their methods
    have the google.api.http rules that hold, whoever wrote them. Empty without RPCs. `fully_decode_reserved` is
    google.api.Http.fully_decode_reserved_expansion: variables of several segments are decoded but for `%2F`.
    `transcoding` is what its JSON has instead of the gateway's settings (`x-authz-transcoding`).
    """

    name: str
    title: str = ""
    apis: tuple[Api, ...] = ()
    operations: tuple[Operation, ...] = ()
    providers: tuple[JwtProvider, ...] = ()
    metrics: tuple[Metric, ...] = ()
    limits: tuple[Limit, ...] = ()
    allow_cors: bool = False
    endpoint_target: str = ""
    keep_escaped_slashes: bool = False
    descriptors: bytes = field(default=b"", repr=False)
    fully_decode_reserved: bool = False
    transcoding: TranscodingOptions = UNSAID
    id: str = ""
    documents: tuple[str, ...] = field(default=(), compare=False)

    def provider(self, provider_id: str) -> JwtProvider:
        """The provider with this id. Sources guarantee that every requirement's provider exists."""
        return next(p for p in self.providers if p.id == provider_id)
