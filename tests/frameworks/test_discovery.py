"""The discovery document, as clients that are generated from one read it."""

from __future__ import annotations

from typing import Any

import pytest

from authz.frameworks import document, endpoints, message_types, messages, remote
from authz.frameworks.declare import apis
from authz.frameworks.endpoints.discovery_generator import DiscoveryGenerator
from authz.frameworks.endpoints.message_parser import MessageTypeToJsonSchema
from authz.frameworks.endpoints.openapi_generator import OpenApiGenerator

package = "Test"  # what the schemas are named by


class Kind(messages.Enum):
    OLD = 1
    NEW = 2


class Part(messages.Message):
    """A part."""

    size = messages.IntegerField(1, default=3)
    on = messages.BooleanField(2, default=True)
    kinds = messages.EnumField(Kind, 3, repeated=True)


class Thing(messages.Message):
    """A thing."""

    name = messages.StringField(1, required=True)
    part = messages.MessageField(Part, 2, required=True)
    parts = messages.MessageField(Part, 3, repeated=True)
    within = messages.MessageField("Thing", 4)
    at = message_types.DateTimeField(5)


shop = endpoints.api(
    "shop",
    "1.2.0",
    hostname="shop.example.com",
    title="The shop",
    documentation="https://shop.example.com/docs",
    canonical_name="Shop",
    owner_domain="example.com",
    owner_name="Example",
    package_path="a/b",
)


@shop.api_class(resource_name="things")
class Things(remote.Service):
    @endpoints.method(
        endpoints.ResourceContainer(Thing, id=messages.StringField(2, required=True), n=messages.IntegerField(1)),
        Thing,
        path="things/{id}",
        http_method="PUT",
        name="update",
        scopes=["a"],
    )
    def update(self, request: Any) -> Any:
        """Changes a thing."""

    @endpoints.method(Thing, path="things/{name}", http_method="GET", name="parts.list")
    def list_parts(self, request: Any) -> Any:
        return request


@shop.api_class(scopes=[endpoints.OAuth2Scope("b", "To write.")])
class Rest(remote.Service):
    @endpoints.method(name="reset")
    def reset(self, request: Any) -> Any:
        return request


def the_document(**options: Any) -> dict[str, Any]:
    (api,) = apis([shop])
    return document.discovery(api, **options)


def test_the_top() -> None:
    made = the_document()
    assert {
        key: made[key] for key in made if key not in {"icons", "parameters", "schemas", "resources", "methods"}
    } == {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "shop:v1",
        "name": "shop",
        "version": "1.2.0",
        "description": "This is an API",
        "protocol": "rest",
        "rootUrl": "https://shop.example.com/_ah/api/",
        "servicePath": "shop/v1/",
        "basePath": "/_ah/api/shop/v1/",
        "baseUrl": "https://shop.example.com/_ah/api/shop/v1/",
        "batchPath": "batch",
        "title": "The shop",
        "documentationLink": "https://shop.example.com/docs",
        "canonicalName": "Shop",
        "ownerDomain": "example.com",
        "ownerName": "Example",
        "packagePath": "a/b",
        "auth": {
            "oauth2": {
                "scopes": {
                    endpoints.EMAIL_SCOPE: {"description": "Know which e-mail address you use"},
                    "b": {"description": "To write."},
                }
            }
        },
    }
    assert set(made["parameters"]) == {"alt", "fields", "key", "oauth_token", "prettyPrint", "quotaUser", "userIp"}


@pytest.mark.parametrize(
    ("hostname", "root"),
    [
        ("localhost:8080", "http://localhost:8080/_ah/api/"),
        ("other.example.com", "https://other.example.com/_ah/api/"),
    ],
)
def test_where_it_is_served(hostname: str, root: str) -> None:
    assert the_document(hostname=hostname)["rootUrl"] == root


def test_ids_are_taken_apart_into_resources() -> None:
    made = the_document()
    assert list(made["methods"]) == ["reset"]
    assert list(made["resources"]["things"]["methods"]) == ["update"]
    assert list(made["resources"]["things"]["resources"]["parts"]["methods"]) == ["list"]


def test_a_method_with_a_body() -> None:
    assert the_document()["resources"]["things"]["methods"]["update"] == {
        "id": "shop.things.update",
        "path": "things/{id}",
        "httpMethod": "PUT",
        "description": "Changes a thing.",
        "scopes": ["a"],
        "parameters": {
            "n": {"type": "string", "format": "int64", "location": "query"},
            "id": {"type": "string", "location": "path", "required": True},
        },
        "parameterOrder": ["id"],
        "request": {"$ref": "TestThing", "parameterName": "resource"},
        "response": {"$ref": "TestThing"},
    }


def test_a_message_as_parameters() -> None:
    method = the_document()["resources"]["things"]["resources"]["parts"]["methods"]["list"]
    assert method["scopes"] == [endpoints.EMAIL_SCOPE]
    assert method["parameterOrder"] == ["name"]
    assert method["parameters"]["part.kinds"] == {
        "type": "string",
        "enum": ["OLD", "NEW"],
        "enumDescriptions": ["", ""],
        "location": "query",
        "repeated": True,
    }
    assert method["parameters"]["part.size"] == {
        "type": "string", "format": "int64", "default": "3", "location": "query",
    }  # fmt: skip
    assert {"within.name", "within.part.on", "at"} < method["parameters"].keys()
    assert not any(name.startswith("within.within") for name in method["parameters"])


def test_schemas() -> None:
    assert the_document()["schemas"] == {
        "TestPart": {
            "id": "TestPart",
            "type": "object",
            "description": "A part.",
            "properties": {
                "size": {"type": "string", "format": "int64", "default": "3"},
                "on": {"type": "boolean", "default": "true"},
                "kinds": {
                    "type": "array",
                    "items": {"type": "string", "enum": ["OLD", "NEW"], "enumDescriptions": ["", ""]},
                },
            },
        },
        "TestThing": {
            "id": "TestThing",
            "type": "object",
            "description": "A thing.",
            "properties": {
                "name": {"type": "string"},
                "part": {"$ref": "TestPart", "description": "A part."},
                "parts": {"type": "array", "items": {"$ref": "TestPart"}, "description": "A part."},
                "within": {"$ref": "TestThing", "description": "A thing."},
                "at": {"type": "string", "format": "date-time"},
            },
        },
    }


def test_the_old_generators_write_the_same() -> None:
    (api,) = apis([shop])
    assert DiscoveryGenerator().get_discovery_doc([Things, Rest], "h.example.com") == document.discovery(
        api, hostname="h.example.com"
    )
    assert '"id": "shop:v1"' in DiscoveryGenerator().pretty_print_config_to_json([Things, Rest])
    assert OpenApiGenerator().get_openapi_dict([Things, Rest]) == document.openapi(api)
    assert '"swagger": "2.0"' in OpenApiGenerator().pretty_print_config_to_json(Rest, x_google_api_name=True)
    with pytest.raises(endpoints.ApiConfigurationError, match="one API"):
        OpenApiGenerator().get_openapi_dict([])


def test_messages_alone_have_schemas() -> None:
    parser = MessageTypeToJsonSchema()
    assert parser.add_message(Thing) == parser.ref_for_message_type(Thing) == "TestThing"
    assert parser.schemas().keys() == {"TestThing", "TestPart"}
    assert parser.schemas()["TestThing"]["required"] == ["name", "part"]
