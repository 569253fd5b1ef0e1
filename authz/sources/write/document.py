"""The whole document: what stands at its root, and all operations below their paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from authz.model.auth import DEFAULT_KEY_PLACES, PlaceKind, Requirement
from authz.model.service import ServiceConfig, SourceText
from authz.sources.syntax import yaml_text
from authz.sources.write.dialect import DIALECTS, Json
from authz.sources.write.extensions import Backends, Quotas, costs, number, transcoding
from authz.sources.write.lexicon import Lexicon
from authz.sources.write.messages import ERROR, Messages
from authz.sources.write.plan import Plan, Planned
from authz.sources.write.schemas import Schemas
from authz.sources.write.security import Secured, Security

VERSIONS = tuple(DIALECTS)
"""The versions of OpenAPI that are written; the first is the one that most tools read."""


_HEAD = "# Written by `authz openapi from-proto`. It belongs to its protos: authz up FILE.proto THIS_FILE\n"


@dataclass(frozen=True, slots=True)
class Written:
    """A document, and remarks on what it cannot say."""

    document: Json
    remarks: tuple[str, ...]


def openapi(config: ServiceConfig, texts: Sequence[SourceText] = (), version: str = VERSIONS[0]) -> Written:
    """The document of a service's RPCs. `texts` are those it was compiled of: comments are taken from them."""
    return _Writer(config, texts, version).written()


def as_yaml(document: Json) -> str:
    """A document as YAML, below a line that says what it is."""
    return _HEAD + yaml_text.write(document)


class _Writer:
    """One document while it is written."""

    def __init__(self, config: ServiceConfig, texts: Sequence[SourceText], version: str) -> None:
        self.config = config
        self.dialect = DIALECTS[version]
        self.lexicon = Lexicon(config.descriptors, texts)
        self.plan = Plan(config, self.lexicon)
        operations = [one.operation for one in self.plan.operations]
        self.schemas = Schemas(self.lexicon, self.dialect, config.transcoding)
        self.security = Security(operations, config, self.dialect)
        self.backends = Backends(self.plan.operations, self.dialect)
        self.quotas = Quotas(config, self.dialect)
        self.messages = Messages(self.lexicon, self.schemas, self.dialect, _credentials(config))
        self.usual = self._usual()

    def written(self) -> Written:
        """The document, and what every part of it has to remark."""
        document = self._root()
        remarks = (
            *self.plan.remarks,
            *self.security.remarks,
            *self.quotas.remarks,
            *self.messages.remarks,
            *self._remarks(),
        )
        return Written(document, remarks)

    def _usual(self) -> Requirement | None:
        """What most operations ask for: the root says it, so that it holds for operations that are added by hand."""
        asked = Counter(
            one.operation.requirement for one in self.plan.operations if not one.operation.requirement.is_open
        )
        return asked.most_common(1)[0][0] if asked else None

    # -- the root ----------------------------------------------------------------------------------------------

    def _root(self) -> Json:
        paths = self._paths()
        errors = {"responses": {ERROR: self.messages.error()}}
        schemas, schemes = self.schemas.components(), self.security.schemes()
        head: Json = {"swagger": "2.0"} if self.dialect.is_version2 else {"openapi": self.dialect.version}
        shared: Json = {
            "tags": list(self._tags()),
            **({"security": self.security.secured(self.usual).security} if self.usual else {}),
            **self._management(),
            **self.backends.root(),
            **({"x-authz-escaped-slashes": "keep"} if self.config.keep_escaped_slashes else {}),
            **transcoding(self.config),
            "paths": paths,
        }
        info = {"info": {"title": self.config.title or self.config.name, "version": self._version()}}
        if self.dialect.is_version2:
            named = {"securityDefinitions": schemes} if schemes else {}
            return {**head, **info, **self._host(), **shared, **named, **errors, "definitions": schemas}
        named = {"securitySchemes": schemes} if schemes else {}
        return {**head, **info, **self._servers(), **shared, "components": {**named, **errors, "schemas": schemas}}

    def _version(self) -> str:
        """The version of the API: what another document says, or what the services agree on."""
        services = self.plan.tags
        others = [api.version for api in self.config.apis if api.name not in services and api.version]
        own = list(dict.fromkeys(api.version for api in self.config.apis if api.name in services and api.version))
        return others[0] if others else own[0] if len(own) == 1 else "1.0.0"

    def _host(self) -> Json:
        config = self.config
        endpoint = {
            "name": config.name,
            **({"target": config.endpoint_target} if config.endpoint_target else {}),
            **({"allowCors": True} if config.allow_cors else {}),
        }
        endpoints = {"x-google-endpoints": [endpoint]} if len(endpoint) > 1 else {}
        json = ["application/json"]
        return {"host": config.name, "schemes": ["https"], "consumes": json, "produces": json, **endpoints}

    def _servers(self) -> Json:
        cors = {"x-google-endpoint": {"allowCors": True}} if self.config.allow_cors else {}
        return {"servers": [{"url": f"https://{self.config.name}", **cors}]}

    def _management(self) -> Json:
        if self.dialect.is_version2:
            return self.quotas.management2()
        return self.quotas.management3(self.backends.declared())

    def _tags(self) -> Iterator[Json]:
        for service, tag in self.plan.tags.items():
            about = self.lexicon.comment(service)
            yield {"name": tag, **({"description": about} if about else {})}

    # -- operations --------------------------------------------------------------------------------------------

    def _paths(self) -> Json:
        paths: dict[str, Json] = {}
        for one in self.plan.operations:
            paths.setdefault(one.path, {})[one.method] = self._operation(one)
        return paths

    def _operation(self, one: Planned) -> Json:
        operation = one.operation
        described = self.messages.described(one)
        deprecated = self.lexicon.method(one.rpc).GetOptions().deprecated
        return {
            "operationId": one.name,
            "tags": [one.tag],
            **self._told(one),
            **({"deprecated": True} if deprecated else {}),
            "x-authz-grpc": described.pop("x-authz-grpc"),
            **self._secured(operation.requirement),
            **self.backends.operation(one),
            **costs(operation),
            **({"x-authz-stream-timeout": number(one.timeout)} if one.timeout else {}),
            **(self._websocket() if operation.websocket else {}),
            **described,
        }

    def _websocket(self) -> Json:
        """What opens an operation to WebSocket."""
        if self.dialect.is_version2:
            return {"schemes": ["https", "wss"]}
        return {"servers": [{"url": f"{scheme}://{self.config.name}"} for scheme in ("https", "wss")]}

    def _told(self, one: Planned) -> Json:
        """The comment above the method: its first line by itself where that is a sentence."""
        comment = self.lexicon.comment(one.operation.selector) or one.operation.summary
        first, _, rest = comment.partition("\n")
        if first and (not rest or first.endswith(".") or rest.startswith("\n")):
            return {"summary": first, **({"description": rest.strip()} if rest.strip() else {})}
        return {"description": comment} if comment else {}

    def _secured(self, requirement: Requirement) -> Json:
        secured: Secured = self.security.secured(requirement)
        if self.usual is not None and secured == self.security.secured(self.usual) and not secured.extensions:
            return {}
        inherited = self.usual is None and not secured.security
        return {**({} if inherited else {"security": secured.security}), **secured.extensions}

    def _remarks(self) -> Iterator[str]:
        if self.config.fully_decode_reserved:
            yield ("'fully_decode_reserved_expansion' has no word in OpenAPI: keep a google.api.Service YAML with it")
        if self.config.endpoint_target and not self.dialect.is_version2:
            yield f"the endpoint's target '{self.config.endpoint_target}' has no word in OpenAPI 3.x"


def _credentials(config: ServiceConfig) -> frozenset[str]:
    """The query parameters in which credentials stand."""
    ways = [way for operation in config.operations for way in operation.requirement.alternatives]
    places = {place for way in ways if way.needs_key for place in way.key_places or DEFAULT_KEY_PLACES}
    places |= {place for provider in config.providers for place in provider.places}
    return frozenset(place.name for place in places if place.kind is PlaceKind.QUERY)
