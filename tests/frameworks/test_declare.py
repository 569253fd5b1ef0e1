"""Decorators: what they take, what they refuse and how they say so, and what classes come to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from authz.frameworks import endpoints, message_types, messages, remote
from authz.frameworks.declare import apis
from authz.frameworks.service import Api, Method


class Item(messages.Message):
    """A thing."""

    name = messages.StringField(1, required=True)
    size = messages.IntegerField(2, variant=messages.Variant.INT32)


class Line(messages.Message):
    item = messages.MessageField(Item, 1)
    at = message_types.DateTimeField(2)
    tags = messages.StringField(3, repeated=True)
    items = messages.MessageField(Item, 4, repeated=True)


def an_api(**said: Any) -> Any:
    return endpoints.api(**({"name": "shop", "version": "v1"} | said))


def a_class(api: Any = None, class_name: str = "Shop", of_class: dict[str, Any] | None = None, **methods: Any) -> Any:
    """A class with one method for each keyword: a dictionary of the decorator's arguments."""

    def method(name: str, said: dict[str, Any]) -> Any:
        def function(self: Any, request: Any) -> Any:
            return request

        function.__name__, function.__qualname__ = name, f"{class_name}.{name}"
        taken = dict(said)
        return endpoints.method(
            taken.pop("request", message_types.VoidMessage), taken.pop("response", message_types.VoidMessage), **taken
        )(function)

    made = type(class_name, (remote.Service,), {name: method(name, said) for name, said in methods.items()})
    api = api or an_api()
    return api(made) if of_class is None else api.api_class(**of_class)(made)


def the_api(*things: Any) -> Api:
    (found,) = apis(things)
    return found


def only(*things: Any) -> Method:
    (found,) = the_api(*things).methods
    return found


# What every class of the old library came to.


def test_a_method_is_served_below_its_api_version_and_class() -> None:
    api = an_api(version="1.2.3", base_path="/base/")
    made = a_class(api, of_class={"resource_name": "items", "path": "things"}, get_one={"http_method": "get"})
    found = the_api(made)
    assert (found.base_path, found.version, found.path_version) == ("/base", "1.2.3", "v1")
    method = found.methods[0]
    assert (method.path, method.http_method) == ("/shop/v1/things/get_one", "GET")
    assert (method.id, method.operation_id, method.tags) == ("shop.items.get_one", "Shop_getOne", ("items",))


@pytest.mark.parametrize(
    ("version", "in_urls"),
    [
        ("1.2.3", "v1"), ("0.9.0", "v0"), ("10.20.30", "v10"), ("1.2.3-beta.1", "v1"), ("1.2.3+b.7", "v1"),
        ("v1", "v1"), ("1.0", "1.0"), ("v1.2.3", "v1.2.3"), ("01.2.3", "01.2.3"), ("1.2.3-01", "1.2.3-01"),
        ("1.2.3-0a", "1.2.3-0a"), ("1.2.3-a.0", "v1"),
    ],
)  # fmt: skip
def test_semantic_versions_give_their_major_number_to_urls(version: str, in_urls: str) -> None:
    assert the_api(a_class(an_api(version=version))).path_version == in_urls


@pytest.mark.parametrize(
    ("api_class", "path", "served"),
    [
        ({}, None, "list"), ({}, "", "list"), ({}, "a/b", "a/b"), ({}, "/a/b", "a/b"),
        ({"path": "c"}, "a", "c/a"), ({"path": "c"}, "/a", "a"), ({"path": "c"}, None, "c/list"),
        ({"path": "/c/"}, "a/", "c/a"), ({}, "{name}", "{name}"), ({}, "x/{name}:run", "x/{name}:run"),
        ({"path": "c"}, "/", ""),
    ],
)  # fmt: skip
def test_paths(api_class: dict[str, Any], path: str | None, served: str) -> None:
    container = endpoints.ResourceContainer(name=messages.StringField(1))
    made = a_class(of_class=api_class, list={"path": path, "request": container if "{" in served else Item})
    assert only(made).path == f"/shop/v1/{served}".rstrip("/")


@pytest.mark.parametrize(
    "path",
    ["x{name}", "{name}x", "{name}{size}", "{}", "{name", "name}", "{name}:x/more", "a//b", "{1a}", "{name}/{name}",
     "a b", "a?b", "a#b", "*", "ü", "a%2Fb", "{name}:", "{name}:a:b", "{a..b}"],
)  # fmt: skip
def test_paths_that_are_none_name_their_segment(path: str) -> None:
    made = a_class(get={"path": path, "request": Item})
    with pytest.raises(endpoints.ApiConfigurationError, match=r"Shop\.get") as caught:
        apis([made])
    assert any(segment in str(caught.value) for segment in path.split("/") if segment)


@pytest.mark.parametrize(
    ("path", "error", "mentioned"),
    [
        ("{item.name}", None, ""),
        ("{nothing}", endpoints.ApiConfigurationError, "'nothing'"),
        ("{item}", TypeError, "'item'"),
        ("{at}", TypeError, "'at'"),
        ("{item.nothing}", TypeError, "'item.nothing'"),
        ("{items.name}", TypeError, "'items.name'"),
        ("{tags}", endpoints.ApiConfigurationError, "'tags'"),
    ],
)
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_path_variables_are_single_fields(path: str, error: type[Exception] | None, mentioned: str, verb: str) -> None:
    made = a_class(get={"path": path, "request": Line, "http_method": verb})
    if error is None:
        assert [one.name for one in only(made).parameters if one.where == "path"] == ["item.name"]
        return
    with pytest.raises(error, match=mentioned):
        apis([made])


def test_of_a_message_that_is_no_body_every_field_is_a_parameter() -> None:
    parameters = only(a_class(get={"request": Line, "http_method": "GET"})).parameters
    assert [(one.name, one.repeated) for one in parameters] == [
        ("item.name", False),
        ("item.size", False),
        ("at", False),
        ("tags", True),
    ]


def test_messages_without_end_are_refused_by_name() -> None:
    names = [f"Wide{index}" for index in range(8)]
    fields = {name.lower(): number for number, name in enumerate(names, 1)}
    module = sys.modules[__name__]
    for name in names:
        body = {field: messages.MessageField(f"Wide{number - 1}", number) for field, number in fields.items()}
        body["leaf"] = messages.StringField(20)  # type: ignore[assignment]
        place = {"__module__": __name__, "__qualname__": name}
        setattr(module, name, type(messages.Message)(name, (messages.Message,), {**place, **body}))
    made = a_class(get={"request": getattr(module, "Wide0"), "http_method": "GET"})  # noqa: B009
    with pytest.raises(endpoints.ApiConfigurationError, match=r"Shop\.get.*ResourceContainer"):
        apis([made])
    assert only(a_class(post={"request": getattr(module, "Wide0")})).parameters == ()  # noqa: B009


# Levels.


@pytest.mark.parametrize(
    ("argument", "above", "below", "cleared", "read"),
    [
        ("audiences", ["a"], ["b"], [], lambda security: security.audiences),
        ("scopes", ["a"], ["b"], [], lambda security: security.scopes),
        ("allowed_client_ids", ["a"], ["b"], [], lambda security: security.client_ids),
        ("api_key_required", True, False, False, lambda security: (security.api_key_required,)),
        ("optional_auth", True, False, False, lambda security: (security.optional,)),
    ],
)
def test_the_nearest_level_that_speaks_holds(
    argument: str, above: Any, below: Any, cleared: Any, read: Callable[[Any], Any]
) -> None:
    def said(api: Any, of_class: Any, method: Any) -> list[Any]:
        levels = [{argument: value} if value is not None else {} for value in (api, of_class, method)]
        made = a_class(an_api(**levels[0]), of_class=levels[1], get=levels[2])
        return list(read(only(made).security))

    listed = above if isinstance(above, list) else [above]
    other = below if isinstance(below, list) else [below]
    assert said(above, None, None) == listed
    assert said(above, below, None) == other
    assert said(above, above, below) == other
    assert said(below, None, above) == listed
    assert said(above, None, cleared) == (cleared if isinstance(cleared, list) else [cleared])


def test_nothing_said_is_none() -> None:
    security = only(a_class(get={})).security
    assert (security.audiences, security.client_ids, security.scopes, security.api_key_required) == (
        None, None, None, False,
    )  # fmt: skip


def test_what_tools_read_of_a_method() -> None:
    made = a_class(an_api(api_key_required=True), get={"path": "x", "name": "items.get", "scopes": ["a b"]})
    info, api_info = made.get.method_info, made.api_info
    assert (info.name, info.http_method, info.scopes, info.audiences) == ("items.get", "POST", ["a b"], None)
    assert (info.get_path(api_info), info.method_id(api_info)) == ("x", "shop.items.get")
    assert info.is_api_key_required(api_info) is True
    assert made.get.__name__ == "items.get"
    assert made.get.remote.request_type is message_types.VoidMessage
    assert (api_info.scopes, api_info.allowed_client_ids) == (
        [endpoints.EMAIL_SCOPE],
        [endpoints.API_EXPLORER_CLIENT_ID],
    )


@pytest.mark.parametrize("said", [["a", "b"], [], {"google_id_token": ["a"]}, None])
def test_tools_read_lists_where_lists_were_said(said: Any) -> None:
    clients = said if isinstance(said, list) else None
    made = a_class(an_api(audiences=said), get={"audiences": said, "allowed_client_ids": clients, "scopes": clients})
    info = made.get.method_info
    assert (made.api_info.audiences, info.audiences) == (said, said)
    assert (info.allowed_client_ids, info.scopes) == (clients, clients)


# Wrong arguments.

WRONG_FOR_ALL: list[tuple[str, Any]] = [
    ("audiences", "abc"), ("audiences", [1]), ("audiences", {"google_id_token": "abc"}), ("audiences", 5),
    ("scopes", "abc"), ("scopes", [1]), ("allowed_client_ids", "abc"), ("allowed_client_ids", [None]),
    ("auth_level", 9), ("auth_level", "x"), ("api_key_required", "yes"), ("api_key_required", 1), ("optional_auth", 0),
]  # fmt: skip
WRONG_FOR_API: list[tuple[str, Any]] = [
    ("name", None), ("name", 5), ("version", None), ("version", 1), ("description", 1), ("hostname", b"x"),
    ("canonical_name", 1), ("title", 1), ("documentation", 1), ("owner_domain", 1), ("owner_name", 1),
    ("package_path", 1), ("namespace", "x"), ("auth", "x"), ("frontend_limits", "x"), ("issuers", ["x"]),
    ("issuers", {"x": "y"}), ("base_path", 1), ("limit_definitions", ()), ("limit_definitions", ["x"]),
    ("use_request_uri", 1), ("nope", 1),
    ("limit_definition.default_limit", {"limit_definitions": [endpoints.LimitDefinition("m", "M", "5")]}),
    ("limit_definition.default_limit", {"limit_definitions": [endpoints.LimitDefinition("m", "M", True)]}),
    ("limit_definition.metric_name", {"limit_definitions": [endpoints.LimitDefinition(5, "M", 5)]}),
    ("issuers", {"x": endpoints.Issuer(None, None)}), ("issuers", {"x": endpoints.Issuer("x", 5)}),
]  # fmt: skip
WRONG_FOR_METHOD: list[tuple[str, Any]] = [
    ("name", 1), ("path", 1), ("http_method", 1), ("metric_costs", ["x"]), ("metric_costs", {1: 1}),
    ("metric_costs", {"m": "1"}), ("metric_costs", {"m": True}), ("use_request_uri", "x"), ("request_message", str),
    ("request_message", messages.Message), ("request_message", None), ("response_message", Item(name="x")), ("nope", 1),
]  # fmt: skip


@pytest.mark.parametrize(("argument", "value"), [*WRONG_FOR_API, *WRONG_FOR_ALL])
def test_a_wrong_type_at_an_api_names_the_argument(argument: str, value: Any) -> None:
    said = value if isinstance(value, dict) and argument.startswith("limit_definition.") else {argument: value}
    with pytest.raises(TypeError, match=argument.replace(".", r"\.")):
        an_api(**said)


@pytest.mark.parametrize(
    ("argument", "value"), [("resource_name", 1), ("path", 1), ("audiences", {"x": None}), *WRONG_FOR_ALL]
)
def test_a_wrong_type_at_a_class_names_argument_and_class(argument: str, value: Any) -> None:
    with pytest.raises(TypeError, match=argument) as caught:
        a_class(of_class={argument: value})
    assert "Shop" in str(caught.value)


@pytest.mark.parametrize(("argument", "value"), [*WRONG_FOR_METHOD, *WRONG_FOR_ALL])
def test_a_wrong_type_at_a_method_names_argument_class_and_method(argument: str, value: Any) -> None:
    with pytest.raises(TypeError, match=argument) as caught:

        class Shop(remote.Service):
            @endpoints.method(**{argument: value})
            def get(self, request: Any) -> Any:
                return request

    assert argument == "nope" or "Shop.get" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "error", "mentioned"),
    [
        ({"name": "Foo Bar!"}, endpoints.ApiConfigurationError, "name is 'Foo Bar!'"),
        ({"name": ""}, endpoints.ApiConfigurationError, "name is empty"),
        ({"version": "v1/x"}, endpoints.ApiConfigurationError, "version is 'v1/x'"),
        ({"version": "1.2.3\n"}, endpoints.ApiConfigurationError, "version"),
        ({"base_path": "/a b/"}, endpoints.ApiConfigurationError, "base_path"),
        ({"base_path": "/{a}/"}, endpoints.ApiConfigurationError, "base_path"),
        ({"audiences": {"google_id_token": []}}, endpoints.ApiConfigurationError, "audiences\\['google_id_token'\\]"),
        ({"audiences": ["a,b"]}, endpoints.ApiConfigurationError, "audiences has 'a,b'"),
        ({"audiences": [""]}, endpoints.ApiConfigurationError, "audiences"),
        ({"scopes": [""]}, endpoints.ApiConfigurationError, "scopes\\[0\\]"),
        ({"allowed_client_ids": [""]}, endpoints.ApiConfigurationError, "allowed_client_ids"),
        ({"issuers": {"api_key": endpoints.Issuer("x", None)}}, endpoints.ApiConfigurationError, "'api_key'"),
        ({"issuers": {"a b": endpoints.Issuer("x", None)}}, endpoints.ApiConfigurationError, "'a b'"),
        ({"issuers": {"x": endpoints.Issuer("", None)}}, endpoints.ApiConfigurationError, "issuer is empty"),
        (
            {"namespace": endpoints.Namespace("d", None, None)},  # type: ignore[arg-type]
            endpoints.InvalidNamespaceException,
            "owner_name",
        ),
        (
            {"limit_definitions": [endpoints.LimitDefinition("", "x", 1)]},
            endpoints.InvalidLimitDefinitionException,
            "metric_name",
        ),
        (
            {"limit_definitions": [endpoints.LimitDefinition("m", "x", -1)]},
            endpoints.InvalidLimitDefinitionException,
            "is -1",
        ),
        (
            {"limit_definitions": [endpoints.LimitDefinition("m", "x" * 41, 1)]},
            endpoints.InvalidLimitDefinitionException,
            "display_name",
        ),
        (
            {"limit_definitions": [endpoints.LimitDefinition("m", "x", 1)] * 2},
            endpoints.InvalidLimitDefinitionException,
            "'m' twice",
        ),
    ],
)
def test_values_that_cannot_be(said: dict[str, Any], error: type[Exception], mentioned: str) -> None:
    with pytest.raises(error, match=mentioned):
        an_api(**said)


@pytest.mark.parametrize(
    ("said", "mentioned"),
    [
        ({"http_method": "GTE"}, "http_method is 'GTE'"),
        ({"http_method": "GE T"}, "http_method"),
        ({"metric_costs": {"m": -1}}, "metric_costs\\['m'\\] is -1"),
        ({"name": "___"}, "name is '___'"),
    ],
)
def test_values_of_methods_that_cannot_be(said: dict[str, Any], mentioned: str) -> None:
    with pytest.raises(endpoints.ApiConfigurationError, match=mentioned) as caught:
        a_class(get=said)
    assert "Shop.get" in str(caught.value)


def test_an_api_takes_two_positional_arguments_and_a_method_too() -> None:
    with pytest.raises(TypeError):
        endpoints.api("a", "v1", "description")  # type: ignore[misc]
    with pytest.raises(TypeError):
        endpoints.method(Item, Item, "name")  # type: ignore[misc]


def test_a_method_is_decorated_once_and_an_api_decorates_classes() -> None:
    with pytest.raises(TypeError, match=r"Shop\.get is decorated twice"):
        a_class(get={}).get = endpoints.method()(a_class(get={}).get)
    with pytest.raises(TypeError, match="api 'shop' v1"):
        an_api()(lambda: None)


def test_what_is_inherited_is_overridden_without_a_decorator() -> None:
    class Shop(remote.Service):
        @endpoints.method(Item, Item, path="items")
        def get(self, request: Any) -> Any:
            return request

    class Other(Shop):
        def get(self, request: Any) -> Any:
            return Item(name=request.name * 2)

        @endpoints.method(Item, Item)
        def put(self, request: Any) -> Any:
            return request

    found = {method.name: method for method in apis([an_api()(Other)])[0].methods}
    assert (set(found), found["get"].path) == ({"get", "put"}, "/shop/v1/items")
    assert found["get"].open()(Item(name="x")).name == "xx"
    with pytest.raises(remote.ServiceDefinitionError, match=r"Third\.get .* leave the decorator out"):

        class Third(Other):
            @endpoints.method(Item, Item)
            def get(self, request: Any) -> Any:
                return request


def test_what_is_no_api_is_called_by_its_name() -> None:
    with pytest.raises(endpoints.ApiConfigurationError, match=r"^[\w.]*test_declare\.Item is no API: decorate"):
        apis([Item])


def test_decorators_have_brackets() -> None:
    with pytest.raises(TypeError, match=r"api_class\(\).*Item"):
        an_api().api_class(Item)
    with pytest.raises(TypeError, match=r"get: write @endpoints.method\(\)"):

        class Shop(remote.Service):
            @endpoints.method
            def get(self, request: Any) -> Any:
                return request


def test_auth_level_is_told_to_have_no_effect(caplog: pytest.LogCaptureFixture) -> None:
    a_class(an_api(auth_level=endpoints.AUTH_LEVEL.REQUIRED), get={"auth_level": 2})
    assert sorted(record.message.split(":")[0] for record in caplog.records) == ["Shop.get", "api 'shop' v1"]
    assert a_class(an_api(), get={}).api_info.auth_level == endpoints.AUTH_LEVEL.NONE


# Containers.


def test_a_container_is_one_message_of_body_and_parameters() -> None:
    container = endpoints.ResourceContainer(
        Item, id=messages.StringField(9), name=messages.StringField(1, required=True)
    )
    combined = container.combined_message_class
    assert [field.name for field in combined.all_fields()] == ["name", "size", "id"]
    method = only(a_class(put={"request": container, "http_method": "PUT", "path": "items/{id}"}))
    assert [(one.name, one.where, one.required) for one in method.parameters] == [
        ("name", "query", True),
        ("id", "path", True),
    ]
    (message,), _ = method.binding.arguments({"id": "x"}, [], {"name": "n", "size": 3})
    assert (message.id, message.name, message.size) == ("x", "n", 3)


@pytest.mark.parametrize(
    "field",
    [
        messages.StringField(1),
        messages.IntegerField(1, required=True),
        messages.StringField(1, repeated=True),
        messages.StringField(1, required=True, default="x"),
    ],
)
def test_a_parameter_is_what_the_field_of_its_name_is(field: messages.Field) -> None:
    container = endpoints.ResourceContainer(Item, name=field)
    with pytest.raises(TypeError, match=r"Shop\.get: request_message: .*'name'"):
        a_class(get={"request": container})


def test_a_parameter_has_a_plain_name() -> None:
    with pytest.raises(endpoints.ApiConfigurationError, match=r"'a\.b' cannot name a field"):
        endpoints.ResourceContainer(**{"a.b": messages.StringField(1)})


@pytest.mark.parametrize(("body", "fields"), [(str, {}), ("Item", {}), (Item, {"x": 5})])
def test_containers_hold_messages_and_fields(body: Any, fields: Any) -> None:
    with pytest.raises(TypeError, match="ResourceContainer"):
        endpoints.ResourceContainer(body, **fields)


def test_containers_are_shared_and_look_up_names_where_they_were_written() -> None:
    container = endpoints.ResourceContainer(Line, item2=messages.MessageField("Item", 1))
    method, _ = the_api(a_class(a={"request": container}, b={"request": container})).methods
    assert [one.name for one in method.parameters] == ["item2.name", "item2.size"]


@pytest.mark.parametrize("verb", ["GET", "delete"])
def test_a_body_that_nothing_carries_is_refused_with_the_method_id(verb: str) -> None:
    container = endpoints.ResourceContainer(Item, id=messages.StringField(1))
    with pytest.raises(endpoints.ApiConfigurationError, match=r"shop\.get.*Shop\.get.*Item"):
        apis([a_class(get={"request": container, "http_method": verb})])


# Names.


@pytest.mark.parametrize(
    ("name", "id_"),
    [("list", "list"), ("greetings.list", "greetings.list"), ("_get", "get"), ("Get", "get"), ("a-b c", "abc")],
)
def test_method_ids(name: str, id_: str) -> None:
    assert only(a_class(an_api(name="My-shop"), of_class={"resource_name": "_All"}, get={"name": name})).id == (
        f"myshop.all.{id_}"
    )


def test_operation_ids_are_unique_for_gateways_too() -> None:
    first = a_class(api := an_api(), get_some={}, getSome={"path": "x"}, trailing={}, trailing_={"path": "y"})
    second = a_class(api, of_class={"resource_name": "other"}, get_some={"path": "z"})
    assert [one.operation_id for one in the_api(first, second).methods] == [
        "Shop_getSome",
        "Shop_getSome_2",
        "Shop_trailing",
        "Shop_trailing_2",
        "Shop_getSome_3",
    ]


def test_two_apis_may_have_classes_of_one_name() -> None:
    """The old server kept methods by class name; operation ids need be unique in one document only."""
    found = apis([a_class(an_api(name=name), get={}) for name in ("shop", "till")])
    assert [(api.name, one.operation_id) for api in found for one in api.methods] == [
        ("shop", "Shop_get"), ("till", "Shop_get")
    ]  # fmt: skip


def test_messages_may_be_named() -> None:
    class Shop(remote.Service):
        @endpoints.method("Item", "Line")
        def get(self, request: Any) -> Any:
            return Line(item=request)

    assert Shop.get.remote.request_type is Item
    assert only(an_api()(Shop)).response is not None


def test_a_name_that_nothing_has_is_said_when_it_is_needed() -> None:
    made = a_class(get={"request": "Nothing"})
    with pytest.raises(messages.DefinitionNotFoundError, match="Nothing"):
        apis([made])


# Calling.


async def test_a_method_checks_what_goes_in_and_comes_out() -> None:
    class Shop(remote.Service):
        @endpoints.method(Item, Item)
        def get(self, request: Item) -> Any:
            return request if request.name else None

        @endpoints.method(Item, Item)
        async def later(self, request: Item) -> Any:
            return request if request.name else 5

        @endpoints.method(Item)
        def drop(self, request: Item) -> None:
            return None

    shop, item = Shop(), Item(name="a")
    assert shop.get(item) is item
    assert await shop.later(item) is item
    assert shop.drop(item) == message_types.VoidMessage()
    with pytest.raises(remote.RequestError, match=r"Shop\.get takes a Item, not VoidMessage"):
        shop.get(message_types.VoidMessage())
    with pytest.raises(remote.ServerError, match=r"Shop\.get returned NoneType"):
        shop.get(Item(name=""))
    with pytest.raises(remote.ServerError, match=r"Shop\.later returned int"):
        await shop.later(Item(name=""))
    assert [one.is_async for one in the_api(an_api()(Shop)).methods] == [False, False, True]


def test_children_have_their_parents_methods() -> None:
    class Base(remote.Service):
        @endpoints.method(Item, Item)
        def get(self, request: Item) -> Item:
            return request

        @endpoints.method(Item, Item)
        def drop(self, request: Item) -> Item:
            return request

    class Child(Base):
        def get(self, request: Item) -> Item:
            return Item(name=request.name + "!")

        drop = None  # type: ignore[assignment]

    method = only(an_api()(Child))
    (message,), _ = method.binding.arguments({}, [], {"name": "x"})
    assert method.owner == "Child"
    assert method.binding.answer(method.open()(message)) == b'{"name":"x!"}'


def test_factories_make_instances() -> None:
    class Shop(remote.Service):
        def __init__(self, prefix: str) -> None:
            self.prefix = prefix

        @endpoints.method(Item, Item)
        def get(self, request: Item) -> Item:
            return Item(name=self.prefix + request.name)

    an_api()(Shop)
    method = only(Shop.new_factory("<"))
    assert method.open()(Item(name="x")).name == "<x"


# Several classes, APIs and versions.


def test_classes_of_one_api_are_one_in_the_order_given() -> None:
    api = an_api()
    second, first = (
        a_class(api, "B", {"path": "b"}, z={}, a={}),
        a_class(api, "A", {"path": "a", "resource_name": "a"}, m={}),
    )
    assert api.get_api_classes() == [second, first]
    assert [one.path for one in the_api(api).methods] == ["/shop/v1/b/a", "/shop/v1/b/z", "/shop/v1/a/m"]
    assert [one.path for one in the_api(first, second).methods] == ["/shop/v1/a/m", "/shop/v1/b/a", "/shop/v1/b/z"]
    assert [one.path for one in the_api(second).methods] == ["/shop/v1/b/a", "/shop/v1/b/z"]


def test_versions_stand_side_by_side() -> None:
    found = apis([a_class(an_api(version=one), get={}) for one in ("2.0.0", "1.4.0", "v3")])
    assert [api.methods[0].path for api in found] == ["/shop/v2/get", "/shop/v1/get", "/shop/v3/get"]


def test_things_that_describe_themselves_stand_where_they_are_listed() -> None:
    class Typed:
        def describe(self) -> list[Api]:
            return [the_api(a_class(an_api(name="typed"), get={}))]

    assert [api.name for api in apis([a_class(an_api(name="a")), Typed(), a_class(an_api(name="b"))])] == [
        "a", "typed", "b",
    ]  # fmt: skip


def test_an_api_may_have_a_method_that_is_called_describe() -> None:
    assert only(a_class(describe={})).path == "/shop/v1/describe"


COLLISIONS: list[tuple[str, Callable[[], list[Any]], str]] = [
    ("one id", lambda: [a_class(get={}, _get={})], r"Shop\._get and Shop\.get have the method id 'shop\.get'"),
    ("one path", lambda: [a_class(a={"path": "x"}, b={"path": "x"})], r"POST /_ah/api/shop/v1/x both"),
    ("one shape", lambda: [a_class(
        a={"path": "{name}", "request": Item}, b={"path": "{size}", "request": Item})], r"Shop\.a and Shop\.b"),
    ("a class twice", lambda: [made := a_class(get={}), made], "Shop is listed twice"),
    ("two objects", lambda: [a_class(class_name="A", get={}), a_class(class_name="B", get={})], "A and B"),
    ("one major version", lambda: [a_class(an_api(version=one)) for one in ("1.0.0", "1.4.0")], r"1\.0\.0 and 1\.4\.0"),
    ("the number and the name", lambda: [a_class(an_api(version=one)) for one in ("1.0.0", "v1")], "share the URLs"),
    ("urls that meet", lambda: [
        a_class(an_api(base_path="/"), a={"path": "v2/x"}),
        a_class(an_api(name="v1", version="v2", base_path="/shop"), b={"path": "x"})], r"/shop/v1/v2/x"),
    ("an unknown metric", lambda: [a_class(get={"metric_costs": {"m": 1}})], r"Shop\.get: metric_costs names 'm'"),
    ("a list of audiences for other issuers", lambda: [
        a_class(an_api(issuers={"x": endpoints.Issuer("x", None)}, audiences=["a"]), get={})], r"Shop\.get: audiences"),
    ("no class yet", lambda: [an_api()], "api 'shop' v1 decorates no class"),
    ("no API", lambda: [Item], "Item.*@endpoints.api"),
    ("no class", lambda: ["Shop"], "'Shop'.*@endpoints.api"),
]  # fmt: skip


@pytest.mark.parametrize(("things", "mentioned"), [one[1:] for one in COLLISIONS], ids=[one[0] for one in COLLISIONS])
def test_what_does_not_go_together(things: Callable[[], list[Any]], mentioned: str) -> None:
    made = things()
    with pytest.raises(endpoints.ApiConfigurationError, match=mentioned):
        apis(made)


def test_costs_may_name_metrics_of_another_api_of_the_server() -> None:
    limits = an_api(name="limits", limit_definitions=[endpoints.LimitDefinition("m", "M", 1)])
    assert len(apis([a_class(limits), a_class(get={"metric_costs": {"m": 1}})])) == 2


def test_an_unknown_issuer_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"Shop\.get: audiences names the issuer 'nope'"):
        apis([a_class(get={"audiences": {"nope": ["a"]}})])


# The old names.


def test_old_modules_are_found_by_their_names() -> None:
    from authz.frameworks.endpoints import api_config, api_exceptions, constants, types
    from authz.frameworks.endpoints.resource_container import ResourceContainer

    assert api_config.api is endpoints.api
    assert api_config.ApiAuth(allow_cookie_auth=True, blocked_regions=["x"]).allow_cookie_auth
    assert api_exceptions.NotFoundException is endpoints.NotFoundException
    assert types.OAuth2Scope(scope="a", description="b").scope == "a"
    assert constants.API_EXPLORER_CLIENT_ID == endpoints.API_EXPLORER_CLIENT_ID
    assert ResourceContainer is endpoints.ResourceContainer
    assert all(getattr(endpoints, name) is not None for name in endpoints.__all__)
    assert endpoints.openapi_generator.OpenApiGenerator is not None
    assert endpoints.EndpointsErrorMessage(state=endpoints.EndpointsErrorMessage.State.OK).error_name is None
    assert endpoints.EndpointsDispatcherMiddleware(lambda environ, start: [environ, start])(1, 2) == [1, 2]
    assert isinstance(endpoints.package, str)
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = endpoints.nothing
    with pytest.raises(TypeError, match="description"):
        types.OAuth2Scope("a", 5)  # type: ignore[arg-type]


def test_a_registry_keeps_what_it_is_given() -> None:
    registry = endpoints.ApiConfigRegistry()
    said = {"methods": {"shop.get": {"rosyMethod": "Shop.get"}}}
    registry.register_backend(None)
    registry.register_backend(said)
    assert registry.all_api_configs() == [said]
    assert registry.lookup_api_method("shop.get") == "Shop.get"
    assert registry.lookup_api_method("shop.put") is None


def test_old_modules_of_servers_and_json() -> None:
    from authz.frameworks.endpoints import apiserving, protojson, users_id_token

    assert apiserving.api_server is endpoints.api_server
    assert users_id_token.get_current_user is endpoints.get_current_user
    assert users_id_token.convert_jwks_uri("https://i.example/k") == "https://i.example/k"
    json = protojson.EndpointsProtoJson()
    assert json.decode_message(Item, json.encode_message(Item(name="x"))) == Item(name="x")
    with pytest.raises(messages.ValidationError, match="name"):
        json.encode_message(Item())
    with pytest.raises(endpoints.BadRequestException, match="name"):
        json.decode_message(Item, "")


def test_importing_loads_no_server_and_nothing_heavy() -> None:
    """A decorated module is imported by tools as well as by servers."""
    heavy = ("grpc", "redis", "sqlalchemy", "pydantic", "aiohttp", "jwt", "cryptography", "yaml", "asyncio")
    code = (
        "import sys\n"
        "from authz.frameworks import endpoints, messages, message_types, remote\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
