"""Any API that can be declared has documents that are valid, and that a gateway reads as what was declared."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from authz.frameworks import document, endpoints, message_types, messages, remote
from authz.frameworks.declare import apis
from authz.frameworks.service import Api
from authz.model.service import SourceText
from authz.sources.compile import compile_texts

package = "any"
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True).filter(lambda name: "__" not in name)
NUMBERS = itertools.count()
TEXT = st.text(max_size=30)
KINDS: list[Any] = [
    messages.BooleanField,
    messages.BytesField,
    messages.FloatField,
    messages.StringField,
    message_types.DateTimeField,
    *(
        lambda number, variant=variant, **said: messages.IntegerField(number, variant=variant, **said)
        for variant in messages.IntegerField.VARIANTS
    ),
]


class Color(messages.Enum):
    RED = 1
    BLUE = 0


class Leaf(messages.Message):
    """A leaf, which may have leaves."""

    text = messages.StringField(1, default='"\n')
    number = messages.IntegerField(2, required=True)
    color = messages.EnumField(Color, 3, default="BLUE")
    leaf = messages.MessageField("Leaf", 4)


@st.composite
def fields(draw: st.DrawFn, *, messages_too: bool = True, repeated: bool = True) -> messages.Field:
    number, many = draw(st.integers(1, 9)), repeated and draw(st.booleans())
    said: dict[str, Any] = {"repeated": many, "required": not many and draw(st.booleans())}
    kind = draw(st.sampled_from([*KINDS, *((Leaf, Color) if messages_too else ())]))
    if kind is Leaf:
        return messages.MessageField(Leaf, number, **said)
    return messages.EnumField(Color, number, **said) if kind is Color else kind(number, **said)


@st.composite
def a_message(draw: st.DrawFn) -> Any:
    name = f"M{next(NUMBERS)}"
    found = draw(st.dictionaries(NAMES, fields(), max_size=4))
    body = {field: one.copied(number) for number, (field, one) in enumerate(found.items(), 1)}
    place = {"__module__": __name__, "__qualname__": name, "__doc__": draw(st.none() | TEXT)}
    return type(messages.Message)(name, (messages.Message,), {**place, **body})


@st.composite
def a_method(draw: st.DrawFn, name: str) -> Any:
    verb = draw(st.sampled_from(["GET", "POST", "put", "PATCH", "DELETE", "HEAD", "OPTIONS"]))
    in_path = draw(st.dictionaries(NAMES, fields(messages_too=False, repeated=False), max_size=2))
    in_path = {key: one for key, one in in_path.items() if not isinstance(one, message_types.DateTimeField)}
    in_query = draw(st.dictionaries(NAMES, fields(), max_size=3))
    body = draw(a_message()) if verb not in {"GET", "DELETE"} and draw(st.booleans()) else message_types.VoidMessage
    taken = {field.name for field in body.all_fields()}
    named = {key: one for key, one in {**in_query, **in_path}.items() if key not in taken}
    end = draw(st.sampled_from(["", ":run", "/", "/end"])) if in_path else ""
    variables = [f"{{{key}}}" for key in in_path if key in named]
    said = {
        "path": "/".join([name, *variables]) + (end if variables else ""),
        "http_method": verb,
        "api_key_required": draw(st.none() | st.booleans()),
        "audiences": draw(st.none() | st.lists(st.sampled_from(["a", "b c", "https://x/y"]), max_size=2)),
        "metric_costs": draw(st.none() | st.dictionaries(st.sampled_from(["m/one", "m two"]), st.integers(0, 5))),
        "allowed_client_ids": draw(st.none() | st.lists(st.sampled_from(["x", "*"]), max_size=2)),
        "optional_auth": draw(st.none() | st.booleans()),
        "scopes": draw(st.none() | st.lists(st.sampled_from(["s", "s t", "u"]), max_size=2)),
    }

    def function(self: Any, request: Any) -> Any:
        return request

    function.__name__, function.__qualname__ = name, f"Any.{name}"
    function.__doc__ = draw(st.none() | TEXT)
    response = draw(st.just(message_types.VoidMessage) | a_message())
    return endpoints.method(endpoints.ResourceContainer(body, **named), response, **said)(function)


@st.composite
def an_api(draw: st.DrawFn) -> Api:
    api = endpoints.api(
        draw(st.sampled_from(["shop", "Shop-2", "s_p"])),
        draw(st.sampled_from(["v1", "1.2.0", "2.0.0-rc.1", "1.0"])),
        hostname="any.example.com",
        description=draw(st.none() | TEXT),
        title=draw(st.none() | TEXT),
        base_path=draw(st.sampled_from(["/", "", "/_ah/api/", "base/path"])),
        audiences=draw(st.none() | st.just(["z"])),
        api_key_required=draw(st.booleans()),
        limit_definitions=[endpoints.LimitDefinition(name, "Shown", 5) for name in ("m/one", "m two")],
    )
    for number in range(draw(st.integers(1, 2))):
        names = draw(st.lists(NAMES, min_size=1, max_size=3, unique_by=lambda name: name.strip("_").lower()))
        names = [f"m{number}{name}" for name in names]
        methods = {name: draw(a_method(name)) for name in names}
        resource = draw(st.none() | NAMES)
        api.api_class(resource_name=resource)(type(f"Any{number}", (remote.Service,), methods))
    (found,) = apis([api])
    return found


def fit_for_validators(made: dict[str, Any]) -> dict[str, Any]:
    """With what Google's generator leaves out of a scheme, and every gateway does without."""
    for scheme in made["securityDefinitions"].values():
        if scheme["type"] == "oauth2":
            scheme.setdefault("scopes", {})
            scheme["authorizationUrl"] = "https://any.example.com"
    return made


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(an_api())
def test_documents_are_valid_and_mean_what_was_declared(api: Api) -> None:
    declared = sorted((one.http_method, (api.base_path.rstrip("/") + one.path)) for one in api.methods)
    for version in ("2.0", "3.1"):
        made = json.loads(json.dumps(document.openapi(api, version=version), allow_nan=False))  # type: ignore[arg-type]
        compiled = compile_texts([SourceText("openapi.json", json.dumps(made))])
        assert compiled.findings == ()
        (config,) = compiled.configs
        assert sorted((one.method, one.template.text) for one in config.operations) == declared
        validate(made if version == "3.1" else fit_for_validators(made))
    json.dumps(document.discovery(api), allow_nan=False)
