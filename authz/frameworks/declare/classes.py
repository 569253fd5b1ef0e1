"""`@endpoints.api` and `api_class`: what one API and each of its classes say of themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from authz.frameworks.declare import checks
from authz.frameworks.declare.access import Access
from authz.frameworks.declare.names import path_version
from authz.frameworks.types import (
    API_EXPLORER_CLIENT_ID,
    AUTH_LEVEL,
    EMAIL_DESCRIPTION,
    EMAIL_SCOPE,
    ApiAuth,
    ApiFrontEndLimits,
    Issuer,
    LimitDefinition,
    Namespace,
    OAuth2Scope,
)

_Class = TypeVar("_Class", bound=type)
_DEFAULT_SCOPES = (OAuth2Scope(EMAIL_SCOPE, EMAIL_DESCRIPTION),)


@dataclass(frozen=True, kw_only=True)
class ApiInfo:
    """What a class of an API says: the API's own words, and the class's resource name, path and access."""

    name: str
    api_version: str
    """As declared."""
    description: str | None = None
    hostname: str | None = None
    base_path: str = "/_ah/api/"
    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    limit_definitions: tuple[LimitDefinition, ...] = ()
    canonical_name: str | None = None
    title: str | None = None
    documentation: str | None = None
    namespace: Namespace | None = None
    auth: ApiAuth | None = None
    frontend_limits: ApiFrontEndLimits | None = None
    access: Access
    resource_name: str | None = None
    path: str | None = None
    api: ApiDecorator
    """The object that decorates. Classes of one API share it."""

    @cached_property
    def path_version(self) -> str:
        """The version in URLs."""
        return path_version(self.api_version)

    @property
    def audiences(self) -> list[str] | dict[str, list[str]] | None:
        """Accepted audiences, of the class or else of the API."""
        return self.access.listed_audiences()

    @property
    def scopes(self) -> list[str]:
        """Accepted scopes; the e-mail scope if nothing was said."""
        return [scope.scope for scope in self.scope_objs]

    @property
    def scope_objs(self) -> tuple[OAuth2Scope, ...]:
        """The scopes with their descriptions."""
        return _DEFAULT_SCOPES if self.access.scopes is None else self.access.scopes

    @property
    def allowed_client_ids(self) -> list[str]:
        """Accepted clients; Google's API Explorer if nothing was said."""
        found = self.access.allowed_client_ids
        return [API_EXPLORER_CLIENT_ID] if found is None else list(found)

    @property
    def auth_level(self) -> int:
        """Kept, and not read; NONE if nothing was said."""
        return AUTH_LEVEL.NONE if self.access.auth_level is None else self.access.auth_level

    @property
    def api_key_required(self) -> bool:
        """Whether methods that say nothing need an API key."""
        return self.access.api_key_required or False

    @property
    def use_request_uri(self) -> bool:
        """Whether methods that say nothing are routed by the undecoded URI."""
        return self.access.use_request_uri or False

    @property
    def owner_domain(self) -> str | None:
        """Of the namespace."""
        return self.namespace.owner_domain if self.namespace else None

    @property
    def owner_name(self) -> str | None:
        """Of the namespace."""
        return self.namespace.owner_name if self.namespace else None

    @property
    def package_path(self) -> str | None:
        """Of the namespace."""
        return self.namespace.package_path if self.namespace else None

    def is_same_api(self, other: object) -> bool:
        """Whether another class belongs to the same API object."""
        return isinstance(other, ApiInfo) and self.api is other.api


class ApiDecorator:
    """One API: decorates its class, or by `api_class` its several classes."""

    def __init__(self, describe: Callable[[ApiDecorator], ApiInfo]) -> None:
        self.api_info = describe(self)
        self.infos: dict[type, ApiInfo] = {}

    def __repr__(self) -> str:
        return f"<{self.place}>"

    @property
    def place(self) -> str:
        """How messages name the API."""
        return f"api '{self.api_info.name}' {self.api_info.api_version}"

    def __call__(self, service: _Class) -> _Class:
        """Decorate a class that says nothing of its own."""
        return self._add(service, self.api_info)

    def api_class(
        self,
        resource_name: str | None = None,
        path: str | None = None,
        audiences: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        scopes: Sequence[str | OAuth2Scope] | None = None,
        allowed_client_ids: Sequence[str] | None = None,
        auth_level: int | None = None,
        api_key_required: bool | None = None,
        optional_auth: bool | None = None,
    ) -> Callable[[_Class], _Class]:
        """Decorate one of several classes of the API.

        Args:
            resource_name: The middle of method ids, `api.resource.method`, and the tag of its operations.
            path: What precedes the paths of its methods.
            audiences: As for `api`, for this class.
            scopes: Likewise.
            allowed_client_ids: Likewise.
            api_key_required: Likewise.
            optional_auth: Likewise.
            auth_level: Kept, and not read.
        """
        said = {
            "audiences": audiences,
            "scopes": scopes,
            "allowed_client_ids": allowed_client_ids,
            "auth_level": auth_level,
            "api_key_required": api_key_required,
            "optional_auth": optional_auth,
        }

        if isinstance(resource_name, type):
            message = f"{self.place}: write @….api_class() with brackets above class {resource_name.__name__}"
            raise TypeError(message)

        def decorate(service: _Class) -> _Class:
            place = f"{service.__name__} of {self.place}"
            info = replace(
                self.api_info,
                resource_name=checks.text(place, "resource_name", resource_name),
                path=checks.text(place, "path", path),
                access=Access.of(place, said).over(self.api_info.access),
            )
            return self._add(service, info)

        return decorate

    def get_api_classes(self) -> list[type]:
        """The decorated classes, in the order of decoration."""
        return list(self.infos)

    def _add(self, service: _Class, info: ApiInfo) -> _Class:
        if not inspect.isclass(service):
            raise checks.wrong(self.place, "what is decorated", "a class", service)
        service.api_info = info  # type: ignore[attr-defined]
        self.infos[service] = info
        return service


def api(
    name: str,
    version: str,
    *,
    description: str | None = None,
    hostname: str | None = None,
    audiences: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    scopes: Sequence[str | OAuth2Scope] | None = None,
    allowed_client_ids: Sequence[str] | None = None,
    canonical_name: str | None = None,
    auth: ApiAuth | None = None,
    owner_domain: str | None = None,
    owner_name: str | None = None,
    package_path: str | None = None,
    frontend_limits: ApiFrontEndLimits | None = None,
    title: str | None = None,
    documentation: str | None = None,
    auth_level: int | None = None,
    issuers: Mapping[str, Issuer] | None = None,
    namespace: Namespace | None = None,
    api_key_required: bool | None = None,
    base_path: str | None = None,
    limit_definitions: list[LimitDefinition] | None = None,
    use_request_uri: bool | None = None,
    optional_auth: bool | None = None,
) -> ApiDecorator:
    """One API, which decorates a class or several.

    Args:
        name: In URLs, method ids and as the title of OpenAPI 2.0 documents.
        version: In URLs as it is, or as `v1` if it is a semantic version like 1.2.0.
        description: For people; the docstring of the only class if it is left out.
        hostname: The host of documents, where none is given to the generator.
        audiences: Accepted `aud` of tokens: a list, which means Google's issuer, or lists by the name of an issuer.
        scopes: Accepted scopes of tokens: any of the list, all of one string's words.
        allowed_client_ids: Clients whose tokens are accepted; [] is nobody, ["*"] anybody.
        canonical_name: For discovery clients.
        title: For people, in discovery and OpenAPI 3.1 documents.
        documentation: A URL for people.
        namespace: Whose API it is, for discovery clients.
        owner_domain: The same in single words, unless there is a namespace.
        owner_name: Likewise.
        package_path: Likewise.
        issuers: Who signs tokens, by name; Google if it is left out.
        api_key_required: Whether calls need an API key.
        base_path: What precedes all URLs, `/_ah/api/` by default.
        limit_definitions: How much one consumer may use of each metric in a minute.
        use_request_uri: Route by the undecoded URI.
        optional_auth: Whether calls without a credential pass too.
        auth: Of App Engine's legacy server; kept, and not read.
        auth_level: Likewise.
        frontend_limits: Likewise.
    """
    place = f"api {name!r} {version if isinstance(version, str) else ''}".rstrip()
    checks.api_name(place, "name", checks.needed(place, "name", name))
    checks.version(place, "version", checks.needed(place, "version", version))
    words = {
        "description": description,
        "hostname": hostname,
        "canonical_name": canonical_name,
        "title": title,
        "documentation": documentation,
    }
    said = {
        "audiences": audiences,
        "scopes": scopes,
        "allowed_client_ids": allowed_client_ids,
        "auth_level": auth_level,
        "api_key_required": api_key_required,
        "use_request_uri": use_request_uri,
        "optional_auth": optional_auth,
    }
    owner = _owner(place, owner_domain, owner_name, package_path)
    base = checks.text(place, "base_path", base_path)
    shared: dict[str, Any] = {
        **{key: checks.text(place, key, value) for key, value in words.items()},
        "name": name,
        "api_version": version,
        "base_path": "/_ah/api/" if base is None else checks.base_path(place, base),
        "issuers": checks.issuers(place, issuers),
        "limit_definitions": checks.limits(place, limit_definitions),
        "namespace": checks.namespace(place, namespace) or owner,
        "auth": checks.record(place, "auth", auth, ApiAuth),
        "frontend_limits": checks.record(place, "frontend_limits", frontend_limits, ApiFrontEndLimits),
        "access": Access.of(place, said),
    }
    return ApiDecorator(lambda made: ApiInfo(api=made, **shared))


def _owner(place: str, domain: Any, name: Any, path: Any) -> Namespace | None:
    """The namespace that three arguments make together; each may be missing, as the old library had it."""
    given = {"owner_domain": domain, "owner_name": name, "package_path": path}
    checked = {key: checks.text(place, key, value) for key, value in given.items()}
    return Namespace(**checked) if any(checked.values()) else None  # type: ignore[arg-type]
