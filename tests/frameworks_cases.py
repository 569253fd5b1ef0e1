"""Classes made of descriptions in JSON, through the names that people import: messages, containers, APIs, methods."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from authz.frameworks import endpoints, message_types, messages, remote

_numbers = itertools.count()
_FIELDS = {
    "integer": messages.IntegerField,
    "float": messages.FloatField,
    "boolean": messages.BooleanField,
    "string": messages.StringField,
    "bytes": messages.BytesField,
    "datetime": message_types.DateTimeField,
}
_RECORDS: dict[str, Callable[..., Any]] = {
    "issuers": lambda said: (
        {name: endpoints.Issuer(**one) for name, one in said.items()} if isinstance(said, dict) else said
    ),
    "limit_definitions": lambda said: [endpoints.LimitDefinition(**one) for one in said],
    "namespace": lambda said: endpoints.Namespace(**said),
}
Handler = Callable[[Any, Any], Any]


class Described:
    """The classes of one description; `handlers` are what methods do, by class and Python name."""

    def __init__(self, described: Mapping[str, Any], handlers: Mapping[str, Handler] | None = None) -> None:
        self.handlers = handlers or {}
        self.module = types.ModuleType(f"described_{next(_numbers)}")
        self.module.package = described.get("package", "described")  # type: ignore[attr-defined]
        sys.modules[self.module.__name__] = self.module
        self.known: dict[str, Any] = {"VoidMessage": message_types.VoidMessage}
        self._definitions(described, "")
        self.containers = {one["name"]: self._container(one) for one in described["resource_containers"]}
        self.apis = {name: self._api(one) for name, one in described["apis"].items()}
        self.services = [self._service(one) for one in described["services"]]

    def _definitions(self, described: Mapping[str, Any], outer: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, numbers in (described.get("enums") or {}).items():
            place = {"__module__": self.module.__name__, "__qualname__": outer + name}
            made[name] = messages.Enum(
                outer + name, numbers, module=self.module.__name__, qualname=place["__qualname__"]
            )
            made[name].__name__ = name
            self.known[name] = made[name]
        for one in described.get("messages") or ():
            made[one["name"]] = self.known[one["name"]] = self._message(one, outer)
        return made

    def _message(self, described: Mapping[str, Any], outer: str) -> Any:
        name = described["name"]
        body: dict[str, Any] = {"__module__": self.module.__name__, "__qualname__": outer + name}
        if "doc" in described:
            body["__doc__"] = described["doc"]
        body |= self._definitions(described, f"{outer}{name}.")
        body |= {one["name"]: self._field(one) for one in described["fields"]}
        made = type(messages.Message)(name, (messages.Message,), body)
        if not outer:
            setattr(self.module, name, made)
        return made

    def _field(self, described: Mapping[str, Any]) -> messages.Field:
        said = {key: value for key, value in described.items() if key not in {"name", "type", "number"}}
        kind, _, referred = described["type"].partition(":")
        if "variant" in said:
            said["variant"] = messages.Variant(said["variant"])
        if kind == "bytes" and "default" in said:
            said["default"] = said["default"].encode()
        if kind == "enum":
            return messages.EnumField(self.known.get(referred, referred), described["number"], **said)
        if kind == "message":
            return messages.MessageField(self.known.get(referred, referred), described["number"], **said)
        return _FIELDS[kind](described["number"], **said)

    def _container(self, described: Mapping[str, Any]) -> endpoints.ResourceContainer:
        fields = {one["name"]: self._field(one) for one in described["params"]}
        body = self.known[described["body"]] if described["body"] else message_types.VoidMessage
        return endpoints.ResourceContainer(body, **fields)

    def _api(self, said: Mapping[str, Any]) -> Any:
        arguments = {key: _RECORDS[key](value) if key in _RECORDS else value for key, value in said.items()}
        return endpoints.api(*arguments.pop("__positional__", ()), **arguments)

    def _service(self, described: Mapping[str, Any]) -> type:
        body: dict[str, Any] = {"__module__": self.module.__name__, "__qualname__": described["class"]}
        if "doc" in described:
            body["__doc__"] = described["doc"]
        body |= {one["python_name"]: self._method(described["class"], one) for one in described["methods"]}
        made = type(described["class"], (remote.Service,), body)
        api = self.apis[described["api"]]
        return api.api_class(**described["api_class"])(made) if "api_class" in described else api(made)

    def _method(self, owner: str, described: Mapping[str, Any]) -> Any:
        name, request = described["python_name"], described["request"]
        run = self.handlers.get(f"{owner}.{name}", lambda service, request: None)

        def function(service: Any, request: Any) -> Any:
            return run(service, request)

        function.__name__, function.__qualname__ = name, f"{owner}.{name}"
        function.__module__, function.__doc__ = self.module.__name__, described.get("doc")
        taken = self.containers[request["container"]] if isinstance(request, dict) else self.known[request]
        return endpoints.method(taken, self.known[described["response"]], **described["args"])(function)


def services(described: Mapping[str, Any], handlers: Mapping[str, Handler] | None = None) -> Sequence[type]:
    """The decorated classes of a description, with these handlers."""
    return Described(described, handlers).services
