"""A token issuer for tests: RSA keys made on the spot, any claims, served as a JWKS over HTTP."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from harness.http import Request, Response


class Issuer:
    """Signs whatever it is asked to. `jwks()` is what its key server should answer."""

    def __init__(self, kid: str = "key-1") -> None:
        self.kid = kid
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwks(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def certificates(self) -> dict[str, str]:
        """The key as an X.509 map: key id to PEM certificate."""
        name, now = x509.Name([]), dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + dt.timedelta(days=1))
            .sign(self._key, hashes.SHA256())
        )
        return {self.kid: certificate.public_bytes(Encoding.PEM).decode()}

    def token(self, *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        claims.setdefault("exp", int(time.time()) + 3600)
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self.kid, **(headers or {})})

    def answer(self, _: Request) -> Response:
        return Response(200, [("content-type", "application/json")], json.dumps(self.jwks()).encode())
