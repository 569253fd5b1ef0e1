"""What the old generators take: the classes of one API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from authz.frameworks.declare import apis
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.service import Api


def one_api(services: Any) -> Api:
    """The API of a class, or of a list of classes.

    Raises:
        ApiConfigurationError: they belong to several APIs, or cannot be one.
    """
    found: Sequence[Api] = apis(_listed(services))
    if len(found) != 1:
        names = ", ".join(f"'{api.name}' {api.version}" for api in found) or "none"
        message = f"one document is of one API, and these are: {names}; generate each by itself"
        raise ApiConfigurationError(message)
    return found[0]


def _listed(services: Any) -> Iterable[Any]:
    return services if isinstance(services, list | tuple) else [services]
