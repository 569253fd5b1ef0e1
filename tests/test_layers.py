"""HOUSE rules that a machine can hold: which room may import which, where a library lives, how long things are."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import authz

ROOT = Path(authz.__file__).parent

LAYERS = {
    "__main__": 7, "app": 7, "demo": 7,
    "cli": 6, "console": 6,
    "admin": 5, "rollout": 5, "sidecar": 5,
    "check": 4, "quota": 4, "xds": 4, "frameworks": 4, "transport": 4,
    "rulebook": 3, "sources": 3, "store": 3,
    "model": 2,
    "telemetry": 1, "proxy": 1, "tls": 1, "details": 1, "backend": 1,
    "wire": 0, "settings": 0, "protobuf": 0, "futures": 0, "garbage": 0,
    "setting": -1,
    "errors": -2,  # what any module may raise, settings too
}  # fmt: skip

# The composition root is the only file that knows everybody; __main__ hands it to the command line.
KNOWS_ITS_PEERS = {"__main__", "app"}

HOMES = {
    "yaml": {"sources/syntax/", "cli/screen.py", "frameworks/adapters/operations.py"},
    "jwt": {"check/jwt.py", "frameworks/serve/tokens/"},
    "aiohttp": {"check/fetch.py"},
    "yarl": {"check/fetch.py"},
    "sqlalchemy": {"store/"},
    "alembic": {"store/"},
    "redis": {"quota/counters/redis/"},
    "ngh2": {"transport/http2.py"},
    "grpc_tools": {"sources/protos/compile.py"},
    "grpc": {"transport/grpcio.py", "xds/server.py", "app.py", "demo/"},
    "click": {"cli/"},
    "rich": {"cli/"},
    "envoy_data_plane": {"xds/"},
    "pydantic": {"frameworks/typed/"},
    "pydantic_core": {"frameworks/typed/"},
    "fastapi": {"frameworks/adapters/"},
    "flask": {"frameworks/adapters/"},
    "starlette": {"frameworks/adapters/"},
    "werkzeug": {"frameworks/adapters/"},
    "uvicorn": {"frameworks/__main__.py"},
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "authz":
                yield from (f"authz.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_arrows_point_down(name: str, path: Path) -> None:
    """No module imports its own layer's neighbours or a layer above."""
    room = name.split("/", maxsplit=1)[0].removesuffix(".py")
    if room == "__init__":
        return
    for imported in imports(path):
        parts = imported.split(".")
        if parts[0] != "authz" or len(parts) == 1 or parts[1] == room or parts[1] == "__version__":
            continue
        below = LAYERS[parts[1]] < LAYERS[room]
        assert below or room in KNOWS_ITS_PEERS, f"{name} imports {imported}"


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_libraries_have_one_home(name: str, path: Path) -> None:
    """A third-party library is imported by the files that are its home, and nowhere else."""
    for imported in imports(path):
        homes = HOMES.get(imported.partition(".")[0])
        assert homes is None or any(name == h or (h.endswith("/") and name.startswith(h)) for h in homes), (
            f"{name} imports {imported}, whose home is {sorted(homes or ())}"
        )


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_no_module_is_over_400_lines(name: str, path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400, name


def test_rooms_hold_at_most_nine_modules() -> None:
    for room in (p for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith("__")):
        count = sum(1 for p in room.glob("*.py") if p.name != "__init__.py")
        assert count <= 9 or room.name == "cli", f"{room.name} has {count} modules"


def test_functions_are_short() -> None:
    """The median function has at most 8 lines, nine in ten at most 30."""
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for _, path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[len(lengths) // 2] <= 8
    assert lengths[len(lengths) * 9 // 10] <= 30


def test_importing_any_module_needs_nothing() -> None:
    """No module reads the environment, opens a file or starts anything when it is imported."""
    names = [f"authz.{name.removesuffix('.py').replace('/', '.').removesuffix('.__init__')}" for name, _ in modules()]
    wanted = [n for n in names if not n.endswith(("__main__", "__init__")) and ".migrations" not in n]
    code = f"import importlib\nfor name in {wanted!r}: importlib.import_module(name)"
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert importlib.import_module("authz").__doc__
