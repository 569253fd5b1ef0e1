"""Certificates made for one test run: an authority, and leaves that it signs."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Leaf:
    cert: Path
    key: Path

    def server_context(self, *, client_ca: Path | None = None, alpn: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, self.key)
        context.set_alpn_protocols(list(alpn))
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        return context


@dataclass(frozen=True)
class Mutual:
    """TLS at both ends: servers and whoever speaks to them have certificates of one authority, and ask for them."""

    ca: Path
    server: Leaf
    client: Leaf

    @property
    def options(self) -> dict[str, str]:
        """A client's, as redis-py and our URLs call them."""
        return {
            "ssl_ca_certs": str(self.ca),
            "ssl_certfile": str(self.client.cert),
            "ssl_keyfile": str(self.client.key),
        }


class Authority:
    """A certificate authority in a directory; `cert` is what others must trust."""

    def __init__(self, directory: Path, name: str = "test authority") -> None:
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = directory / "ca.pem"
        self._cert = self._sign(self._name, self._key.public_key(), authority=True, names=())
        self.cert.write_bytes(self._cert.public_bytes(serialization.Encoding.PEM))

    def leaf(self, label: str, *names: str) -> Leaf:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)])
        cert = self._sign(subject, key.public_key(), authority=False, names=names or ("localhost", "127.0.0.1"))
        paths = Leaf(self.directory / f"{label}.pem", self.directory / f"{label}.key")
        paths.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        paths.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths

    def mutual(self) -> Mutual:
        return Mutual(self.cert, self.leaf("server"), self.leaf("client"))

    def _sign(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey, *, authority: bool, names: tuple[str, ...]
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
