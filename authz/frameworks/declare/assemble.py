"""From decorated classes to APIs: each class is read once, and all methods are checked against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from authz.frameworks.declare import collisions, names
from authz.frameworks.declare.classes import ApiDecorator, ApiInfo
from authz.frameworks.declare.describe import described
from authz.frameworks.declare.schema import doc
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.service import Api, Method
from authz.frameworks.types import OAuth2Scope


@dataclass(frozen=True, slots=True)
class Given:
    """A class to serve: what it says, and what makes its instances."""

    info: ApiInfo
    service: type
    factory: Callable[[], Any]


def apis(things: Iterable[Any]) -> tuple[Api, ...]:
    """The APIs of classes, factories, api objects, and whatever else describes itself, in their order.

    Raises:
        ApiConfigurationError: they cannot be served together, or one of them not at all.
        TypeError: a path leads to a field that is none, or an audience to an issuer that is none.
    """
    groups: dict[tuple[str, str], list[Given]] = {}
    found: dict[Any, Api | None] = {}
    for number, thing in enumerate(things):
        if _describes(thing):
            found.update({(number, place): api for place, api in enumerate(thing.describe())})
            continue
        for given in _given(thing):
            key = (given.info.name, given.info.api_version)
            groups.setdefault(key, []).append(given)
            found.setdefault(key, None)
    made = tuple(_api(groups[key]) if api is None else api for key, api in found.items())
    collisions.check(made)
    return made


def _describes(thing: Any) -> bool:
    """Whether something gives its APIs itself; a class's method may be called so too."""
    return hasattr(thing, "describe") and not isinstance(getattr(thing, "api_info", None), ApiInfo)


def _given(thing: Any) -> Iterator[Given]:
    if isinstance(thing, ApiDecorator):
        if not thing.infos:
            message = f"{thing.place} decorates no class; import the modules that have its classes first"
            raise ApiConfigurationError(message)
        yield from (Given(info, service, service) for service, info in thing.infos.items())
        return
    service = getattr(thing, "service_class", thing)
    info = getattr(service, "api_info", None)
    if not isinstance(service, type) or not isinstance(info, ApiInfo):
        known = f"{thing.__module__}.{thing.__qualname__}" if isinstance(thing, type) else repr(thing)
        message = f"{known} is no API: decorate its class with @endpoints.api"
        raise ApiConfigurationError(message)
    yield Given(info, service, thing)


def _api(classes: Sequence[Given]) -> Api:
    info = classes[0].info
    for given in classes:
        if not given.info.is_same_api(info):
            message = (
                f"{classes[0].service.__name__} and {given.service.__name__} are decorated by two objects of the same "
                f"{info.api.place}; decorate both with the api_class of one object"
            )
            raise ApiConfigurationError(message)
    _check_twice(classes)
    base = info.base_path.rstrip("/") or "/"
    return Api(
        name=info.name,
        version=info.api_version,
        path_version=info.path_version,
        base_path=base,
        hostname=info.hostname,
        description=info.description or (doc(classes[0].service) if len(classes) == 1 else "") or None,
        issuers=info.issuers,
        limits=info.limit_definitions,
        methods=_methods(classes),
        title=info.title,
        documentation=info.documentation,
        canonical_name=info.canonical_name,
        namespace=info.namespace,
        scopes=_scopes(classes),
    )


def _check_twice(classes: Sequence[Given]) -> None:
    seen: set[type] = set()
    for given in classes:
        if given.service in seen:
            message = f"{given.service.__name__} is listed twice"
            raise ApiConfigurationError(message)
        seen.add(given.service)


def _methods(classes: Sequence[Given]) -> tuple[Method, ...]:
    found = [method for given in classes for method in described(given.info, given.service, given.factory)]
    ids = names.distinct(method.operation_id for method in found)
    return tuple(replace(method, operation_id=one) for method, one in zip(found, ids, strict=True))


def _scopes(classes: Sequence[Given]) -> tuple[OAuth2Scope, ...]:
    return tuple({scope.scope: scope for given in classes for scope in given.info.scope_objs}.values())
