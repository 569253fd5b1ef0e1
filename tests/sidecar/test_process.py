from __future__ import annotations

import logging
import sys

import pytest

from authz.settings import Settings
from authz.sidecar.process import transport_of
from authz.transport.grpcio import GrpcioTransport
from authz.transport.nghttp2 import Nghttp2Transport


@pytest.mark.parametrize(("name", "kind"), [("grpcio", GrpcioTransport), ("nghttp2", Nghttp2Transport)])
def test_the_setting_names_the_transport(name: str, kind: type) -> None:
    settings = Settings.read({"transport": name}, {})

    assert isinstance(transport_of(settings, {}, "127.0.0.1:0"), kind)


@pytest.mark.parametrize("missing", ["ngh2", "authz.transport.nghttp2"])
def test_where_libnghttp2_cannot_be_imported_grpcio_serves_and_the_log_says_why(
    missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("authz.transport.nghttp2", "authz.transport.http2"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    settings = Settings.read({"transport": "nghttp2"}, {})

    with caplog.at_level(logging.WARNING):
        transport = transport_of(settings, {}, "127.0.0.1:0")

    assert isinstance(transport, GrpcioTransport)
    assert "grpcio takes its place" in caplog.text
