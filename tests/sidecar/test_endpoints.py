from __future__ import annotations

import pytest

from authz.errors import UsageError
from authz.sidecar.endpoints import endpoints


@pytest.mark.parametrize(
    ("first", "workers", "wanted"),
    [
        ("127.0.0.1:9001", 1, ["127.0.0.1:9001"]),
        ("127.0.0.1:9001", 3, ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"]),
        ("[::1]:9001", 2, ["[::1]:9001", "[::1]:9002"]),
        ("sidecar:65534", 2, ["sidecar:65534", "sidecar:65535"]),
        ("127.0.0.1:0", 3, ["127.0.0.1:0"] * 3),
        ("unix:/run/authz.sock", 3, ["unix:/run/authz.sock", "unix:/run/authz.sock.1", "unix:/run/authz.sock.2"]),
        ("unix:here", 2, ["unix:here", "unix:here.1"]),
    ],
)
def test_every_worker_has_an_address_of_its_own(first: str, workers: int, wanted: list[str]) -> None:
    assert list(endpoints(first, workers)) == wanted


@pytest.mark.parametrize(("first", "says"), [("127.0.0.1:65534", "65536"), ("nonsense", "nonsense")])
def test_an_address_that_does_not_do_is_told(first: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        endpoints(first, 3)
