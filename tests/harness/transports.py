"""Which transport a test's gateways answer on: each in turn, unless AUTHZ_TEST_TRANSPORT names one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

VARIABLE = "AUTHZ_TEST_TRANSPORT"
TRANSPORTS = [os.environ[VARIABLE]] if VARIABLE in os.environ else ["nghttp2", "grpcio"]


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Iterator[str]:
    """What `harness` starts gateways with. A stage that outlives a test asks for it, to be built anew for the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, request.param)
        yield request.param
