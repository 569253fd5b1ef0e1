"""The old module `endpoints.api_config`: decorators, and the records of App Engine's legacy server."""

from __future__ import annotations

from authz.frameworks.declare import api, method
from authz.frameworks.exceptions import (
    ApiConfigurationError,
    InvalidApiNameException,
    InvalidLimitDefinitionException,
    InvalidNamespaceException,
)
from authz.frameworks.types import (
    API_EXPLORER_CLIENT_ID,
    AUTH_LEVEL,
    EMAIL_SCOPE,
    ApiAuth,
    ApiFrontEndLimitRule,
    ApiFrontEndLimits,
    Issuer,
    LimitDefinition,
    Namespace,
)

__all__ = [
    "API_EXPLORER_CLIENT_ID",
    "AUTH_LEVEL",
    "EMAIL_SCOPE",
    "ApiAuth",
    "ApiConfigurationError",
    "ApiFrontEndLimitRule",
    "ApiFrontEndLimits",
    "InvalidApiNameException",
    "InvalidLimitDefinitionException",
    "InvalidNamespaceException",
    "Issuer",
    "LimitDefinition",
    "Namespace",
    "api",
    "method",
]
