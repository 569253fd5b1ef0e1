"""The old module `endpoints.api_exceptions`."""

from __future__ import annotations

from authz.frameworks.exceptions import (
    ApiConfigurationError,
    BadRequestException,
    ConflictException,
    ForbiddenException,
    GoneException,
    InternalServerErrorException,
    InvalidApiNameException,
    InvalidLimitDefinitionException,
    InvalidNamespaceException,
    NotFoundException,
    PreconditionFailedException,
    RequestEntityTooLargeException,
    ServiceException,
    ToolError,
    UnauthorizedException,
)

__all__ = [
    "ApiConfigurationError",
    "BadRequestException",
    "ConflictException",
    "ForbiddenException",
    "GoneException",
    "InternalServerErrorException",
    "InvalidApiNameException",
    "InvalidLimitDefinitionException",
    "InvalidNamespaceException",
    "NotFoundException",
    "PreconditionFailedException",
    "RequestEntityTooLargeException",
    "ServiceException",
    "ToolError",
    "UnauthorizedException",
]
