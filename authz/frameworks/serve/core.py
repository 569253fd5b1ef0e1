"""What both servers do with a request: find the method, call it, make its result or its exception an answer.

It knows neither WSGI nor ASGI: they read bodies, and decide in which thread or loop a method runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from authz import wire
from authz.frameworks import remote
from authz.frameworks.exceptions import InvalidValue
from authz.frameworks.serve import answers
from authz.frameworks.serve import request as reading
from authz.frameworks.serve.answers import Answer
from authz.frameworks.serve.cors import Cors
from authz.frameworks.serve.options import Options
from authz.frameworks.serve.request import Request
from authz.frameworks.serve.routing import Found, OtherVerbs, Router
from authz.frameworks.serve.tokens.guard import Guard, Guards, NeedKeys
from authz.frameworks.service import Api, Method
from authz.frameworks.users import current

_OVERRIDE: Final = "x-http-method-override"
_TOKEN: Final = re.compile(r"[A-Za-z]{1,20}")


@dataclass(frozen=True, slots=True)
class Target:
    """What a route leads to: a method, or something of our own that answers by itself."""

    method: Method | None = None
    guard: Guard | None = None
    own: Callable[[Request], Answer] | None = None

    @property
    def name(self) -> str:
        """For the log."""
        return self.method.id if self.method else "a document"


@dataclass(slots=True)
class Job:
    """A request and what it means."""

    target: Target
    values: Mapping[str, str]
    request: Request

    @property
    def is_async(self) -> bool:
        """Whether `Core.run_async` must run it."""
        return self.target.method is not None and self.target.method.is_async


class Core:
    """The routes and rules of a server. Nothing in it changes between requests but caches."""

    def __init__(self, apis: Sequence[Api], options: Options) -> None:
        self.apis = tuple(apis)
        self.options = options
        self.cors = Cors(options.cors_origins)
        self._trust = options.trust()
        self._router: Router[Target] = Router()
        guards = Guards() if options.verify_tokens else None
        for api in apis:
            for method in api.methods:
                guard = guards.guard(api, method.security) if guards else None
                self.add(method.http_method, base(api) + method.path, Target(method, guard))

    def add(self, verb: str, path: str, target: Target) -> None:
        """One more route.

        Raises:
            ApiConfigurationError: there is one already.
        """
        self._router.add(verb, path, target, escaped=bool(target.method and target.method.escaped_slashes))

    def begin(self, request: Request) -> Job | Answer:
        """What to do for this request; at once an answer where nothing is to be done."""
        if self.cors.is_on and (answer := self.cors.preflight(request)):
            return answer
        if self.options.method_override and request.method == "POST":
            request.method = _overridden(request.headers.get(_OVERRIDE))
        try:
            found = self._find(request)
        except UnicodeDecodeError:
            return answers.refused(InvalidValue("The path is not UTF-8."), "routing")
        if not isinstance(found, Found):
            return answers.wrong_verb(request.method, found.allowed) if found else answers.NOT_FOUND
        request.user = self._trust.user(request.headers, request.address)
        return Job(found.target, found.values, request)

    def _find(self, request: Request) -> Found[Target] | OtherVerbs | None:
        found = self._router.find(request.method, request.path, request.raw)
        if request.method == "HEAD" and isinstance(found, OtherVerbs):
            as_get = self._router.find("GET", request.path, request.raw)
            return as_get if isinstance(as_get, Found) else found
        return found

    def admit(self, job: Job) -> NeedKeys | Answer | None:
        """None where the call may go on; the keys that must be fetched to tell, or the refusal."""
        guard = job.target.guard
        if guard is None or job.request.user is not None:
            return None
        try:
            verdict = guard.user(job.request)
        except Exception as error:  # noqa: BLE001 - a caller always gets an answer
            return answers.refused(error, job.target.name)
        if isinstance(verdict, NeedKeys):
            return verdict
        job.request.user = verdict
        return None

    def run(self, job: Job, body: bytes) -> Answer:
        """Call a method that is no coroutine, here and now."""
        token = current.set(job.request)
        try:
            if (method := job.target.method) is None:
                return job.target.own(job.request) if job.target.own else answers.NOT_FOUND
            args, kwargs = self._arguments(job, method, body)
            with remote.handling(lambda: _state(job.request)):
                return answers.success(method.binding.answer(method.open()(*args, **kwargs)))
        except Exception as error:  # noqa: BLE001 - a caller always gets an answer
            return answers.refused(error, job.target.name)
        finally:
            current.reset(token)

    async def run_async(self, job: Job, body: bytes) -> Answer:
        """Call a coroutine method in the running loop."""
        method = job.target.method
        token = current.set(job.request)
        try:
            if method is None:
                return answers.NOT_FOUND
            args, kwargs = self._arguments(job, method, body)
            with remote.handling(lambda: _state(job.request)):
                return answers.success(method.binding.answer(await method.open()(*args, **kwargs)))
        except Exception as error:  # noqa: BLE001 - a caller always gets an answer
            return answers.refused(error, job.target.name)
        finally:
            current.reset(token)

    def _arguments(self, job: Job, method: Method, body: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        request, options = job.request, self.options
        said = reading.content(
            body,
            request.headers,
            most=options.max_body,
            depth=options.max_depth,
            objects=method.body_is_object,
        )
        query = reading.pairs(request.query) if request.query else ()
        return method.binding.arguments(job.values, query, said)

    def headers(self, request: Request, answer: Answer) -> list[tuple[str, str]]:
        """All headers of an answer but its length."""
        return [*answer.headers, *self.cors.headers(request)] if self.cors.is_on else list(answer.headers)


def base(api: Api) -> str:
    """What stands before the paths of the API's methods."""
    return api.base_path.removesuffix("/")


def _overridden(verb: str | None) -> str:
    return verb.upper() if verb and _TOKEN.fullmatch(verb) else "POST"


def _state(request: Request) -> remote.RequestState:
    visible = ((name, value) for name, value in request.headers.items() if name != wire.GATEWAY_SECRET)
    return remote.RequestState(
        http_method=request.method,
        service_path=request.path,
        headers=remote.Headers(visible),
        remote_address=request.address,
        server_host=request.headers.get("host"),
    )
