"""What is wrong with TLS is said before anything starts, and names the setting or the file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from authz import tls
from authz.errors import UsageError
from authz.settings import Settings
from authz.tls import Tls
from harness.tls import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def files(authority: Authority) -> dict[str, str]:
    leaf = authority.leaf("server")
    return {
        "sidecar_tls_cert": str(leaf.cert),
        "sidecar_tls_key": str(leaf.key),
        "sidecar_tls_client_ca": str(authority.cert),
    }


def test_the_files_make_a_server_of_mutual_tls(files: dict[str, str]) -> None:
    found = tls.at("127.0.0.1:9001", Settings(**files))

    assert found == Tls(*files.values())
    assert found.context().verify_mode.name == "CERT_REQUIRED"


def test_without_files_there_is_no_tls_nor_on_a_unix_socket(files: dict[str, str]) -> None:
    assert tls.at("127.0.0.1:9001", Settings()) is None
    assert tls.at("unix:/tmp/s", Settings(**files)) is None


@pytest.mark.parametrize("missing", ["sidecar_tls_cert", "sidecar_tls_key"])
def test_half_a_setting_names_the_other_half(files: dict[str, str], missing: str) -> None:
    with pytest.raises(UsageError, match=missing):
        tls.wanted(Settings(**{**files, missing: ""}))


@pytest.mark.parametrize("wrong", ["sidecar_tls_cert", "sidecar_tls_key", "sidecar_tls_client_ca"])
@pytest.mark.parametrize(
    "content", [None, b"not PEM", b"-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\nPRIVATE KEY-----"]
)
def test_a_wrong_file_is_named_with_the_remedy(
    files: dict[str, str], tmp_path: Path, wrong: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "wrong.pem").write_bytes(content)

    with pytest.raises(UsageError, match=r"wrong\.pem") as caught:
        tls.wanted(Settings(**{**files, wrong: str(tmp_path / "wrong.pem")}))

    assert caught.value.remedy


def test_another_certificates_key_names_both(files: dict[str, str], authority: Authority) -> None:
    other = authority.leaf("other")

    with pytest.raises(UsageError, match=r"other\.key.*server\.pem"):
        tls.wanted(Settings(**{**files, "sidecar_tls_key": str(other.key)}))


def test_a_key_with_a_password_asks_nobody_for_it(files: dict[str, str]) -> None:
    path = Path(files["sidecar_tls_key"])
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )

    with pytest.raises(UsageError, match="not encrypted"):
        tls.wanted(Settings(**files))


@pytest.mark.parametrize(
    ("address", "missing", "warned"),
    [
        ("0.0.0.0:1", ("sidecar_tls_cert", "sidecar_tls_key", "sidecar_tls_client_ca"), "can be read on the way"),
        ("10.0.0.1:1", ("sidecar_tls_client_ca",), "open to whoever"),
        ("[::]:1", ("sidecar_tls_client_ca",), "open to whoever"),
        ("sidecar:1", ("sidecar_tls_client_ca",), "open to whoever"),
        ("0.0.0.0:1", (), ""),
        ("127.0.0.1:1", ("sidecar_tls_client_ca",), ""),
        ("[::1]:1", ("sidecar_tls_client_ca",), ""),
        ("localhost:1", ("sidecar_tls_client_ca",), ""),
    ],
)
def test_an_address_that_strangers_may_reach_is_told(
    files: dict[str, str], address: str, missing: tuple[str, ...], warned: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tls.at(address, Settings(**{name: file for name, file in files.items() if name not in missing}))

    assert len(caplog.records) == bool(warned)
    assert warned in caplog.text
