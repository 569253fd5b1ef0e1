"""Documents of an API: OpenAPI 2.0 and 3.1, and Google's discovery document.

They are written from `Api` and `Method` alone, whatever style of declaring these come from.
"""

from __future__ import annotations

import re
from typing import Any

from authz.frameworks.document import rest, version2, version3
from authz.frameworks.exceptions import InvalidApiNameException
from authz.frameworks.service import Api, Version

_API_NAME = re.compile(r"[a-z][a-z0-9]{0,39}")


def openapi(
    api: Api, *, version: Version = "2.0", hostname: str | None = None, api_name: bool = False
) -> dict[str, Any]:
    """The OpenAPI document of an API.

    Args:
        api: What was declared.
        version: The dialect.
        hostname: The service's name; the API's own if it is left out.
        api_name: Name the API in the document, for several documents that make one service.

    Raises:
        ApiConfigurationError: two messages would have one schema name, or audiences no issuer.
        InvalidApiNameException: the API's name cannot be one of several.
        TypeError: audiences of an issuer that the API does not have.
    """
    host = hostname or api.hostname
    if version == "2.0":
        found = version2.write(api, host)
        return found | ({"x-google-api-name": _checked(api.name)} if api_name else {})
    found = version3.write(api, host)
    if api_name:
        found.setdefault("x-google-api-management", {})["apiName"] = _checked(api.name)
    return found


def discovery(api: Api, *, hostname: str | None = None) -> dict[str, Any]:
    """The discovery document of an API, at `hostname` or else at its own."""
    return rest.write(api, hostname or api.hostname)


def _checked(name: str) -> str:
    if not _API_NAME.fullmatch(name):
        message = f"api '{name}': the name of one API among several is {_API_NAME.pattern}; choose such a name"
        raise InvalidApiNameException(message)
    return name
