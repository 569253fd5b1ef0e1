"""A gRPC backend that costs as little as Python can: the sidecar's own transport, and an answer that is there already.

`python rpc_upstream.py PORT`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from authz.transport.nghttp2 import Nghttp2Transport  # noqa: E402 - the path comes first
from bench import protos  # noqa: E402


def _answer(_: bytes) -> bytes:
    return protos.ANSWER


async def _serve(port: int) -> None:
    methods = {f"/{protos.SERVICE}/{name}": _answer for name in protos.GUARDS}
    await Nghttp2Transport(methods, f"127.0.0.1:{port}").start()
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
