"""gRPC services that cannot be deployed: who tries reads file, line and remedy, and what was live stays live."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from authz.admin import rollouts
from harness.grpc_library import LIBRARY, PROTO
from harness.grpc_protos import compiled
from harness.grpc_stage import encoded
from walks.rpc_place import SERVICE, Stage, a_stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHELF = 'get: "/v1/shelves/{shelf}"'
LINE = {text: PROTO[: PROTO.index(text)].count("\n") + 1 for text in (SHELF, "message Empty", "rpc DeleteShelf")}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, transport: str) -> AsyncIterator[Stage]:
    async with a_stage(tmp_path_factory, transport) as there:
        yield there


def with_rule(rule: str) -> str:
    return f"{SERVICE}http:\n  rules:\n  - {rule}\n"


def without_imports() -> bytes:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    whole = FileDescriptorSet.FromString(compiled({"library/v1/library.proto": PROTO}))
    return FileDescriptorSet(file=whole.file[-1:]).SerializeToString()


def changed(before: str, after: str) -> dict[str, str | bytes]:
    assert before in PROTO
    return {"library.proto": PROTO.replace(before, after, 1), "api.yaml": SERVICE}


RULES = SERVICE.count("\n") + 3  # the line of the rule that `with_rule` adds
MISTAKES: dict[str, tuple[dict[str, str | bytes], str, str]] = {
    # files; where; what
    "a proto with a syntax error": (
        changed("message Empty {}", "message Empty {{}"),
        f"library.proto:{LINE['message Empty']}",
        "Expected",
    ),
    "a type that is not there": (
        changed("(ShelfRequest) returns (Empty)", "(Nobody) returns (Empty)"),
        f"library.proto:{LINE['rpc DeleteShelf']}",
        '"Nobody" is not defined',
    ),
    "an import that is not there": (
        changed('import "google/protobuf/struct.proto";', 'import "elsewhere/struct.proto";'),
        "library.proto:7",
        "elsewhere/struct.proto",
    ),
    "a set without its imports": ({"api.pb": without_imports(), "api.yaml": SERVICE}, "api.pb", "--include_imports"),
    "no descriptor set at all": ({"api.pb": b"\xff" * 64, "api.yaml": SERVICE}, "api.pb", "FileDescriptorSet"),
    "two services of one name": (
        {"library.proto": PROTO, "other.proto": PROTO.replace("rpc Open", "rpc Close"), "api.yaml": SERVICE},
        "other.proto:",
        "already defined",
    ),
    "two sets that differ about one file": (
        {
            "a.pb": compiled({"library/v1/library.proto": PROTO}),
            "b.pb": compiled({"library/v1/library.proto": PROTO.replace("rpc Open", "rpc Close")}),
            "api.yaml": SERVICE,
        },
        "b.pb",
        "library/v1/library.proto",
    ),
    "two RPCs on one path": (
        changed('delete: "/v1/shelves/{shelf}"', 'get: "/v1/shelves/{shelf}"'),
        f"library.proto:{LINE['rpc DeleteShelf']}",
        "GET /v1/shelves/{shelf} matches the same paths",
    ),
    "two paths that only variables tell apart": (
        changed('delete: "/v1/shelves/{shelf}"', 'get: "/v1/shelves/{theme}"'),
        f"library.proto:{LINE['rpc DeleteShelf']}",
        "matches the same paths",
    ),
    "a rule on the path of another RPC": (
        {
            "library.proto": PROTO,
            "api.yaml": with_rule(f"{{selector: {LIBRARY}.TouchAny, post: /{LIBRARY}/ArchiveShelf, body: '*'}}"),
        },
        f"api.yaml:{RULES}",
        "matches the same paths",
    ),
    "a rule for a method that is not there": (
        {"library.proto": PROTO, "api.yaml": with_rule(f"{{selector: {LIBRARY}.GetShelves, get: /v1/all}}")},
        f"api.yaml:{RULES}",
        f"{LIBRARY}.GetShelves",
    ),
    "a variable without a field": (
        changed(SHELF, 'get: "/v1/shelves/{shelve}"'),
        f"library.proto:{LINE[SHELF] - 1}",
        "shelve",
    ),
    "a body without a field": (
        changed('/shelves" body: "shelf" }', '/shelves" body: "shelve" }'),
        "library.proto:",
        "shelve",
    ),
    "a path that is no template": (changed(SHELF, 'get: "v1/shelves/{shelf"'), "library.proto:", "v1/shelves/{shelf"),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_a_mistake_is_told_and_changes_nothing(stage: Stage, tmp_path: Path, name: str) -> None:
    files, where, what = MISTAKES[name]
    for file, content in files.items():
        (tmp_path / file).write_bytes(content.encode() if isinstance(content, str) else content)
    before = rollouts.list_rollouts(stage.running.store)

    code, said = await deploying(stage, tmp_path, *files)

    assert code == 2, said
    assert "Traceback" not in said
    assert str(tmp_path) not in said
    # However a narrow terminal breaks it.
    words = re.sub(r"\s+", " ", said)
    assert where in words
    assert what in words
    assert rollouts.list_rollouts(stage.running.store) == before
    assert (await stage.rest("GET /v1/shelves/5", None, stage.key())).json() == {"id": "5", "theme": "default"}
    assert await stage.grpc("TouchAny", encoded("FileRequest", name="x")) == (0, "")


async def test_without_the_mistake_it_deploys(stage: Stage, tmp_path: Path) -> None:
    files = {"library.proto": PROTO, "api.yaml": with_rule(f"{{selector: {LIBRARY}.TouchAny, get: '/v2/{{name=**}}'}}")}
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    code, said = await deploying(stage, tmp_path, *files)

    assert code == 0, said
    assert (await stage.rest("GET /v2/a/b")).json() == {"name": "a/b"}


async def deploying(stage: Stage, directory: Path, *files: str) -> tuple[int | None, str]:
    """`authz deploy FILES` as a process of its own: its exit code and what it said."""
    data = stage.running.settings.data_dir
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "authz", "deploy", *files, "--data-dir", str(data),
        cwd=directory, env={**os.environ, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode, said.decode()
