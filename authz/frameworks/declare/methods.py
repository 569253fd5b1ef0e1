"""`@endpoints.method`: what one method says of itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from authz.frameworks import message_types, messages
from authz.frameworks.declare import checks, names, paths
from authz.frameworks.declare.access import Access
from authz.frameworks.declare.call import checked
from authz.frameworks.declare.container import ResourceContainer
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.types import OAuth2Scope

if TYPE_CHECKING:
    from authz.frameworks.declare.classes import ApiInfo


_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """What a method says. What it leaves to its class or API is asked with that `api_info`."""

    name: str
    python_name: str
    place: str
    """How messages name the method: `EchoApi.echo`."""
    path: str
    http_method: str
    access: Access
    metric_costs: Mapping[str, int] = field(default_factory=dict)
    container: ResourceContainer | None = None
    is_async: bool = False

    def get_path(self, api_info: ApiInfo) -> str:
        """The path below the API's name and version; empty for `/`, which is the API itself.

        Raises:
            ApiConfigurationError: it is no template; with the segment.
        """
        path = paths.joined(api_info.path, self.path, self.python_name)
        if path:
            paths.check(path, self.place)
        return path

    def method_id(self, api_info: ApiInfo) -> str:
        """`api.resource.method`."""
        return names.method_id(api_info.name, api_info.resource_name, self.name)

    def is_api_key_required(self, api_info: ApiInfo) -> bool:
        """Whether calls need an API key."""
        return self.access.over(api_info.access).api_key_required or False

    def use_request_uri(self, api_info: ApiInfo) -> bool:
        """Whether the method is routed by the undecoded URI."""
        return self.access.over(api_info.access).use_request_uri or False

    @property
    def audiences(self) -> list[str] | dict[str, list[str]] | None:
        """As said here."""
        return self.access.listed_audiences()

    @property
    def scopes(self) -> list[str] | None:
        """As said here."""
        return None if self.access.scopes is None else [one.scope for one in self.access.scopes]

    @property
    def allowed_client_ids(self) -> list[str] | None:
        """As said here."""
        return None if self.access.allowed_client_ids is None else list(self.access.allowed_client_ids)

    @property
    def auth_level(self) -> int | None:
        """As said here; not read."""
        return self.access.auth_level

    @property
    def api_key_required(self) -> bool | None:
        """As said here."""
        return self.access.api_key_required

    @property
    def request_body_class(self) -> type[messages.Message] | None:
        """The body of the container, if the method takes one."""
        return self.container.body_message_class if self.container else None

    @property
    def request_params_class(self) -> type[messages.Message] | None:
        """The parameters of the container, if the method takes one."""
        return self.container.parameters_message_class if self.container else None


def method(
    request_message: type[messages.Message] | ResourceContainer | str = message_types.VoidMessage,
    response_message: type[messages.Message] | str = message_types.VoidMessage,
    *,
    name: str | None = None,
    path: str | None = None,
    http_method: str | None = "POST",
    scopes: Sequence[str | OAuth2Scope] | None = None,
    audiences: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    allowed_client_ids: Sequence[str] | None = None,
    auth_level: int | None = None,
    api_key_required: bool | None = None,
    metric_costs: Mapping[str, int] | None = None,
    use_request_uri: bool | None = None,
    optional_auth: bool | None = None,
) -> Callable[[_Function], _Function]:
    """One method of an API: `async def` or not, of `self` and a request message, giving a response message.

    Args:
        request_message: A message class or its name, or a ResourceContainer of a body and parameters.
        response_message: A message class or its name; VoidMessage answers 204.
        name: The last part of the method id; the function's name if it is left out.
        path: Below API and class; a slash in front leaves the class's path out. The function's name by default.
        http_method: GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.
        audiences: As for `api`; what is left out comes from the class, then from the API.
        scopes: Likewise.
        allowed_client_ids: Likewise.
        api_key_required: Likewise.
        use_request_uri: Likewise.
        optional_auth: Likewise.
        metric_costs: What one call takes of each metric.
        auth_level: Kept, and not read.
    """
    said = {
        "audiences": audiences,
        "scopes": scopes,
        "allowed_client_ids": allowed_client_ids,
        "auth_level": auth_level,
        "api_key_required": api_key_required,
        "use_request_uri": use_request_uri,
        "optional_auth": optional_auth,
    }

    if inspect.isroutine(request_message):
        text = f"{request_message.__qualname__}: write @endpoints.method() with brackets"
        raise TypeError(text)

    def decorate(function: _Function) -> _Function:
        place = function.__qualname__.rpartition("<locals>.")[2]
        container = request_message if isinstance(request_message, ResourceContainer) else None
        written = checks.text(place, "name", name) or function.__name__
        info = MethodInfo(
            name=written,
            python_name=function.__name__,
            place=place,
            path=checks.text(place, "path", path) or "",
            http_method=checks.verb(place, http_method),
            access=Access.of(place, said),
            metric_costs=checks.costs(place, metric_costs),
            container=container,
            is_async=inspect.iscoroutinefunction(function),
        )
        _check_name(info)
        request = _request(place, info, request_message)
        response = _message(place, "response_message", response_message)
        made = checked(place, function, request, response)
        made.method_info = info
        made.__name__ = written
        return cast("_Function", made)

    return decorate


def _check_name(info: MethodInfo) -> None:
    if not names.safe(info.name):
        message = f"{info.place}: name is {info.name!r}, and nothing of it can be part of a method id"
        raise ApiConfigurationError(message)


def _request(place: str, info: MethodInfo, given: Any) -> Any:
    container = info.container
    if container is None:
        return _message(place, "request_message", given)
    for name in paths.variables(info.path):
        found = container.parameters.get(name)
        if found is not None and found.repeated:
            message = f"{place}: the path variable '{name}' is a repeated field; one segment holds one value"
            raise ApiConfigurationError(message)
    try:
        return container.combined_message_class
    except TypeError as error:
        message = f"{place}: request_message: {error}"
        raise TypeError(message) from None


def _message(place: str, argument: str, given: Any) -> Any:
    """A child of Message, or the name of one, which is looked up later."""
    if isinstance(given, str) and given:
        return given
    if not isinstance(given, type) or not issubclass(given, messages.Message) or given is messages.Message:
        raise checks.wrong(place, argument, "a child of messages.Message", given)
    return given
