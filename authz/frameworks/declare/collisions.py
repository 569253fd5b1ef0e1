"""What APIs may not have in common, with others or within themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from authz.frameworks.declare import paths
from authz.frameworks.document.security import accepted
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.service import Api, Method


def check(apis: Sequence[Api]) -> None:
    """Refuse APIs that could not be told apart, methods that could not be, and what nobody has declared.

    Raises:
        ApiConfigurationError: with the classes and methods.
        TypeError: audiences of an issuer that the API does not have.
    """
    _check_versions(apis)
    ids: dict[str, Method] = {}
    routes: dict[tuple[str, str], Method] = {}
    for api, method in _all(apis):
        other = ids.setdefault(f"{api.version} {method.id}", method)
        if other is not method:
            message = (
                f"{_name(other)} and {_name(method)} have the method id '{method.id}' both; give one a name of its own"
            )
            raise ApiConfigurationError(message)
        path = f"{api.base_path.rstrip('/')}{method.path}"
        other = routes.setdefault((method.http_method, paths.shape(path)), method)
        if other is not method:
            message = f"{_name(other)} and {_name(method)} are served at {method.http_method} {path} both"
            raise ApiConfigurationError(message)
        accepted(api, method)
    _check_metrics(apis)


def _all(apis: Sequence[Api]) -> Iterator[tuple[Api, Method]]:
    return ((api, method) for api in apis for method in api.methods)


def _name(method: Method) -> str:
    return f"{method.owner}.{method.name}"


def _check_versions(apis: Sequence[Api]) -> None:
    versions: dict[tuple[str, str], Api] = {}
    urls: dict[tuple[str, str, str], Api] = {}
    for api in apis:
        if versions.setdefault((api.name, api.version), api) is not api:
            message = f"api '{api.name}' {api.version} is declared twice"
            raise ApiConfigurationError(message)
        other = urls.setdefault((api.base_path, api.name, api.path_version), api)
        if other is not api:
            message = (
                f"api '{api.name}' has the versions {other.version} and {api.version}, which share the URLs of "
                f"{api.path_version}; serve one of them, or raise the major version"
            )
            raise ApiConfigurationError(message)


def _check_metrics(apis: Sequence[Api]) -> None:
    """A cost names a metric that some API of the same server limits: their documents make one service."""
    declared = {limit.metric_name for api in apis for limit in api.limits}
    for api, method in _all(apis):
        unknown = next((metric for metric in method.metric_costs if metric not in declared), None)
        if unknown is not None:
            message = (
                f"{_name(method)}: metric_costs names '{unknown}', which no limit_definitions has; add a "
                f"LimitDefinition to api '{api.name}', or use one of: {', '.join(sorted(declared)) or 'none so far'}"
            )
            raise ApiConfigurationError(message)
