"""The sample issuer: one key, a JWKS, and tokens for the asking. For trying things out; it checks nobody."""

from __future__ import annotations

import asyncio
import time

from authz.check.tokens import OwnKey, new_own_key
from authz.demo.bookstore import Reply


class Issuer:
    """Signs tokens with a key of its own. `url` is its `iss`, and where its key set is served."""

    def __init__(self) -> None:
        self.url = ""
        self._pem = new_own_key()

    def token(self, audience: str) -> str:
        """A token for an hour."""
        return asyncio.run(OwnKey(self._pem, self.url).token(audience, time.time())).text

    def answer(self, method: str, path: str, _: dict[str, str]) -> Reply:
        """What its key server answers."""
        if (method, path) == ("GET", "/.well-known/jwks.json"):
            return 200, OwnKey(self._pem, self.url).jwks()
        return 404, {"message": "The key set is at /.well-known/jwks.json."}
