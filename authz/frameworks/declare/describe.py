"""The decorated methods of one class as Methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from authz.frameworks.declare import names, parameters, paths
from authz.frameworks.declare.call import Remote
from authz.frameworks.declare.classes import ApiInfo
from authz.frameworks.declare.methods import MethodInfo
from authz.frameworks.declare.schema import MessageShape, doc
from authz.frameworks.exceptions import ApiConfigurationError
from authz.frameworks.message_types import VoidMessage
from authz.frameworks.messages import Field, Message
from authz.frameworks.protojson import FieldParameter, MessageBinding
from authz.frameworks.service import Method

_MOST_PARAMETERS = 1000
_BODILESS = frozenset({"GET", "DELETE"})


def described(info: ApiInfo, service: type, factory: Callable[[], Any]) -> Iterator[Method]:
    """The methods of a class, by attribute name."""
    for attribute in sorted(dir(service)):
        method, remote = _declared(service, attribute)
        if method is not None and remote is not None:
            yield _method(info, service, factory, attribute, method, remote)


def _declared(service: type, attribute: str) -> tuple[MethodInfo | None, Remote | None]:
    """What is said of an attribute, where it is or where it is first overridden without being decorated again."""
    for base in service.__mro__:
        if attribute not in vars(base):
            continue
        found = vars(base)[attribute]
        method, remote = getattr(found, "method_info", None), getattr(found, "remote", None)
        if isinstance(method, MethodInfo) and isinstance(remote, Remote):
            return method, remote
        if not callable(found):
            break
    return None, None


def _method(
    info: ApiInfo, service: type, factory: Callable[[], Any], attribute: str, method: MethodInfo, remote: Remote
) -> Method:
    path = method.get_path(info)
    taken = _Taken(method, remote.request_type, paths.variables(path), method.method_id(info))
    response = remote.response_type
    return Method(
        name=attribute,
        owner=service.__name__,
        id=taken.id,
        operation_id=f"{service.__name__}_{names.camel(attribute)}",
        http_method=method.http_method,
        path=f"/{info.name}/{info.path_version}/{path}".rstrip("/"),
        parameters=tuple(leaf.parameter(taken.in_path) for leaf in taken.leaves),
        body=MessageShape(taken.body) if taken.body else None,
        body_first=method.container is not None,
        response=None if response is VoidMessage else MessageShape(response),
        security=method.access.over(info.access).security(),
        metric_costs=method.metric_costs,
        description=doc(getattr(service, attribute)),
        tags=(info.resource_name or service.__name__,),
        binding=MessageBinding(
            remote.request_type, [FieldParameter(leaf.name, leaf.field) for leaf in taken.leaves], response
        ),
        open=lambda: getattr(factory(), attribute),
        escaped_slashes=method.use_request_uri(info),
        is_async=method.is_async,
    )


class _Taken:
    """What a method takes: which fields are parameters, and which message is the body."""

    def __init__(self, method: MethodInfo, message: type[Message], variables: Sequence[str], method_id: str) -> None:
        self.method, self.id = method, method_id
        self.fields: list[tuple[str, Field]] = parameters.named(message)
        if method.container is not None:
            given = dict(self.fields)
            self.fields = [(name, given[name]) for name in method.container.parameters]
        self.in_path = parameters.in_path(variables, self.fields, method.place)
        self.body = self._body(message)
        self.leaves = self._leaves()

    def _body(self, message: type[Message]) -> type[Message] | None:
        container = self.method.container
        found = message if container is None else container.body_message_class
        if found is VoidMessage:
            return None
        if self.method.http_method not in _BODILESS:
            return found
        if container is not None:
            text = (
                f"{self.id} ({self.method.place}): {self.method.http_method} takes no body, but its container has "
                f"{found.__name__}; leave the body out, or use another http_method"
            )
            raise ApiConfigurationError(text)
        return None

    def _leaves(self) -> list[parameters.Leaf]:
        """In the order of numbers; what only a path reaches, beyond a message that contains itself, comes last."""
        if self.method.container is None and self.body is not None:
            return list(self.in_path.values())
        found = {leaf.name: leaf for leaf in islice(parameters.leaves(self.fields), _MOST_PARAMETERS + 1)}
        if len(found) > _MOST_PARAMETERS:
            text = (
                f"{self.method.place}: what it takes has more than {_MOST_PARAMETERS} fields within fields, and each "
                "would be a parameter; take a ResourceContainer of the few that are"
            )
            raise ApiConfigurationError(text)
        return list((found | {name: leaf for name, leaf in self.in_path.items() if name not in found}).values())
