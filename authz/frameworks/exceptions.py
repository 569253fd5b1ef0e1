"""What a method raises to refuse a call, and what decorating or writing a document raises about wrong code.

`ServiceException` and its children are answered with their status and message; anything else that a method raises
is answered as 500 without its text.
"""

from __future__ import annotations

from typing import Literal


class ServiceException(Exception):
    """The root of what a method may raise: a status and a message for the caller. Subclass it for other statuses."""

    http_status: int = 500

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or "")


class BadRequestException(ServiceException):
    """400."""

    http_status = 400


class InvalidValue(BadRequestException):
    """400: a parameter, or a field of a body, is not what the method declares.

    `location` is its name, dotted, with an index for repeated ones (`items[2].price`); empty for the whole body.
    """

    def __init__(self, message: str, location: str = "", where: Literal["parameter", "body"] = "body") -> None:
        super().__init__(message)
        self.location = location
        self.where = where


class UnauthorizedException(ServiceException):
    """401."""

    http_status = 401


class ForbiddenException(ServiceException):
    """403."""

    http_status = 403


class NotFoundException(ServiceException):
    """404."""

    http_status = 404


class ConflictException(ServiceException):
    """409."""

    http_status = 409


class GoneException(ServiceException):
    """410."""

    http_status = 410


class PreconditionFailedException(ServiceException):
    """412."""

    http_status = 412


class RequestEntityTooLargeException(ServiceException):
    """413."""

    http_status = 413


class InternalServerErrorException(ServiceException):
    """500."""

    http_status = 500


class ApiConfigurationError(Exception):
    """Decorated classes that cannot be one API; the message names class, method and argument."""


class InvalidNamespaceException(ApiConfigurationError):
    """A namespace without owner_domain or owner_name."""


class InvalidLimitDefinitionException(ApiConfigurationError):
    """A limit definition whose names or number cannot be."""


class InvalidApiNameException(ApiConfigurationError):
    """An API name that is not a lower-case letter followed by at most 39 lower-case letters and digits."""


class InvalidGetUserCall(Exception):
    """The current user was asked for while no request is being handled."""


class ToolError(Exception):
    """A command could not do what it was asked to."""
