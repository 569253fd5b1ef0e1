"""Opening the store: what is made, what is refused and with which words, and several processes at once."""

from __future__ import annotations

import json
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from authz.errors import StoreError, UsageError
from authz.model.auth import ApiKey, ConsumerKind, Restrictions
from authz.model.service import SourceText
from authz.store import migrations
from authz.store.engine import FILE_NAME
from authz.store.sql import open_store, open_url

NOON = 1_795_262_400.0
SHOP = "shop.example.com"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A data directory with a store in it that nobody has open."""
    store = open_store(tmp_path)
    store.add_consumer("ann", ConsumerKind.PROJECT, NOON)
    store.close()
    return tmp_path


@pytest.fixture
def locked(kept: Path) -> Iterator[Path]:
    """A data directory whose database another connection is writing to."""
    with closing(sqlite3.connect(kept / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield kept


def test_a_new_store_is_for_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "data"
    open_store(directory).close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / FILE_NAME).stat().st_mode) == 0o600


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    with closing(open_store(tmp_path)) as store:
        assert store.revision() == 0


def test_a_data_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"data directory .*file/data cannot be used: Not a directory") as refused:
        open_store(tmp_path / "file" / "data")
    assert "--data-dir" in refused.value.remedy


def test_a_directory_in_the_place_of_the_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(StoreError, match="Is a directory"):
        open_store(tmp_path)


def test_a_file_that_may_not_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(path: Path, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    # Whoever runs the tests may be allowed everything.
    monkeypatch.setattr("authz.store.engine.os.open", forbid)
    with pytest.raises(StoreError, match=r"cannot be used: Permission denied \(.*authz\.db\)"):
        open_store(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("openapi: 3.1.0\n" * 500)
    with pytest.raises(StoreError, match=r"authz\.db is not a database of ours, or is damaged") as refused:
        open_store(tmp_path)
    assert "backup" in refused.value.remedy
    assert (tmp_path / FILE_NAME).read_text().startswith("openapi"), "nothing is lost"


def test_a_damaged_database_is_refused(kept: Path) -> None:
    path = kept / FILE_NAME
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xff" * (len(data) - 100))
    with pytest.raises(StoreError, match="damaged"):
        open_store(kept)


def test_a_database_that_is_cut_off_never_ends_in_a_traceback(kept: Path) -> None:
    path = kept / FILE_NAME
    path.write_bytes(path.read_bytes()[:20000])

    def use() -> None:
        with closing(open_store(kept)) as store:
            store.live()
            store.keys()

    with pytest.raises(StoreError, match="damaged"):
        use()


def test_a_database_without_its_tables_is_refused_when_it_is_read(kept: Path) -> None:
    with closing(sqlite3.connect(kept / FILE_NAME)) as other:
        other.execute("DROP TABLE api_key")
    with closing(open_store(kept)) as store, pytest.raises(StoreError, match="no such table: api_key"):
        store.keys()


def test_a_database_of_a_newer_version_is_refused(kept: Path) -> None:
    with closing(sqlite3.connect(kept / FILE_NAME)) as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
        other.commit()
    with pytest.raises(StoreError, match=f"version '9999'.*knows up to '{migrations.HEAD}'") as refused:
        open_store(kept)
    assert "newer authz" in refused.value.remedy


def test_a_write_waits_for_another_and_then_gives_up(locked: Path) -> None:
    with (
        closing(open_store(locked, lock_seconds=0.05)) as store,
        pytest.raises(StoreError, match="locked by another process"),
    ):
        store.add_consumer("bob", ConsumerKind.PROJECT, NOON)


def test_readers_do_not_wait_for_a_writer(locked: Path) -> None:
    with closing(open_store(locked, lock_seconds=0.05)) as store:
        assert [consumer.name for consumer in store.consumers()] == ["ann"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        with pytest.raises(StoreError):
            store.add_config(SHOP, [SourceText(None, "text")], NOON)  # type: ignore[arg-type]
        assert store.configs() == []
        assert store.services() == []


def test_reads_of_one_question_see_one_moment(tmp_path: Path) -> None:
    """While `live` reads, a writer deploys: what comes back is all from before."""
    with closing(open_store(tmp_path)) as store, closing(open_store(tmp_path)) as other:
        store.add_deployment(SHOP, [SourceText("a.yaml", "one")], NOON)
        before = store.live()
        with store._read() as connection:
            from authz.store import feed

            assert feed.revision(connection) == before.revision
            other.add_deployment(SHOP, [SourceText("a.yaml", "two")], NOON)
            assert feed.revision(connection) == before.revision
        assert store.revision() == before.revision + 1


@pytest.mark.parametrize("url", ["", "no url", "oracle-of-delphi://host/name"])
def test_what_is_no_database_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="cannot be understood"):
        open_url(url)


def test_a_database_url_without_its_driver_names_the_package() -> None:
    with pytest.raises(UsageError, match="needs the Python package 'pymssql'") as refused:
        open_url("mssql+pymssql://ann:hunter2@127.0.0.1/authz")
    assert "hunter2" not in str(refused.value)


OPENER = """
import json, sys
from pathlib import Path
from authz.store.sql import open_store
from authz.model.service import SourceText
store = open_store(Path(sys.argv[1]))
ids = []
for number in range(10):
    ids.append(store.add_deployment("shop.example.com", [SourceText("a", sys.argv[2] + str(number))], 1795262400.0))
print(json.dumps([[deployed.config.id, deployed.rollout.id] for deployed in ids]))
"""


def test_processes_that_open_and_write_at_once_share_one_history(tmp_path: Path) -> None:
    """Both make the directory, the schema and configs; no id is given twice, and none is lost."""
    directory = tmp_path / "data"
    command = [sys.executable, "-W", "error", "-c", OPENER, str(directory)]
    running = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("a", "b")]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    wanted = {f"2026-11-21r{number}" for number in range(1, 21)}
    assert {config for answer in answers for config, _ in answer} == wanted
    assert {rollout for answer in answers for _, rollout in answer} == wanted
    with closing(open_store(directory)) as store:
        assert store.revision() == 20
        assert {config.id for config in store.configs()} == wanted


def test_opening_a_store_of_today_does_not_load_the_migrations(kept: Path) -> None:
    program = (
        "import sys, pathlib; from authz.store.sql import open_store; "
        "open_store(pathlib.Path(sys.argv[1])).close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(kept)], check=False).returncode == 0


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE api_key SET restrictions = '{}'",
        "UPDATE api_key SET services = '[\"a'",
        "UPDATE api_key SET services = '5'",
        "UPDATE api_key SET hint = CAST(x'ff' AS TEXT)",
        "UPDATE consumer SET status = 'unheard-of'",
        "UPDATE consumer SET kind = ''",
    ],
)
def test_a_key_that_was_damaged_in_place_is_an_error_and_never_a_key(kept: Path, damage: str) -> None:
    """A restriction that cannot be read must not become a key without restrictions."""
    with closing(open_store(kept)) as store:
        ann = store.consumer("ann")
        store.add_key(ApiKey("uid", bytes(32), ann, restrictions=Restrictions(allow_ips=("10.0.0.1",))))
    with closing(sqlite3.connect(kept / FILE_NAME)) as other:
        other.execute(damage)
        other.commit()
    with closing(open_store(kept)) as store, pytest.raises(StoreError, match=r"authz\.db .* is damaged"):
        store.key(bytes(32))


@pytest.mark.parametrize("seed", range(12))
def test_any_damage_is_an_error_for_people(kept: Path, seed: int) -> None:
    """Bytes that rot in the file end in no other error than a StoreError."""
    chance = random.Random(seed)
    data = bytearray((kept / FILE_NAME).read_bytes())
    for _ in range(400):
        data[chance.randrange(len(data))] = chance.randrange(256)
    (kept / FILE_NAME).write_bytes(data)
    with suppress(StoreError), closing(open_store(kept)) as store:
        for read in (store.live, store.keys, store.consumers, store.configs, store.overrides):
            read()
