"""Pieces are what protobuf itself writes."""

from __future__ import annotations

import pytest
from google.protobuf import wrappers_pb2
from hypothesis import given
from hypothesis import strategies as st

from authz.protobuf import block, varint


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16_383, 16_384, 2**32 - 1, 2**63 - 1])
def test_a_number_reads_back(value: int) -> None:
    assert wrappers_pb2.UInt64Value.FromString(b"\x08" + varint(value)).value == value


@given(st.binary(max_size=20_000))
def test_a_block_reads_back(content: bytes) -> None:
    assert wrappers_pb2.BytesValue.FromString(block(b"\x0a", content)).value == content
