from __future__ import annotations

import pytest

from authz.model.service import Rpc
from authz.xds.rpc.fields import Fields
from harness.grpc_protos import compiled

PROTO = """
syntax = "proto3";
package p;
message Request {
  message Part { string long_name = 1; Request request = 2; }
  string plain = 1; Part the_part = 2; string own_name = 3 [json_name = "nice"];
}
service S { rpc M(Request) returns (Request); rpc N(Request.Part) returns (Request); }
"""


@pytest.mark.parametrize(
    ("method", "path", "spellings"),
    [
        ("M", "plain", ["plain"]),
        ("M", "own_name", ["own_name", "nice"]),
        ("M", "nice", ["own_name", "nice"]),
        (
            "M",
            "the_part.long_name",
            ["the_part.long_name", "the_part.longName", "thePart.long_name", "thePart.longName"],
        ),
        ("N", "request.plain", ["request.plain"]),
        ("M", "nobody.knows", ["nobody.knows"]),
        ("Unknown", "plain", ["plain"]),
    ],
)
def test_a_field_is_spelt_by_its_name_or_its_json_name(method: str, path: str, spellings: list[str]) -> None:
    assert Fields(compiled({"p.proto": PROTO})).spellings(Rpc("p.S", method), path) == spellings
