"""A sample API to try the gateway on: a bookstore, a backend that serves it, and an issuer that mints tokens.

Everything here is for looking at. Nothing here is imported unless somebody runs `authz demo`.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from authz.cli.runners import Example
from authz.demo import bookstore
from authz.demo.bookstore import Server
from authz.model.service import SourceText

AUDIENCE = "https://bookstore.example.com"
EMPTY_MESSAGE = "AAAAAAA="
"""A gRPC message without a byte of content, length-prefixed, in base64: what gRPC-Web sends for an empty request."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A running sample: its documents, where its backend listens, and a token that its API accepts for an hour."""

    documents: tuple[SourceText, ...]
    backend: str
    token: str
    foreign_token: str
    is_grpc: bool = False

    def examples(self, url: str, key: str) -> tuple[Example, ...]:
        """One request for each other way in, and one for each way of being refused."""
        return (*(self._grpc(url, key) if self.is_grpc else ()), *self._refusals(url, key))

    def _grpc(self, url: str, key: str) -> Iterator[Example]:
        address = url.partition("//")[2]
        yield Example("gRPC, with grpcio", f"{shlex.quote(sys.executable)} -m authz.demo.client {address} {key}")
        yield Example(
            "gRPC-Web",
            f"curl -s -X POST -H 'x-api-key: {key}' -H 'content-type: application/grpc-web-text' "
            f"-H 'accept: application/grpc-web-text' -d '{EMPTY_MESSAGE}' {url}/bookstore.v1.Bookstore/ListShelves",
        )
        yield Example("a stream as JSON", f"curl -i -H 'x-api-key: {key}' {url}/v1/shelves/1/books:stream")

    def _refusals(self, url: str, key: str) -> Iterator[Example]:
        yield Example("401: no credential", f"curl -i {url}/v1/shelves")
        yield Example(
            "403: a token for another audience", f"curl -i -H 'Authorization: Bearer {self.foreign_token}' {url}/v1/me"
        )
        yield Example("404: no such path", f"curl -i {url}/v1/nowhere")
        yield Example("405: no such method on this path; see Allow", f"curl -i -X DELETE {url}/v1/shelves")
        yield Example(
            "429: more than ten reads in a minute",
            f"for i in $(seq 21); do curl -s -o /dev/null -w '%{{http_code}} ' -H 'x-api-key: {key}' "
            f"{url}/v1/shelves; done; echo",
        )


@contextlib.contextmanager
def running(*, grpc: bool = False) -> Iterator[Sample]:
    """Run the backend and the issuer until left. `grpc`: the backend speaks gRPC, and its REST API is made of that."""
    from authz.demo.issuer import Issuer

    with contextlib.ExitStack() as stack:
        issuer = Issuer()
        issuer.url = stack.enter_context(_serving(issuer.answer))
        if grpc:
            from authz.demo.rpc import documents, serving

            documented: tuple[SourceText, ...] = documents(issuer.url)
            backend = stack.enter_context(serving(documented[0]))
        else:
            text = resources.files(__name__).joinpath("bookstore.yaml").read_text()
            documented = (SourceText("bookstore.yaml", text.replace("${ISSUER}", issuer.url)),)
            backend = stack.enter_context(_serving(bookstore.answer))
        yield Sample(documented, backend, issuer.token(AUDIENCE), issuer.token("https://elsewhere.example.com"), grpc)


@contextlib.contextmanager
def _serving(answer: Callable[[str, str, dict[str, str]], bookstore.Reply]) -> Iterator[str]:
    server = Server(answer)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def shipped(name: str, *, checkout: str) -> Path:
    """A file that comes with the demo: beside this module once installed, elsewhere in a checkout."""
    installed = Path(str(resources.files(__name__).joinpath(name)))
    return installed if installed.exists() else Path(__file__).parents[2] / checkout
