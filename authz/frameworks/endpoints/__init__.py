"""The names of the old `endpoints` package: what code written for it finds after it changed its imports.

Servers and users are loaded when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from authz.frameworks import message_types, messages, remote
from authz.frameworks.declare import ResourceContainer, api, method
from authz.frameworks.exceptions import (
    ApiConfigurationError,
    BadRequestException,
    ConflictException,
    ForbiddenException,
    GoneException,
    InternalServerErrorException,
    InvalidApiNameException,
    InvalidGetUserCall,
    InvalidLimitDefinitionException,
    InvalidNamespaceException,
    NotFoundException,
    PreconditionFailedException,
    RequestEntityTooLargeException,
    ServiceException,
    ToolError,
    UnauthorizedException,
)
from authz.frameworks.types import (
    API_EXPLORER_CLIENT_ID,
    AUTH_LEVEL,
    EMAIL_SCOPE,
    SKIP_CLIENT_ID_CHECK,
    Issuer,
    LimitDefinition,
    Namespace,
    OAuth2Scope,
)

if TYPE_CHECKING:
    from authz.frameworks.endpoints.apiserving import (
        ApiConfigRegistry,
        EndpointsDispatcherMiddleware,
        EndpointsErrorMessage,
    )
    from authz.frameworks.serve import api_server, asgi_server
    from authz.frameworks.serve.tokens.guard import get_verified_jwt
    from authz.frameworks.serve.tokens.rules import convert_jwks_uri
    from authz.frameworks.users import User, get_current_user

_LAZY = {
    "api_server": "authz.frameworks.serve",
    "asgi_server": "authz.frameworks.serve",
    "ApiConfigRegistry": "authz.frameworks.endpoints.apiserving",
    "EndpointsDispatcherMiddleware": "authz.frameworks.endpoints.apiserving",
    "EndpointsErrorMessage": "authz.frameworks.endpoints.apiserving",
    "User": "authz.frameworks.users",
    "get_current_user": "authz.frameworks.users",
    "convert_jwks_uri": "authz.frameworks.serve.tokens.rules",
    "get_verified_jwt": "authz.frameworks.serve.tokens.guard",
}
_MODULES = frozenset({
    "api_config",
    "api_exceptions",
    "apiserving",
    "constants",
    "discovery_generator",
    "message_parser",
    "openapi_generator",
    "protojson",
    "resource_container",
    "types",
    "users_id_token",
})  # fmt: skip
package = "google.appengine.endpoints"
"""As of old, and of no use: a module's own `package` is what its schemas are named by."""

__all__ = [
    "API_EXPLORER_CLIENT_ID",
    "AUTH_LEVEL",
    "EMAIL_SCOPE",
    "SKIP_CLIENT_ID_CHECK",
    "ApiConfigRegistry",
    "ApiConfigurationError",
    "BadRequestException",
    "ConflictException",
    "EndpointsDispatcherMiddleware",
    "EndpointsErrorMessage",
    "ForbiddenException",
    "GoneException",
    "InternalServerErrorException",
    "InvalidApiNameException",
    "InvalidGetUserCall",
    "InvalidLimitDefinitionException",
    "InvalidNamespaceException",
    "Issuer",
    "LimitDefinition",
    "Namespace",
    "NotFoundException",
    "OAuth2Scope",
    "PreconditionFailedException",
    "RequestEntityTooLargeException",
    "ResourceContainer",
    "ServiceException",
    "ToolError",
    "UnauthorizedException",
    "User",
    "api",
    "api_server",
    "asgi_server",
    "convert_jwks_uri",
    "get_current_user",
    "get_verified_jwt",
    "message_types",
    "messages",
    "method",
    "remote",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"authz.frameworks.endpoints.{name}")
    message = f"module 'authz.frameworks.endpoints' has no attribute {name!r}"
    raise AttributeError(message)
