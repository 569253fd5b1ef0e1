"""The feed forgets old revisions, and a reader never misses or invents a change."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.model.auth import ApiKey, ConsumerKind, ConsumerStatus
from authz.model.quota import Override
from authz.store import feed
from authz.store.base import Changes, Store
from authz.store.sql import open_store

NOON = 1_795_262_400.0
SHOP = "shop.example.com"


def test_a_reader_whom_the_feed_does_not_reach_is_told_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT_REVISIONS", 100)
    with closing(open_store(tmp_path)) as store:
        for value in range(201):
            store.set_override(Override(SHOP, _ann(store), "reads", value))
        assert store.revision() == 201
        assert store.changes(99) == Changes(201, all_keys=True, overrides=True)
        assert store.changes(100) == Changes(201, overrides=True)


def _ann(store: Store) -> int:
    ann = store.consumer("ann") or store.add_consumer("ann", ConsumerKind.PROJECT, NOON)
    return ann.number


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("key"), st.integers(0, 5)),
        st.tuples(st.just("revoke"), st.integers(0, 5)),
        st.tuples(st.just("override"), st.integers(0, 3)),
        st.tuples(st.just("status"), st.sampled_from([ConsumerStatus.ACTIVE, ConsumerStatus.SUSPENDED])),
        st.tuples(st.just("read"), st.just(0)),
    ),
    max_size=15,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_a_cache_that_follows_the_feed_shows_what_the_store_holds(steps: list[tuple[str, object]]) -> None:
    """The invariant that revocation rests on: after each reading, nothing remembered differs from what is kept."""
    digests = [hashlib.sha256(bytes([number])).digest() for number in range(6)]
    with tempfile.TemporaryDirectory() as directory, closing(open_store(Path(directory))) as store:
        ann = store.add_consumer("ann", ConsumerKind.PROJECT, NOON)
        remembered: dict[bytes, ApiKey | None] = dict.fromkeys(digests)
        overrides, seen = store.overrides(), store.revision()
        for moment, (step, value) in enumerate([*steps, ("read", 0)]):
            if step == "key" and store.key(digests[value]) is None:
                store.add_key(ApiKey(f"uid-{value}", digests[value], ann))
            elif step == "revoke" and store.key(digests[value]) is not None:
                store.revoke_key(f"uid-{value}", NOON - moment)
            elif step == "override":
                store.set_override(Override(SHOP, ann.number, "reads", value))
            elif step == "status":
                store.set_consumer_status("ann", value)
            elif step == "read":
                changes = store.changes(seen)
                seen = changes.revision
                for digest in digests if changes.all_keys else changes.keys:
                    remembered[digest] = store.key(digest)
                overrides = store.overrides() if changes.overrides else overrides
                assert remembered == {digest: store.key(digest) for digest in digests}
                assert overrides == store.overrides()
