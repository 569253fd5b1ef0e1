"""The sample backend: a bookstore over HTTP that says what the gateway told it about the caller."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

Reply = tuple[int, Any]
SHELVES: dict[str, dict[str, Any]] = {
    "1": {"theme": "Fiction", "books": {"1": "The Left Hand of Darkness", "2": "Solaris"}},
    "2": {"theme": "Cooking", "books": {"1": "On Food and Cooking"}},
}


class Server(ThreadingHTTPServer):
    """An HTTP server on a free loopback port, in a thread of its own."""

    daemon_threads = True

    def __init__(
        self, answer: Callable[[str, str, dict[str, str]], Reply], host: str = "127.0.0.1", port: int = 0
    ) -> None:
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
        super().__init__((host, port), handler)
        self._thread = threading.Thread(target=self.serve_forever, name="authz-demo", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        """Serve until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End and wait for the thread."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer: ClassVar[Callable[[str, str, dict[str, str]], Reply]]

    def _reply(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        status, body = type(self).answer(self.command, path, {k.lower(): v for k, v in self.headers.items()})
        data = json.dumps(body, indent=1).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _reply  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the gateway has an access log."""


def answer(method: str, path: str, headers: dict[str, str]) -> Reply:
    """What the bookstore answers. It trusts the gateway: whoever arrives here has been checked."""
    match [method, *path.removeprefix("/v1").strip("/").split("/")]:
        case ["GET", "status"]:
            return 200, {"open": True}
        case ["GET", "shelves"]:
            return 200, {"shelves": [{"shelf": name, "theme": shelf["theme"]} for name, shelf in SHELVES.items()]}
        case ["POST", "shelves"]:
            return 201, {"shelf": str(len(SHELVES) + 1), "caller": caller(headers)}
        case ["GET", "shelves", shelf, "books", book] if book in SHELVES.get(shelf, {"books": {}})["books"]:
            return 200, {"shelf": shelf, "book": book, "title": SHELVES[shelf]["books"][book]}
        case ["GET", "me"]:
            return 200, {"caller": caller(headers)}
    return 404, {"message": "The bookstore has no such thing."}


def caller(headers: dict[str, str]) -> dict[str, Any]:
    """What the gateway says of the caller, in the headers that only it can write."""
    info = headers.get("x-endpoint-api-userinfo")
    return {
        "consumer": headers.get("x-endpoint-api-consumer-number"),
        "claims": json.loads(base64.urlsafe_b64decode(info + "=" * (-len(info) % 4))) if info else None,
        "operation": headers.get("x-endpoint-api-operation-name"),
    }


def main() -> None:
    """Serve the bookstore on its own: `python -m authz.demo.bookstore [PORT]`, for docker-compose."""
    import sys

    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8082
    with Server(answer, host="0.0.0.0", port=port) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
