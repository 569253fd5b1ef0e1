"""Paths and methods in an order in which every RPC's first binding comes first, as far as there is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.sources.write.order import ordered


@pytest.mark.parametrize(
    ("chains", "slots"),
    [
        ([], []),
        ([[("/a", "get")]], [("/a", "get")]),
        ([[("/b", "get")], [("/a", "get")]], [("/b", "get"), ("/a", "get")]),
        # Methods of one path stand together.
        (
            [[("/a", "get")], [("/b", "get")], [("/a", "post")]],
            [("/a", "get"), ("/a", "post"), ("/b", "get")],
        ),
        # The second RPC's first path goes before the path that it shares with the first.
        (
            [[("/a", "get")], [("/b", "post"), ("/a", "post")]],
            [("/b", "post"), ("/a", "get"), ("/a", "post")],
        ),
        # Further bindings may come in another order.
        (
            [[("/a", "get"), ("/b", "get"), ("/a", "head")]],
            [("/a", "get"), ("/a", "head"), ("/b", "get")],
        ),
    ],
)
def test_the_first_of_each_comes_first(chains, slots):
    assert ordered(chains) == (slots, [])


def test_two_that_share_two_paths_crosswise_cannot_both_have_it():
    chains = [[("/a", "get"), ("/b", "post")], [("/b", "get"), ("/a", "post")]]

    assert ordered(chains) == ([("/a", "get"), ("/a", "post"), ("/b", "post"), ("/b", "get")], [1])


SLOTS = st.tuples(st.sampled_from("abcdef"), st.sampled_from(["get", "put", "post"]))
CHAINS = st.lists(SLOTS, unique=True).flatmap(
    lambda slots: st.lists(st.integers(0, 4), min_size=len(slots), max_size=len(slots)).map(
        lambda owners: [
            [slot for slot, owner in zip(slots, owners, strict=True) if owner == number] for number in range(5)
        ]
    )
)


@given(CHAINS)
def test_nothing_is_lost_and_what_is_in_order_stays_so(chains):
    slots, broken = ordered(chains)

    assert sorted(slots) == sorted(slot for chain in chains for slot in chain)
    paths = [path for path, _ in slots]
    assert len(dict.fromkeys(paths)) == sum(one != other for one, other in zip(["", *paths], paths, strict=False))
    for number, chain in enumerate(chains):
        if chain and number not in broken:
            assert min(chain, key=slots.index) == chain[0]
