"""Services and what they see of the request."""

from __future__ import annotations

import asyncio

import pytest

from authz.frameworks import exceptions, messages, remote


class Out(messages.Message):
    text = messages.StringField(1)


class Base(remote.Service):
    def hello(self, request: Out) -> Out:
        return request

    hello.remote = remote.RemoteMethod(method=hello, request_type=Out, response_type=Out)

    def helper(self) -> None:
        """Is not served."""


class Child(Base):
    def __init__(self, greeting: str = "hi", *, loud: bool = False) -> None:
        self.greeting, self.loud = greeting, loud


def state(path: str) -> remote.RequestState:
    return remote.RequestState(
        http_method="POST", service_path=path, headers=remote.Headers([("X-A", "1"), ("x-a", "2")])
    )


def test_headers_are_read_in_any_case() -> None:
    headers = state("/").headers
    assert (headers["x-A"], headers.get("X-a"), headers.get("none"), "X-A" in headers) == ("1", "1", None, True)
    assert (len(headers), list(headers)) == (1, ["x-a"])


def test_a_service_sees_the_request_that_is_handled_and_no_other() -> None:
    with remote.handling(state("/one")):
        one = Base()
        assert one.request_state.service_path == "/one"
        with remote.handling(lambda: state("/two")):
            assert Base().request_state.service_path == "/two"
        assert Base().request_state.service_path == "/one"
    assert one.request_state.service_path == "/one"
    assert Base().request_state == remote.RequestState()


def test_code_that_calls_methods_itself_says_what_they_see() -> None:
    service = Base()
    service.initialize_request_state(state("/mine"))
    assert service.request_state.service_path == "/mine"


async def test_calls_at_the_same_time_see_their_own_request() -> None:
    async def call(path: str) -> str | None:
        with remote.handling(state(path)):
            await asyncio.sleep(0)
            return Base().request_state.service_path

    assert await asyncio.gather(call("/a"), call("/b")) == ["/a", "/b"]


def test_a_factory_makes_instances_with_its_arguments() -> None:
    factory = Child.new_factory("hello", loud=True)
    made = factory()
    assert (factory.service_class, made.greeting, made.loud) == (Child, "hello", True)
    assert factory() is not made


def test_children_serve_what_their_parent_serves() -> None:
    assert list(Child.all_remote_methods()) == ["hello"]
    assert Child.definition_name() == f"{__name__}.Child"


def test_an_application_error_is_answered_as_400() -> None:
    error = remote.ApplicationError("no", "SOME_NAME")
    assert (str(error), error.error_name, error.http_status) == ("no", "SOME_NAME", 400)
    assert isinstance(error, exceptions.ServiceException)
    assert str(remote.ApplicationError()) == ""
    for child in (remote.RequestError, remote.ServerError, remote.ApplicationError):
        assert issubclass(child, remote.RpcError)
    with pytest.raises(AttributeError):
        state("/").http_method = "GET"
