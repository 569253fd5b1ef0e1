"""`python -m authz` and the command `authz`: the command line, given what it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz import cli
from authz.cli.run import Screen, UpRequest

if TYPE_CHECKING:
    from authz.settings import Settings


class _App:
    """The runners of `app`, which is imported when one is asked to run: most commands start no process."""

    def up(self, request: UpRequest, screen: Screen) -> int:
        from authz.app import Runners

        return Runners().up(request, screen)

    def serve(self, settings: Settings, screen: Screen) -> int:
        from authz.app import Runners

        return Runners().serve(settings, screen)

    def demo(self, settings: Settings, screen: Screen) -> int:
        from authz.app import Runners

        return Runners().demo(settings, screen)


def main() -> None:
    """The console script."""
    cli.main(_App())


if __name__ == "__main__":
    main()
