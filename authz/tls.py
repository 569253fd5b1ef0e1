"""TLS between Envoy and our own servers: which files our side serves with, read and checked before anything starts.

Envoy's side of it is written by `xds.bootstrap`. TLS is for TCP: a Unix socket is its owner's alone and what passes it
never leaves the machine.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authz.errors import UsageError
from authz.settings import Settings

log = logging.getLogger(__name__)

_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of a server: its certificate's chain, the private key, and whose certificates peers must show.

    Without `client_ca`, peers need none.
    """

    certificate: str
    key: str
    client_ca: str = ""

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later with HTTP/2, and nothing else.

        Raises:
            UsageError: a file cannot be read or is not what it should be; names the file.
        """
        self.pem()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        try:
            # Where a key is encrypted, OpenSSL would ask the terminal for its password.
            context.load_cert_chain(self.certificate, self.key, password=str)
        except (ssl.SSLError, ValueError) as error:
            raise UsageError(
                f"The key {self.key} does not open the certificate {self.certificate}: {error}.",
                "Name the certificate's own private key, not encrypted.",
            ) from error
        if self.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError as error:
                raise _wrong(self.client_ca, str(error)) from error
        return context

    def pem(self) -> tuple[bytes, bytes, bytes | None]:
        """What the files hold: certificate, key, and the authorities of peers.

        Raises:
            UsageError: a file cannot be read or is not what it should be; names the file.
        """
        authorities = _read(self.client_ca, _CERTIFICATE) if self.client_ca else None
        return _read(self.certificate, _CERTIFICATE), _read(self.key, _KEY), authorities


def _read(name: str, mark: bytes) -> bytes:
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise _wrong(name, error.strerror or str(error)) from error
    if mark not in content:
        raise _wrong(name, f"it holds no {mark.decode().strip('-').removeprefix('BEGIN ').lower()}")
    return content


def _wrong(name: str, why: str) -> UsageError:
    return UsageError(
        f"No TLS with {name}: {why}.",
        "Name PEM files: the certificate's chain, its private key, and the authorities of peers' certificates.",
    )


def wanted(settings: Settings) -> Tls | None:
    """What the settings say; None without TLS.

    Raises:
        UsageError: one of them needs another, or a file is not what it should be.
    """
    certificate, key, client_ca = settings.sidecar_tls_cert, settings.sidecar_tls_key, settings.sidecar_tls_client_ca
    if not (certificate or key or client_ca):
        return None
    for name in ("sidecar_tls_cert", "sidecar_tls_key"):
        if not getattr(settings, name):
            raise UsageError(f"TLS of the sidecar lacks {name}", f"Set {name} too.")
    tls = Tls(certificate, key, client_ca)
    tls.context()
    return tls


def at(address: str, settings: Settings) -> Tls | None:
    """How a server on an address is to be secured. The log tells of one that strangers may reach.

    Raises:
        UsageError: the settings do not fit together, or a file is not what it should be.
    """
    tls = wanted(settings)
    if address.startswith("unix:"):
        return None
    if not (tls and tls.client_ca) and not _is_loopback(address.rpartition(":")[0].strip("[]")):
        log.warning(
            "%s is open to whoever can reach it%s: set sidecar_tls_client_ca, or see that only Envoy can",
            address,
            "" if tls else ", and what is said there can be read on the way",
        )
    return tls


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
