"""Keys and tokens as schemes and requirements."""

import pytest

from authz.model.auth import (
    DEFAULT_KEY_PLACES,
    OPEN,
    Alternative,
    JwtProvider,
    JwtRequirement,
    Place,
    PlaceKind,
    Requirement,
)
from authz.model.paths import Template
from authz.model.service import Operation, ServiceConfig
from authz.sources.write.dialect import DIALECTS
from authz.sources.write.security import Security

HEADER, QUERY = Place(PlaceKind.HEADER, "x-hall-key"), Place(PlaceKind.QUERY, "hall_key")
KEY = Alternative(True, DEFAULT_KEY_PLACES)
ONE, TWO = JwtProvider("one", "https://one.example"), JwtProvider("two", "https://two.example", audiences=("a",))


def token(provider="one", places=(), **more):
    return Alternative(bool(places), places, JwtRequirement(provider, **more))


def security(*requirements, version="3.0", providers=(ONE, TWO)):
    config = ServiceConfig("p.example.com", providers=providers)
    operations = [
        Operation(f"p.S.M{number}", "GET", Template.parse(f"/{number}"), requirement)
        for number, requirement in enumerate(requirements)
    ]
    return Security(operations, config, DIALECTS[version])


@pytest.mark.parametrize(
    ("requirement", "written"),
    [
        (OPEN, []),
        (Requirement((KEY,)), [{"api_key": []}]),
        (Requirement((token(),)), [{"one": []}]),
        (Requirement((token(places=DEFAULT_KEY_PLACES),)), [{"api_key": [], "one": []}]),
        (Requirement((token(), token("two"))), [{"one": []}, {"two": []}]),
        (Requirement((token(),), optional=True), [{"one": []}, {}]),
        (Requirement((token(places=DEFAULT_KEY_PLACES), KEY)), [{"api_key": [], "one": []}, {"api_key": []}]),
        (Requirement((token(scopes=("read", "write")),)), [{"one": ["read", "write"]}]),
        (
            Requirement((Alternative(True, (HEADER, QUERY)),)),
            [{"api_key_x-hall-key": []}, {"api_key_hall_key": []}],
        ),
        (
            Requirement((token(places=(HEADER, QUERY)),)),
            [{"api_key_x-hall-key": [], "one": []}, {"api_key_hall_key": [], "one": []}],
        ),
        (Requirement((Alternative(True, (HEADER,)),)), [{"api_key": []}]),
        (
            Requirement((Alternative(True, (*DEFAULT_KEY_PLACES, HEADER)),)),
            [{"api_key": []}, {"api_key_x-hall-key": []}],
        ),
    ],
)
def test_a_requirement_is_a_list_of_ways_in(requirement, written):
    assert security(requirement).secured(requirement).security == written


def test_a_key_has_a_scheme_for_each_place_and_the_usual_one_stands_for_all_default_places():
    made = security(Requirement((KEY,)), Requirement((Alternative(True, (HEADER, QUERY)),)), providers=())

    assert made.schemes() == {
        "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "api_key_x-hall-key": {"type": "apiKey", "in": "header", "name": "x-hall-key"},
        "api_key_hall_key": {"type": "apiKey", "in": "query", "name": "hall_key"},
    }
    assert made.remarks == []


def test_a_scheme_of_a_key_does_not_take_a_providers_name():
    provider = JwtProvider("api_key", "https://issuer.example")

    assert list(security(Requirement((KEY,)), providers=(provider,)).schemes()) == ["api_key2", "api_key"]


def test_some_of_the_default_places_only_cannot_be_said():
    some = Requirement((Alternative(True, DEFAULT_KEY_PLACES[:1]),))
    made = security(some)

    assert made.secured(some).security == [{"api_key": []}]
    assert [remark.partition(" cannot")[0] for remark in made.remarks] == ["API keys in query 'key'"]


@pytest.mark.parametrize(
    ("tokens", "audiences"),
    [
        ([token(audiences=("x", "y"))], [{"one": {"audiences": ["x", "y"]}}]),
        # Either is enough, so both together are.
        ([token(audiences=("x",)), token(audiences=("y", "x"))], [{"one": {"audiences": ["x", "y"]}}]),
        ([token("two", audiences=("x",)), token("two")], [{"two": {"audiences": ["a", "x"]}}]),
        ([token(audiences=("x",)), token()], [{"one": {"audiences": ["https://p.example.com", "x"]}}]),
    ],
)
def test_audiences_of_one_operation_stand_beside_it(tokens, audiences):
    requirement = Requirement(tuple(tokens))
    secured = security(requirement).secured(requirement)

    assert secured.extensions == {"x-security": audiences}
    assert len(secured.security) == 1


def test_client_ids_stand_at_the_scheme_where_all_operations_have_the_same():
    same = Requirement((token(client_ids=("app",)),))
    made = security(same, Requirement((token(client_ids=("app",)), token("two"))))

    assert made.schemes()["one"]["x-authz-client-ids"] == ["app"]
    assert "x-authz-client-ids" not in made.schemes()["two"]
    assert made.secured(same).extensions == {}


def test_client_ids_of_one_operation_stand_beside_it():
    restricted, free = Requirement((token(client_ids=("app",)),)), Requirement((token(),))
    made = security(restricted, free)

    assert "x-authz-client-ids" not in made.schemes()["one"]
    assert made.secured(restricted).extensions == {"x-authz-client-ids": ["app"]}
    assert made.secured(free).extensions == {}


def test_nobody_is_an_empty_list():
    nobody, free = Requirement((token(client_ids=()),)), Requirement((token(),))

    assert security(nobody).schemes()["one"]["x-authz-client-ids"] == []
    assert security(nobody, free).secured(nobody).extensions == {"x-authz-client-ids": []}


PROVIDER = JwtProvider(
    "elsewhere",
    "robot@issuer.example",
    jwks_uri="https://issuer.example/keys",
    audiences=("a", "b"),
    places=(Place(PlaceKind.HEADER, "x-token", "Robot "), Place(PlaceKind.QUERY, "token")),
    authorization_url="https://issuer.example/authorize",
)


@pytest.mark.parametrize(
    ("version", "scheme"),
    [
        (
            "3.0",
            {
                "type": "oauth2",
                "flows": {"implicit": {"authorizationUrl": "https://issuer.example/authorize", "scopes": {}}},
                "description": "The token stands in header x-token or query token.",
                "x-google-auth": {
                    "issuer": "robot@issuer.example",
                    "jwksUri": "https://issuer.example/keys",
                    "audiences": ["a", "b"],
                    "jwtLocations": [{"header": "x-token", "valuePrefix": "Robot "}, {"query": "token"}],
                },
            },
        ),
        (
            "2.0",
            {
                "type": "oauth2",
                "flow": "implicit",
                "authorizationUrl": "https://issuer.example/authorize",
                "scopes": {},
                "description": "The token stands in header x-token or query token.",
                "x-google-issuer": "robot@issuer.example",
                "x-google-jwks_uri": "https://issuer.example/keys",
                "x-google-audiences": "a,b",
                "x-google-jwt-locations": [{"header": "x-token", "value_prefix": "Robot "}, {"query": "token"}],
            },
        ),
    ],
)
def test_an_issuer_is_a_scheme(version, scheme):
    assert security(version=version, providers=(PROVIDER,)).schemes() == {"elsewhere": scheme}


def test_a_plain_issuer_is_a_bearer_token():
    assert security(providers=(ONE,)).schemes()["one"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "x-google-auth": {"issuer": "https://one.example"},
    }
