from __future__ import annotations

from pathlib import Path

import pytest

from authz.errors import UsageError
from authz.transport.address import Tcp, Unix, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9000", Tcp("127.0.0.1", 9000)),
        ("localhost:0", Tcp("localhost", 0)),
        ("[::1]:65535", Tcp("[::1]", 65535)),
        ("unix:/run/authz.sock", Unix(Path("/run/authz.sock"))),
        ("unix:here/s", Unix(Path("here/s"))),
    ],
)
def test_an_address_reads_back_as_it_was_written(text: str, expected: Tcp | Unix) -> None:
    assert parse(text) == expected
    assert str(parse(text)) == text


@pytest.mark.parametrize("text", ["8080", "", ":80", "unix:", "h:65536", "h:-1", "h:x", "h:", "::1:80", "h:\u0663"])
def test_what_is_no_address_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not an address") as caught:
        parse(text)

    assert "HOST:PORT" in caught.value.remedy
