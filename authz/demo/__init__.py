"""A sample API to try the gateway on: a bookstore, a backend that serves it, and an issuer that mints tokens.

Everything here is for looking at. Nothing here is imported unless somebody runs `authz demo`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from authz.demo import bookstore
from authz.demo.bookstore import Server
from authz.model.service import SourceText

AUDIENCE = "https://bookstore.example.com"


@dataclass(frozen=True, slots=True)
class Sample:
    """A running sample: its document, where its backend listens, and a token that its API accepts for an hour."""

    document: SourceText
    backend: str
    token: str


@contextlib.contextmanager
def running() -> Iterator[Sample]:
    """Run the backend and the issuer until left."""
    from authz.demo.issuer import Issuer

    issuer = Issuer()
    keys, books = Server(issuer.answer), Server(bookstore.answer)
    for server in (keys, books):
        server.start()
    try:
        issuer.url = keys.url
        text = resources.files(__name__).joinpath("bookstore.yaml").read_text().replace("${ISSUER}", keys.url)
        yield Sample(SourceText("bookstore.yaml", text), books.url, issuer.token(AUDIENCE))
    finally:
        for server in (keys, books):
            server.stop()
