"""What rules come to: requirements, costs, backends and timeouts, as google.api.Service means them."""

from __future__ import annotations

import pytest

from authz.model.auth import DEFAULT_KEY_PLACES, OPEN, Alternative, JwtRequirement, Place, PlaceKind, Requirement
from authz.model.quota import Cost
from authz.model.service import Backend, Protocol

KEY = Alternative(needs_key=True, key_places=DEFAULT_KEY_PLACES)
ONE, TWO = JwtRequirement("one"), JwtRequirement("two", ("a", "b"))
PROVIDERS = """
authentication:
  providers: [{id: one, issuer: one}, {id: two, issuer: two, jwks_uri: "https://two.example.com/keys"}]
  rules:
"""
ASKS_ONE = PROVIDERS + '  - {selector: "*", requirements: [{provider_id: one}]}\n'
ASKS_TWO = (
    PROVIDERS + '  - {selector: "*", requirements: [{provider_id: one}, {provider_id: two, audiences: "a, b"}]}\n'
)
OPTIONAL = PROVIDERS + '  - {selector: "*", requirements: [{providerId: one}], allow_without_credential: true}\n'
KEYLESS = "usage: {rules: [{selector: '*', allow_unregistered_calls: true}]}\n"
SKIPPED = "usage: {rules: [{selector: '*', skip_service_control: true}]}\n"
PLACES = """
system_parameters:
  rules:
  - selector: "*"
    parameters:
    - {name: alt, url_query_parameter: alt}
    - {name: api_key, http_header: X-Key, urlQueryParameter: k}
    - {name: api_key, httpHeader: X-Other}
"""
OWN_PLACES = (
    Place(PlaceKind.HEADER, "x-key"),
    Place(PlaceKind.QUERY, "k"),
    Place(PlaceKind.HEADER, "x-other"),
)


def operation(compiled, name="GetShelf"):
    assert not compiled.errors, compiled.errors
    found = [one for one in compiled.configs[0].operations if one.short_name == name]
    assert len({(one.requirement, one.costs, one.backend, one.stream_timeout, one.rpc) for one in found}) == 1
    return found[0]


@pytest.mark.parametrize(
    ("yaml", "requirement"),
    [
        ("", Requirement((KEY,))),
        ("usage: {rules: [{selector: shop.v1.Bookstore.GetShelf}]}", Requirement((KEY,))),
        (KEYLESS, OPEN),
        ("usage: {rules: [{selector: '*', allowUnregisteredCalls: true}]}\n", OPEN),
        (KEYLESS.replace("]}", ", {selector: shop.v1.*, allow_unregistered_calls: false}]}"), Requirement((KEY,))),
        (SKIPPED, OPEN),
        (ASKS_ONE, Requirement((Alternative(True, DEFAULT_KEY_PLACES, ONE),))),
        (ASKS_ONE + KEYLESS, Requirement((Alternative(jwt=ONE),))),
        (ASKS_ONE + SKIPPED, Requirement((Alternative(jwt=ONE),))),
        (
            ASKS_TWO,
            Requirement((Alternative(True, DEFAULT_KEY_PLACES, ONE), Alternative(True, DEFAULT_KEY_PLACES, TWO))),
        ),
        (OPTIONAL + KEYLESS, Requirement((Alternative(jwt=ONE),), optional=True)),
        (OPTIONAL, Requirement((Alternative(True, DEFAULT_KEY_PLACES, ONE), KEY))),
        (ASKS_ONE + "  - {selector: shop.v1.Bookstore.GetShelf}\n", Requirement((KEY,))),
        (ASKS_ONE + "  - {selector: shop.v1.Bookstore.Chat}\n" + KEYLESS, Requirement((Alternative(jwt=ONE),))),
        (PLACES, Requirement((Alternative(True, OWN_PLACES),))),
        (PLACES + ASKS_ONE, Requirement((Alternative(True, OWN_PLACES, ONE),))),
        (PLACES + KEYLESS, OPEN),
    ],
)
def test_who_may_call(yaml, requirement, service):
    assert operation(service(yaml)).requirement == requirement


COSTS = """
metrics: [{name: reads}]
quota: {metric_rules: [{selector: "*", metric_costs: {reads: "2"}}]}
"""


def test_calls_that_are_not_counted_cost_nothing(service):
    assert operation(service(COSTS)).costs == (Cost("reads", 2),)
    assert operation(service(COSTS + KEYLESS)).costs == (Cost("reads", 2),)
    assert operation(service(COSTS + SKIPPED)).costs == ()


def test_a_provider_has_audiences_and_places(service):
    yaml = """
authentication:
  providers:
  - id: one
    issuer: https://one.example.com
    audiences: "a, b"
    authorizationUrl: https://one.example.com/login
    jwt_locations: [{header: X-Token, value_prefix: "T "}, {query: token}]
  - {id: unused, issuer: unused}
  rules: [{selector: "*", requirements: [{provider_id: one}]}]
"""
    (provider,) = service(yaml).configs[0].providers

    assert (provider.issuer, provider.audiences, provider.file, provider.line) == (
        "https://one.example.com",
        ("a", "b"),
        "1.yaml",
        8,
    )
    assert provider.places == (Place(PlaceKind.HEADER, "x-token", "T "), Place(PlaceKind.QUERY, "token"))


@pytest.mark.parametrize(
    ("rule", "backend"),
    [
        ("", Backend(protocol=Protocol.HTTP2)),
        ("deadline: 3.5", Backend(protocol=Protocol.HTTP2, deadline=3.5)),
        ("address: grpc://books.example.com:8000/", Backend("grpc://books.example.com:8000", protocol=Protocol.HTTP2)),
        ("address: grpcs://b.example.com, protocol: h2", Backend("grpcs://b.example.com", protocol=Protocol.HTTP2)),
        (
            "address: grpcs://books.example.com, jwtAudience: me",
            Backend("grpcs://books.example.com", protocol=Protocol.HTTP2, jwt_audience="me", disable_auth=False),
        ),
    ],
)  # fmt: skip
def test_calls_go_to_a_grpc_backend(rule, backend, service):
    yaml = f"backend: {{rules: [{{selector: shop.v1.Bookstore.GetShelf, {rule}}}]}}" if rule else ""

    assert operation(service(yaml)).backend == backend


@pytest.mark.parametrize(
    ("name", "without", "with_deadline"),
    [("GetShelf", 0, 0), ("WatchShelf", 300, 60), ("Import", 300, 60), ("Chat", 300, 60)],
)
def test_streams_may_be_silent_for_long_and_other_calls_have_a_deadline(name, without, with_deadline, service):
    yaml = "backend: {rules: [{selector: '*', RULE}]}"

    assert operation(service(""), name).stream_timeout == without
    assert operation(service(yaml.replace("RULE", "disable_auth: true")), name).stream_timeout == without
    assert operation(service(yaml.replace("RULE", "deadline: 60")), name).stream_timeout == with_deadline


HEALTH = """\
package grpc.health.v1;
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse { int32 status = 1; }
service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); }
"""


@pytest.mark.parametrize(
    ("yaml", "is_open"),
    [
        ("", True),
        (ASKS_ONE, True),
        ("usage: {rules: [{selector: '*'}]}", True),
        ("usage: {rules: [{selector: 'grpc.health.v1.Health.Check'}]}", False),
        ("usage: {rules: [{selector: 'grpc.health.*'}]}", False),
        ("usage: {rules: [{selector: 'grpc.health.v1.Health.*', allow_unregistered_calls: true}]}", True),
    ],
)
def test_health_checks_are_open_unless_a_rule_names_them(yaml, is_open, protos):
    from authz.model.service import SourceText
    from authz.sources import compile_texts, read_files

    head = "type: google.api.Service\nname: a.example.com\n"
    compiled = compile_texts([*read_files(protos(health=HEALTH)), SourceText("api.yaml", head + yaml + COSTS)])

    found = operation(compiled, "Check")
    assert found.requirement.is_open is is_open
    assert bool(found.costs) is (not is_open or "allow" in yaml)
