"""Where the workers of one machine listen, each at a place of its own."""

from __future__ import annotations

from authz.errors import UsageError
from authz.setting import MAX_PORT
from authz.transport.address import Tcp, Unix, parse


def endpoints(first: str, workers: int) -> tuple[str, ...]:
    """The addresses of so many workers: the following ports, or the following names PATH.1, PATH.2 of a Unix socket.

    Port 0 stays: each worker takes a free one.

    Raises:
        UsageError: it is no address, or there are not so many ports behind it.
    """
    place = parse(first)
    if isinstance(place, Tcp) and place.port and place.port + workers - 1 > MAX_PORT:
        raise UsageError(
            f"{workers} workers need the ports from {place.port} to {place.port + workers - 1}, and {MAX_PORT} is the "
            "last one.", "Choose a lower port in sidecar_address, or fewer workers.",
        )  # fmt: skip
    return first, *(str(_next(place, number)) for number in range(1, workers))


def _next(place: Tcp | Unix, number: int) -> Tcp | Unix:
    if isinstance(place, Unix):
        return Unix(place.path.with_name(f"{place.path.name}.{number}"))
    return Tcp(place.host, place.port + number) if place.port else place
