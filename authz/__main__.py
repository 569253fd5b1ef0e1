"""`python -m authz` and the command `authz`: the command line, given what it runs."""

from __future__ import annotations

import os

from authz import cli
from authz.cli.runners import Runners, Screen, UpRequest
from authz.settings import Settings


def _runners() -> Runners:
    # Envoy is started by a fork and an exec; gRPC, which must be told before it is imported, has no part in it.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    # Its own log repeats, less clearly, what our errors say.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from authz import app

    return app.Runners()


class _App:
    """The runners of `app`, which is imported when one is asked to run: most commands start no process."""

    def up(self, request: UpRequest, screen: Screen) -> int:
        return _runners().up(request, screen)

    def serve(self, settings: Settings, screen: Screen) -> int:
        return _runners().serve(settings, screen)

    def demo(self, settings: Settings, screen: Screen, *, grpc: bool = False) -> int:
        return _runners().demo(settings, screen, grpc=grpc)


def main() -> None:
    """The console script."""
    cli.main(_App())


if __name__ == "__main__":
    main()
