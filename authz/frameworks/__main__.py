"""The processes that run user code: `serve` serves what it declares, `write` writes its documents for `authz up`.

    python -m authz.frameworks serve main:EchoApi --port 8000

Both can speak to the program that started them: one JSON object on standard output, and all else on standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from authz.errors import AuthzError, StateError, UsageError
from authz.frameworks.load import GatewayOnly, application, documents, load, shown
from authz.frameworks.serve.options import SECRET_VARIABLE
from authz.frameworks.users import DEFAULT_PREFIX

GRACE_SECONDS = 5
"""How long requests may take to end once the process is told to."""
IDLE_SECONDS = 7200
"""How long a connection may be idle: longer than Envoy keeps one (an hour), or a call would meet one that just ends."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of them; gives the exit code."""
    options = _parser().parse_args(arguments)
    tell = _program() if options.json else _people
    try:
        return int(options.run(options, tell))
    except KeyboardInterrupt:
        return 0  # uvicorn raises it when all has ended
    except AuthzError as error:
        tell({"error": error.message, "remedy": error.remedy})
        return error.exit_code
    except Exception as error:
        if not options.json:
            raise
        traceback.print_exc()
        tell({"error": f"unexpected {type(error).__name__}: {error}", "remedy": "The lines above say where."})
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m authz.frameworks", description="Run decorated classes.")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, sentence in (
        ("serve", _serve, "Serve APIs over HTTP/1.1, with uvicorn."),
        ("write", _write, "Write the OpenAPI documents of APIs."),
    ):
        verb = verbs.add_parser(name, help=sentence, description=sentence)
        verb.set_defaults(run=run)
        verb.add_argument("words", nargs="+", metavar="MODULE[:NAME,...]")
        verb.add_argument("--application", metavar="DIR", default=".", help="where modules are looked for first [.]")
        verb.add_argument("--json", action="store_true", help="speak to a program, and end when it does")
        if run is _serve:
            verb.add_argument("--host", default="127.0.0.1", help="address to listen on [127.0.0.1]")
            verb.add_argument("--port", type=int, default=0, help="port to listen on; 0: a free one [0]")
            verb.add_argument(
                "--gateway-only", action="store_true", help=f"answer only who sends what {SECRET_VARIABLE} says"
            )
            verb.add_argument("--header-prefix", default=DEFAULT_PREFIX, help=f"the gateway's [{DEFAULT_PREFIX}]")
        else:
            verb.add_argument("--hostname", help="the host of APIs that name none")
    return parser


# -- who reads --------------------------------------------------------------------------------------------------------

Tell = Callable[[dict[str, Any]], None]


def _people(said: dict[str, Any]) -> None:
    if "error" in said:
        sys.stderr.write("\n  ".join(filter(None, [f"error: {said['error']}", said["remedy"]])) + "\n")
    for one in said.get("documents", ()):
        sys.stdout.write(one["text"])
    if "url" in said:
        sys.stdout.write(f"{', '.join(said['apis'])} on {said['url']}   (Ctrl-C stops)\n")
        sys.stdout.flush()


def _program() -> Tell:
    """Keep standard output for one object; what user code prints joins standard error. End when the reader does.

    User code has no standard input: that one is the reader's sign of life.
    """
    alive = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()

    def tell(said: dict[str, Any]) -> None:
        own.write(json.dumps(said) + "\n")
        own.flush()

    return tell


def _end_with(stream: BinaryIO) -> None:
    stream.read()
    os._exit(1)


# -- the verbs --------------------------------------------------------------------------------------------------------


def _write(options: argparse.Namespace, tell: Tell) -> int:
    things = load(options.words, options.application)
    made = documents(things, hostname=options.hostname, place=options.application)
    tell({"documents": [{"file": one.file, "text": one.text} for one in made]})
    return 0


def _serve(options: argparse.Namespace, tell: Tell) -> int:
    things = load(options.words, options.application)
    names = list(shown(things, options.application))
    app = application(things, header_prefix=options.header_prefix, place=options.application)
    if options.gateway_only:
        app = GatewayOnly(app, os.environ.get(SECRET_VARIABLE) or _no_secret())
    listener = _listener(options.host, options.port)
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return asyncio.run(_run(app, listener, lambda: tell({"url": url, "apis": names})))


def _no_secret() -> NoReturn:
    raise UsageError("--gateway-only needs a secret", f"Set {SECRET_VARIABLE} here and for the gateway.")


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise StateError(f"{host}:{port} cannot be listened on: {error.strerror}", "Choose another --port.") from None


async def _run(app: Any, listener: socket.socket, ready: Callable[[], None]) -> int:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if not self.should_exit:
                ready()

    # Who calls is the gateway, whatever X-Forwarded-For says: what is trusted is trusted by its address or secret.
    server = Server(
        uvicorn.Config(
            app, log_level="warning", access_log=False, proxy_headers=False, server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS, timeout_keep_alive=IDLE_SECONDS,
        )
    )  # fmt: skip
    await server.serve(sockets=[listener])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
