"""How tests run: which must have the machine for themselves, and on which examples properties are tried.

`python -m tests` runs most files side by side, then those that are marked `alone`. Property tests try the same examples
wherever a commit is tested; `--hypothesis-profile random` looks for counterexamples that nobody has seen.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No example has a deadline: what a busy machine takes for it says nothing of the code.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None)
settings.load_profile("same")

# The other one takes the empty `authorizationUrl` that Google's own documents have for no URL.
os.environ["OPENAPI_SPEC_VALIDATOR_SCHEMA_VALIDATOR_BACKEND"] = "jsonschema"

HERE = Path(__file__).parent
ALONE = (
    "bench",  # it measures
    "scale",  # memory, and how much more work costs with much more data
    "quota/counters/redis/test_chaos.py",  # a Redis that is killed, and who waits for how long
    "quota/counters/test_leases_many.py",  # processes that must be quick enough for each other
    "quota/counters/test_many.py",  # memory, and pauses
    "transport/test_bad_peers.py",  # ten thousand connections
    "transport/test_fuzz.py",  # memory
    "walks/test_recovery.py",  # what is killed under load, and what its callers see
    "walks/test_sidecars.py",
    "walks/test_workers.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what looks at time or memory, or takes much of either."""
    for item in items:
        if item.path.relative_to(HERE).as_posix().startswith(ALONE):
            item.add_marker(pytest.mark.alone)
