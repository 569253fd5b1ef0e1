"""Functions and classes with type hints as APIs: what they declare, what methods inherit, what is refused and when."""

# ruff: noqa: A002 - `id` is what people call it

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from authz.frameworks import typed
from authz.frameworks.declare import apis
from authz.frameworks.exceptions import ApiConfigurationError, InvalidValue, UnauthorizedException
from authz.frameworks.service import ABSENT, Api, Method, Parameter
from authz.frameworks.typed import Body, Path, Query
from authz.frameworks.types import API_EXPLORER_CLIENT_ID, Issuer, LimitDefinition
from authz.frameworks.users import Call, User, current


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Item:
    """Something to buy."""

    id: int
    name: str
    parts: list[Item] = field(default_factory=list)


@dataclass
class Search:
    text: str
    tags: list[str] = field(default_factory=list)
    colour: Colour | None = None


def an_api(**said: Any) -> typed.Api:
    return typed.Api("shop", "1.2.0", **said)


def only(api: typed.Api) -> Method:
    (described,) = api.describe()
    (method,) = described.methods
    return method


def described(api: typed.Api) -> Api:
    return api.describe()[0]


def call(method: Method, query: Any = (), body: Any = ABSENT, **path: str) -> Any:
    args, kwargs = method.binding.arguments(path, query, body)
    return method.open()(*args, **kwargs)


def test_a_function_is_an_operation() -> None:
    api = an_api(api_key_required=True, limit_definitions=[LimitDefinition("reads", "Reads", 10)])

    @api.get("items/{id}", metric_costs={"reads": 2})
    def find_item(id: int, fresh: bool = False) -> Item:
        """One item.

        More words.
        """
        return Item(id, f"{fresh}")

    method = only(api)
    assert (method.http_method, method.path) == ("GET", "/shop/v1/items/{id}")
    assert (method.id, method.operation_id) == ("shop.find_item", "test_typed_findItem")
    assert method.description == "One item.\n\nMore words."
    assert method.metric_costs == {"reads": 2}
    assert method.security.api_key_required
    assert method.security.client_ids is None
    assert method.parameters == (
        Parameter(name="id", where="path", schema={"type": "integer"}, required=True),
        Parameter(name="fresh", where="query", schema={"type": "boolean", "default": False}),
    )
    assert call(method, [("fresh", "true")], id="7") == Item(7, "True")
    assert find_item(7) == Item(7, "False")


def test_names_and_paths_that_are_not_given_are_the_functions_own() -> None:
    api = an_api()

    @api.post()
    def create() -> None: ...

    @api.api_class(path="/orders/", resource_name="orders")
    class Orders:
        @api.get("")
        def all(self) -> list[int]: ...

        @api.put(name="replace")
        def put_it(self) -> None: ...

        @api.delete("/absolute/{id}")
        def drop(self, id: int) -> None: ...

    found = {method.id: (method.http_method, method.path) for method in described(api).methods}
    assert found == {
        "shop.create": ("POST", "/shop/v1/create"),
        "shop.orders.all": ("GET", "/shop/v1/orders"),
        "shop.orders.replace": ("PUT", "/shop/v1/orders/put_it"),
        "shop.orders.drop": ("DELETE", "/shop/v1/absolute/{id}"),
    }
    assert {method.tags for method in described(api).methods} == {(), ("orders",)}


def test_a_method_inherits_from_its_class_and_that_from_the_api() -> None:
    api = an_api(
        audiences={"firebase": ["shop"]}, issuers={"firebase": Issuer("https://i.example", None)}, scopes=["a"],
        allowed_client_ids=["web"], optional_auth=True,
    )  # fmt: skip

    @api.api_class(scopes=["b"], api_key_required=True, allowed_client_ids=[])
    class Both:
        @api.get()
        def first(self) -> None: ...

        @api.get(scopes=[], api_key_required=False, audiences={}, optional_auth=False)
        def second(self) -> None: ...

    first, second = (method.security for method in described(api).methods)
    assert (first.audiences, first.scopes, first.client_ids) == ({"firebase": ("shop",)}, ("b",), ())
    assert (first.api_key_required, first.optional) == (True, True)
    assert (second.audiences, second.scopes, second.client_ids) == ({}, (), ())
    assert (second.api_key_required, second.optional) == (False, False)


def test_escaped_slashes_are_kept_where_it_says_so() -> None:
    api = an_api(use_request_uri=True)
    api.get("a/{id}", name="one")(in_path)
    api.get("b/{id}", name="two", use_request_uri=False)(in_path)
    assert [method.escaped_slashes for method in described(api).methods] == [True, False]


def test_defaults_are_those_of_the_message_style() -> None:
    from authz.frameworks import endpoints

    api = an_api()
    assert api.info.allowed_client_ids == [API_EXPLORER_CLIENT_ID]
    assert api.info.scopes == [endpoints.EMAIL_SCOPE]
    assert described(api).base_path == "/_ah/api"


def test_each_call_gets_an_instance_of_its_own() -> None:
    api = an_api()

    @api
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        @api.get()
        def count_up(self) -> int:
            self.count += 1
            return self.count

    method = only(api)
    assert [call(method), call(method)] == [1, 1]
    assert method.owner == "Counter"


def test_a_class_brings_the_methods_of_its_bases() -> None:
    first, second = typed.Api("shop", "1.0.0"), typed.Api("shop", "2.0.0")

    class Base:
        @first.get()
        def both(self) -> str:
            return "base"

        @first.get()
        def over(self) -> str: ...

        @first.get()
        def gone(self) -> str: ...

    @first.api_class()
    class First(Base): ...

    @second.api_class()
    class Second(Base):
        gone = None  # type: ignore[assignment]

        def over(self) -> str:
            return "overridden"

        @second.get()
        def both(self) -> str:
            return "second"

    assert [method.name for method in described(first).methods] == ["both", "over", "gone"]
    assert [(method.path, call(method)) for method in described(second).methods] == [
        ("/shop/v2/both", "second"), ("/shop/v2/over", "overridden"),
    ]  # fmt: skip
    assert len(apis([first, second])) == 2


def test_hints_may_name_what_comes_later() -> None:
    api = an_api()

    @api.post("later")
    def create(later: Later) -> list[Later]:
        return [later]

    @dataclass
    class Later:
        text: str

    method = only(api)
    assert call(method, body={"text": "a"}) == [Later("a")]


def test_a_module_without_future_annotations(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain_shop.py").write_text(
        "from authz.frameworks import typed\n"
        "api = typed.Api('plain', 'v1')\n"
        "@api.get('{a}')\n"
        "def read(a: int, b: 'Late | None' = None) -> 'list[Late]': ...\n"
        "from enum import Enum\n"
        "class Late(Enum):\n    A = 'a'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import plain_shop  # type: ignore[import-not-found]

    assert [one.schema["type"] for one in only(plain_shop.api).parameters] == ["integer", "string"]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ([], (None, [], 10, Colour.RED, None)),
        ([("text", "a"), ("tag", "b"), ("tag", "c")], ("a", ["b", "c"], 10, Colour.RED, None)),
        ([("page-size", "5"), ("colour", "blue"), ("number", "1.5")], (None, [], 5, Colour.BLUE, 1.5)),
        ([("number", "7")], (None, [], 10, Colour.RED, 7)),
        ([("number", "all")], (None, [], 10, Colour.RED, "all")),
        ([("key", "ignored"), ("text", "")], ("", [], 10, Colour.RED, None)),
        ([("page-size", "007")], (None, [], 7, Colour.RED, None)),
    ],
)
def test_the_query(query: Any, wanted: Any) -> None:
    api = an_api()

    @api.get()
    def search(
        text: str | None = None,
        tag: list[str] = [],  # noqa: B006 - as people write it
        size: Annotated[int, Query(alias="page-size", ge=1, le=100)] = 10,
        colour: Colour = Colour.RED,
        number: int | float | str | None = None,
    ) -> list[str]: ...

    _, kwargs = only(api).binding.arguments({}, query, ABSENT)
    assert tuple(kwargs.values()) == wanted


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ([], "n"),
        ([("n", "x")], "n"),
        ([("n", "")], "n"),
        ([("n", "1.0")], "n"),
        ([("n", "1"), ("n", "2")], "n"),
        ([("n", "0")], "n"),
        ([("n", "1"), ("tag", "1"), ("tag", "x")], "tag[1]"),
        ([("n", "1"), ("flag", "1")], "flag"),
        ([("n", "1"), ("when", "tomorrow")], "when"),
        ([("n", "1"), ("colour", "green")], "colour"),
        ([("n", "1"), ("part", "1e999")], "part"),
        ([("n", "٣")], "n"),
    ],
)
def test_a_query_that_is_refused(query: Any, place: str) -> None:
    api = an_api()

    @api.get()
    def search(
        n: Annotated[int, Field(gt=0)],
        tag: tuple[int, ...] = (),
        flag: bool = False,
        when: datetime | None = None,
        colour: Colour | None = None,
        part: float = 0,
    ) -> None: ...

    from datetime import datetime

    with pytest.raises(InvalidValue) as refused:
        only(api).binding.arguments({}, query, ABSENT)
    assert (refused.value.location, refused.value.where) == (place, "parameter")


def test_what_the_document_says_of_the_query() -> None:
    api = an_api()

    @api.get()
    def search(
        text: str | None = None,
        size: Annotated[int, Query(description="How many", gt=0, lt=10)] = 3,
        share: Annotated[float, Query(gt=0)] = 0.5,
        ids: Annotated[list[int], Query(alias="id", max_length=3)] = [],  # noqa: B006 - as people write it
        either: int | str = 1,
    ) -> None: ...

    text, size, share, ids, either = only(api).parameters
    assert text == Parameter(name="text", where="query", schema={"type": "string"})
    assert size.schema == {"type": "integer", "minimum": 1, "maximum": 9, "default": 3}
    assert size.description == "How many"
    assert size.full == {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10, "default": 3}
    assert share.schema == {"type": "number", "minimum": 0, "exclusiveMinimum": True, "default": 0.5}
    assert share.full == {"type": "number", "exclusiveMinimum": 0, "default": 0.5}
    assert (ids.name, ids.repeated, ids.schema) == ("id", True, {"type": "integer"})
    assert ids.full == {"type": "array", "items": {"type": "integer"}, "maxItems": 3, "default": []}
    assert either.schema == {"type": "string", "default": "1", "description": "One of: integer, string."}
    assert either.full == {"anyOf": [{"type": "integer"}, {"type": "string"}], "default": 1}


def test_an_object_is_the_query_where_there_is_no_body() -> None:
    api = an_api()

    @api.get()
    def search(wanted: Search) -> None: ...

    method = only(api)
    assert [(one.name, one.required, one.repeated) for one in method.parameters] == [
        ("text", True, False), ("tags", False, True), ("colour", False, False),
    ]  # fmt: skip
    _, kwargs = method.binding.arguments({}, [("text", "1"), ("tags", "a"), ("colour", "red")], ABSENT)
    assert kwargs == {"wanted": Search("1", ["a"], Colour.RED)}
    for query, place in (([], "text"), ([("text", "a"), ("colour", "x")], "colour")):
        with pytest.raises(InvalidValue) as refused:
            method.binding.arguments({}, query, ABSENT)
        assert (refused.value.location, refused.value.where) == (place, "parameter")


def test_the_body() -> None:
    api = an_api()

    @api.post("items/{id}")
    def create(id: int, item: Item, dry: bool = False) -> Item: ...

    method = only(api)
    assert [one.name for one in method.parameters] == ["id", "dry"]
    assert (method.body_required, method.body_is_object) == (True, True)
    body = {"id": 1, "name": "a", "more": "is ignored"}
    _, kwargs = method.binding.arguments({"id": "2"}, (), body)
    assert kwargs == {"id": 2, "item": Item(1, "a"), "dry": False}
    with pytest.raises(InvalidValue, match="required") as refused:
        method.binding.arguments({"id": "2"}, (), ABSENT)
    assert (refused.value.location, refused.value.where) == ("", "body")


def test_a_body_may_be_left_out_and_may_be_a_list() -> None:
    api = an_api()

    @api.post("one")
    def one(items: list[Item]) -> None: ...

    @api.post("two")
    def two(numbers: Annotated[list[int], Body()] = []) -> None: ...  # noqa: B006 - as people write it

    first, second = described(api).methods
    assert (first.body_is_object, second.body_is_object, second.body_required) == (False, False, False)
    assert first.binding.arguments({}, (), [{"id": 1, "name": "a"}])[1] == {"items": [Item(1, "a")]}
    assert second.binding.arguments({}, (), ABSENT)[1] == {"numbers": []}
    assert second.binding.arguments({}, (), [1])[1] == {"numbers": [1]}


def test_names_that_python_does_not_know() -> None:
    api = an_api()

    @api.get("items/{item.id}:export")
    def export(item: Annotated[str, Path(alias="item.id")], /, kind: str = "csv") -> str: ...

    method = only(api)
    assert method.parameters[0].name == "item.id"
    assert method.binding.arguments({"item.id": "a"}, (), ABSENT) == (("a",), {"kind": "csv"})


def test_who_calls_is_an_argument() -> None:
    api = an_api()

    @api.get("needed")
    def needed(user: User) -> str:
        return user.subject or ""

    @api.get("optional")
    def optional(user: User | None) -> str:
        return user.subject or "" if user else "nobody"

    first, second = described(api).methods
    assert first.parameters == ()
    token = current.set(Call({}, None, User("me")))
    assert (call(first), call(second)) == ("me", "me")
    current.set(Call({}, None))
    assert call(second) == "nobody"
    with pytest.raises(UnauthorizedException):
        call(first)
    current.reset(token)


async def test_coroutines_and_functions_that_give_them() -> None:
    api = an_api()

    @api.get("a")
    async def a() -> int:
        return 1

    @api.get("b")
    def b() -> Awaitable[int]:
        return a()

    for method in described(api).methods:
        assert method.is_async
        assert method.binding.answer(await call(method)) == b"1"


def test_answers() -> None:
    api = an_api()

    @api.get("void")
    def void() -> None: ...

    @api.get("item")
    def item() -> Item: ...

    nothing, something = described(api).methods
    assert nothing.response is None
    assert nothing.binding.answer(None) is None
    assert something.binding.answer(Item(1, "a")) == b'{"id":1,"name":"a","parts":[]}'
    for method, result in ((nothing, 1), (something, None), (something, {"id": 1, "name": "a"})):
        with pytest.raises(TypeError):
            method.binding.answer(result)


class Unreadable:
    pass


def no_hint(a) -> None: ...  # type: ignore[no-untyped-def]
def no_return(a: int): ...  # type: ignore[no-untyped-def]
def star(*a: int) -> None: ...
def stars(**a: int) -> None: ...
def unreadable(a: Unreadable) -> None: ...
def unwritable() -> Unreadable: ...
def unknown(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def two_bodies(a: Item, b: Search) -> None: ...
def two_places(a: Annotated[int, Query(), Path()]) -> None: ...
def wrong_default(a: int = "x") -> None: ...  # type: ignore[assignment]
def body(a: Annotated[int, Body()]) -> None: ...
def in_path(id: int) -> None: ...
def default_in_path(id: int = 1) -> None: ...
def list_in_path(id: list[int]) -> None: ...
def none_in_path(id: int | None) -> None: ...
def path_that_is_not_there(a: Annotated[int, Path()]) -> None: ...
def nested_query(a: dict[str, Item]) -> None: ...
def anything(a: Any) -> None: ...
def twice(a: int, b: Annotated[int, Query(alias="a")]) -> None: ...
def generator() -> list[int]:  # type: ignore[misc]
    yield 1


@pytest.mark.parametrize(
    ("function", "verb", "path", "words"),
    [
        (no_hint, "GET", "a", "argument 'a' has no type hint"),
        (no_return, "GET", "a", "no return type"),
        (star, "GET", "a", r"argument 'a' is \*a"),
        (stars, "GET", "a", r"argument 'a' is \*\*a"),
        (unreadable, "GET", "a", "argument 'a' has a type that cannot travel"),
        (unwritable, "GET", "a", "the return type has a type that cannot travel"),
        (unknown, "GET", "a", "argument 'a' has a type hint that names what is not defined: name 'Nowhere'"),
        (two_bodies, "POST", "a", "arguments 'a' and 'b' would both be the body"),
        (two_places, "GET", "a", "argument 'a' has 2 places"),
        (wrong_default, "GET", "a", "argument 'a' has the default 'x'"),
        (body, "GET", "a", "argument 'a' is a body, which GET and DELETE have not"),
        (in_path, "GET", "{no}", r"the path has \{no\}"),
        (default_in_path, "GET", "{id}", "argument 'id' has a default"),
        (list_in_path, "GET", "{id}", "argument 'id' is a part of the path"),
        (none_in_path, "GET", "{id}", "argument 'id' is a part of the path"),
        (path_that_is_not_there, "GET", "a", "argument 'a' is a path parameter"),
        (nested_query, "GET", "a", "argument 'a' would be a parameter of the query"),
        (anything, "GET", "a", "argument 'a' can be anything"),
        (twice, "GET", "a", "two arguments are named 'a'"),
        (generator, "GET", "a", "generators are not served"),
        (in_path, "GET", "x{id}", "mixes braces"),
        (in_path, "GET", "{id}/{id}", "twice"),
        (in_path, "FETCH", "{id}", "http_method"),
    ],
)
def test_what_cannot_be_is_refused_with_argument_function_and_module(
    function: Any, verb: str, path: str, words: str
) -> None:
    api = an_api()
    with pytest.raises(ApiConfigurationError, match=words) as refused:  # noqa: PT012 - a name may come later
        api.method(path, http_method=verb)(function)
        api.describe()
    assert f"test_typed.{function.__name__}" in str(refused.value)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"scopes": "a"}, "scopes"),
        ({"audiences": [1]}, "audiences"),
        ({"api_key_required": 1}, "api_key_required"),
        ({"optional_auth": "no"}, "optional_auth"),
        ({"metric_costs": {"a": "1"}}, "metric_costs"),
        ({"name": 1}, "name"),
        ({"http_verb": "GET"}, "http_verb"),
    ],
)
def test_wrong_arguments_of_a_method(said: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        an_api().get("a", **said)(in_path)


def test_a_decorator_without_brackets() -> None:
    api = an_api()
    for bare in (api.method, api.get, api.post):
        with pytest.raises(TypeError, match="in_path: write its decorator with brackets"):
            bare(in_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "words"), [({"path": 1}, "path"), ({"audiences": "a"}, "audiences"), ({"color": 1}, "color")]
)
def test_wrong_arguments_of_a_class(said: Any, words: str) -> None:
    api = an_api()

    class Some:
        @api.get()
        def one(self) -> None: ...

    with pytest.raises(TypeError, match=words):
        api.api_class(**said)(Some)


def test_a_method_whose_class_is_not_decorated() -> None:
    api = an_api()

    class Forgotten:
        @api.get()
        def one(self) -> None: ...

    with pytest.raises(ApiConfigurationError, match=r"Forgotten.one is decorated, but its class is not"):
        api.describe()


def test_classes_that_cannot_be_served() -> None:
    api = an_api()

    class Needy:
        def __init__(self, database: str) -> None: ...

        @api.get()
        def one(self) -> None: ...

    class Empty: ...

    with pytest.raises(ApiConfigurationError, match="Needy needs database"):
        api.api_class()(Needy)
    with pytest.raises(ApiConfigurationError, match="Empty has no methods"):
        api.api_class()(Empty)
    with pytest.raises(TypeError, match="a class"):
        api(in_path)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="staticmethod"):
        api.get()(staticmethod(in_path))


def test_two_functions_of_one_url() -> None:
    api = an_api()
    api.get("a/{id}", name="one")(in_path)
    api.get("a/{other}", name="two")(other)
    with pytest.raises(ApiConfigurationError, match="both"):
        apis([api])


def other(other: int) -> None: ...


def test_a_shape_that_contains_itself_is_written_once() -> None:
    from authz.frameworks.document import openapi

    api = an_api(hostname="shop.example.com")

    @api.post("a")
    def first(item: Item) -> list[Item]: ...

    found = openapi(described(api), version="3.1")["components"]["schemas"]
    assert [name for name in found if "Item" in name] == ["Item"]
    assert found["Item"]["properties"]["parts"]["items"] == {"$ref": "#/components/schemas/Item"}


def test_two_models_of_one_name_are_told_apart() -> None:
    from authz.frameworks.document import openapi

    class Inner:
        class Item(BaseModel):
            text: str

    api = an_api(hostname="shop.example.com")

    @api.post("a")
    def first(item: Item) -> Inner.Item: ...

    @api.post("b")
    def second(item: Item) -> list[Item]: ...

    found = openapi(described(api), version="3.1")
    paths = found["paths"]
    written = [paths[f"/shop/v1/{name}"]["post"]["responses"]["200"]["content"] for name in ("a", "b")]
    inner, outer = written[0]["application/json"]["schema"], written[1]["application/json"]["schema"]["items"]
    schemas = found["components"]["schemas"]
    assert list(schemas[inner["$ref"].rpartition("/")[2]]["properties"]) == ["text"]
    assert list(schemas[outer["$ref"].rpartition("/")[2]]["properties"]) == ["id", "name", "parts"]
