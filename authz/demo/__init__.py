"""A sample API to try the gateway on: a bookstore, a backend that serves it, and an issuer that mints tokens.

Everything here is for looking at. Nothing here is imported unless somebody runs `authz demo`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from authz.cli.runners import Example
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
    foreign_token: str

    def refusals(self, url: str, key: str) -> tuple[Example, ...]:
        """One request for each way of being refused."""
        return (
            Example("401: no credential", f"curl -i {url}/v1/shelves"),
            Example(
                "403: a token for another audience",
                f"curl -i -H 'Authorization: Bearer {self.foreign_token}' {url}/v1/me",
            ),
            Example("404: no such path", f"curl -i {url}/v1/nowhere"),
            Example("405: no such method on this path; see Allow", f"curl -i -X DELETE {url}/v1/shelves"),
            Example(
                "429: more than ten reads in a minute",
                f"for i in $(seq 21); do curl -s -o /dev/null -w '%{{http_code}} ' -H 'x-api-key: {key}' "
                f"{url}/v1/shelves; done; echo",
            ),
        )


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
        yield Sample(
            SourceText("bookstore.yaml", text),
            books.url,
            issuer.token(AUDIENCE),
            issuer.token("https://elsewhere.example.com"),
        )
    finally:
        for server in (keys, books):
            server.stop()
