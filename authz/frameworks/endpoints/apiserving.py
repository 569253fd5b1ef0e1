"""The old module `endpoints.apiserving`, and the parts of a server that had names of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from authz.frameworks import messages
from authz.frameworks.serve import api_server, asgi_server


class EndpointsErrorMessage(messages.Message):
    """What went wrong with a call. Servers answer with JSON errors; this is for code that has the name."""

    class State(messages.Enum):
        """Whose fault it was."""

        OK = 0
        RUNNING = 1
        REQUEST_ERROR = 2
        SERVER_ERROR = 3
        NETWORK_ERROR = 4
        APPLICATION_ERROR = 5

    state = messages.EnumField(State, 1, required=True)
    error_message = messages.StringField(2)
    error_name = messages.StringField(3)


class EndpointsDispatcherMiddleware:
    """What stood before the WSGI application of a server, and routed. `api_server` does that, so calls go through."""

    def __init__(self, backend_wsgi_app: Callable[..., Iterable[bytes]], config_manager: object = None) -> None:
        self.backend = backend_wsgi_app
        self.config_manager = config_manager

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer as the application does."""
        return self.backend(environ, start_response)


class ApiConfigRegistry:
    """What kept the descriptions of a server's APIs. Servers read classes now; this is for code that has the name."""

    def __init__(self) -> None:
        self._configs: list[Mapping[str, Any]] = []

    def register_backend(self, config_contents: Mapping[str, Any] | None) -> None:
        """Keep a description; None is none."""
        if config_contents is not None:
            self._configs.append(config_contents)

    def lookup_api_method(self, api_method_name: str) -> str | None:
        """The `Class.method` of a method id, if a description that is kept has it."""
        known = {name: said.get("rosyMethod") for one in self._configs for name, said in one.get("methods", {}).items()}
        return known.get(api_method_name)

    def all_api_configs(self) -> list[Mapping[str, Any]]:
        """All that is kept, in its order."""
        return list(self._configs)


__all__ = ["ApiConfigRegistry", "EndpointsDispatcherMiddleware", "EndpointsErrorMessage", "api_server", "asgi_server"]
