"""`python crowd.py HOST PORT COUNT`: so many connections at once, from a process with files of its own.

Prints how many were greeted and how many turned away, and stays until its standard input ends.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import sys

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def main(host: str, port: int, count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd: list[socket.socket] = []
    greeted = 0
    while len(crowd) < count:  # in parts that the server's queue holds: else they wait a second for another try
        part = [socket.create_connection((host, port), timeout=30) for _ in range(min(500, count - len(crowd)))]
        greeted += sum(map(_is_greeted, part))
        crowd += part
    print(greeted, count - greeted, flush=True)
    sys.stdin.read()


def _is_greeted(one: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        one.sendall(PREFACE)
        return bool(one.recv(1))
    return False


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
