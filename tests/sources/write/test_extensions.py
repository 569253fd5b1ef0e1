"""Quotas and backends in the words of either family."""

import pytest

from authz.model.paths import Template
from authz.model.quota import Limit, Metric, Unit
from authz.model.service import LOCAL, Backend, Operation, PathTranslation, Protocol, Rpc, ServiceConfig
from authz.sources.write.dialect import DIALECTS
from authz.sources.write.extensions import Backends, Quotas
from authz.sources.write.plan import Planned

OWN = Backend(protocol=Protocol.HTTP2)
BOOKS = Backend("grpc://books.example.com:8443", protocol=Protocol.HTTP2)


def planned(backend, *, is_apart=False):
    operation = Operation("p.S.M", "GET", Template.parse("/m"), backend=backend)
    return Planned(operation, Rpc("p.S", "M"), None, "S", 0.0, is_apart)


def backends(*found, version="3.0"):
    return Backends([planned(backend) for backend in found], DIALECTS[version])


@pytest.mark.parametrize(
    ("backend", "written"),
    [
        (
            BOOKS,
            {"address": "grpc://books.example.com:8443", "disableAuth": True},
        ),
        (
            Backend("https://books.example.com/v2", PathTranslation.CONSTANT, 7.5, None, "books", disable_auth=False),
            {"address": "https://books.example.com/v2", "deadline": 7.5, "jwtAudience": "books"},
        ),
        (
            Backend("http://books.example.com", protocol=Protocol.HTTP2),
            {
                "address": "http://books.example.com",
                "pathTranslation": "APPEND_PATH_TO_ADDRESS",
                "protocol": "h2",
                "disableAuth": True,
            },
        ),
        (Backend(deadline=30.0, protocol=Protocol.HTTP2), {"deadline": 30}),
        (Backend(protocol=Protocol.HTTP1), {"protocol": "http/1.1"}),
    ],
)
def test_a_backend_says_what_is_not_implied(backend, written):
    made = backends(backend, OWN)
    (name,) = made.declared()

    assert made.operation(planned(backend)) == {"x-google-backend": name}
    assert made.declared()[name] == written
    assert made.root() == made.operation(planned(OWN)) == {}


def test_a_backend_of_all_operations_stands_at_the_root_where_paths_are_appended_anyway():
    made = backends(BOOKS, BOOKS)

    assert made.root() == {"x-google-backend": "books-example-com-8443"}
    assert made.declared() == {
        "books-example-com-8443": {"address": "grpc://books.example.com:8443", "disableAuth": True}
    }
    assert made.operation(planned(BOOKS)) == {}


def test_version_2_has_no_names():
    rest = Backend("http://books.example.com")
    made = backends(rest, OWN, version="2.0")

    assert made.operation(planned(rest)) == {
        "x-google-backend": {
            "address": "http://books.example.com",
            "path_translation": "APPEND_PATH_TO_ADDRESS",
            "disable_auth": True,
        }
    }


def test_names_tell_backends_apart():
    other = Backend(BOOKS.address, deadline=3.0, protocol=Protocol.HTTP2)

    assert list(backends(BOOKS, other, Backend(deadline=3.0)).declared()) == [
        "books-example-com-8443",
        "books-example-com-8443-2",
        "gateway",
    ]


@pytest.mark.parametrize("backend", [LOCAL, OWN])
def test_the_gateways_own_backend_needs_no_words(backend):
    made = backends(backend)

    assert (made.root(), made.declared(), made.operation(planned(backend))) == ({}, {}, {})


def test_the_gateways_own_backend_has_words_beside_another_of_the_same_rpc():
    apart = planned(OWN, is_apart=True)
    made = Backends([planned(BOOKS), apart], DIALECTS["3.0"])

    assert made.operation(apart) == {"x-google-backend": "gateway"}
    assert made.declared()["gateway"] == {"protocol": "h2"}


CONFIG = ServiceConfig(
    "p.example.com",
    metrics=(Metric("reads", "Reads"), Metric("p.example.com/writes")),
    limits=(
        Limit("reads-a-minute", "reads", 100, display_name="Read", description="How often."),
        Limit("writes-a-day", "p.example.com/writes", -1, Unit.DAY, 2),
    ),
)
READS = {"displayName": "Reads", "valueType": "INT64", "metricKind": "DELTA"}
WRITES = {"valueType": "INT64", "metricKind": "DELTA"}
TITLES = {"displayName": "Read", "description": "How often."}


def test_version_3_has_metrics_and_limits_by_name():
    assert Quotas(CONFIG, DIALECTS["3.0"]).management3({})["x-google-api-management"] == {
        "metrics": {"reads": READS, "p.example.com/writes": WRITES},
        "quota": {
            "limits": {
                "reads-a-minute": {"metric": "reads", "unit": "1/min/{project}", "values": 100, **TITLES},
                "writes-a-day": {"metric": "p.example.com/writes", "unit": "2/d/{project}", "values": -1},
            }
        },
    }


def test_version_2_has_lists_and_minutes_only():
    quotas = Quotas(CONFIG, DIALECTS["2.0"])

    assert quotas.management2()["x-google-management"] == {
        "metrics": [{"name": "reads", **READS}, {"name": "p.example.com/writes", **WRITES}],
        "quota": {
            "limits": [
                {
                    "name": "reads-a-minute",
                    "metric": "reads",
                    "unit": "1/min/{project}",
                    "values": {"STANDARD": 100},
                    **TITLES,
                }
            ]
        },
    }
    assert quotas.remarks == [
        "the limit 'writes-a-day' is left out: OpenAPI 2.0 has limits by the minute, not by 2/d",
    ]


def test_without_metrics_there_is_nothing_to_manage():
    quotas = Quotas(ServiceConfig("p.example.com"), DIALECTS["3.0"])

    assert quotas.management3({}) == quotas.management2() == {}
