"""How long a fresh interpreter takes to import and to write documents: `python declared.py METHODS`, or `python
declared.py import NAMES`. Prints seconds of CPU.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

PER_CLASS = 20


def imported(names: str) -> float:
    """Seconds until these names of `authz.frameworks` are there."""
    start = time.process_time()
    # The line that people write.
    exec(f"from authz.frameworks import {names}" if names else "import authz.frameworks", {})  # noqa: S102
    return time.process_time() - start


def written(methods: int) -> dict[str, float]:
    """Seconds to write the document of an API with so many methods, by version of OpenAPI."""
    from authz.frameworks.declare import apis
    from authz.frameworks.document import openapi

    services = _services(methods)
    taken = {}
    for version in ("2.0", "3.1"):
        start = time.process_time()
        (api,) = apis(services)
        document = openapi(api, version=version)
        taken[version] = time.process_time() - start
        operations = sum(len(item) for item in document["paths"].values())
        if operations != methods:
            raise SystemExit(f"the document has {operations} operations instead of {methods}")
    return taken


def _services(methods: int) -> list[Any]:
    from authz.frameworks import endpoints, messages, remote

    wide = endpoints.api(
        name="wide",
        version="v1",
        hostname="wide.example.test",
        api_key_required=True,
        audiences=["wide"],
        limit_definitions=[endpoints.LimitDefinition("reads", "Reads", 1000)],
    )
    which = endpoints.ResourceContainer(
        id=messages.StringField(1, required=True), tags=messages.StringField(2, repeated=True)
    )

    def method(name: str) -> Any:
        fields = {
            "id": messages.StringField(1, required=True),
            "count": messages.IntegerField(2, variant=messages.Variant.INT32, default=3),
            "tags": messages.StringField(3, repeated=True),
        }
        item = type(messages.Message)(f"Item{name}", (messages.Message,), {"__module__": __name__, **fields})

        def run(self: Any, request: Any) -> Any:
            """Find one."""

        run.__name__ = name
        return endpoints.method(which, item, path=f"{name}/{{id}}", http_method="GET", metric_costs={"reads": 1})(run)

    return [
        wide.api_class(resource_name=f"r{first}", path=f"r{first}")(
            type(
                f"Wide{first}",
                (remote.Service,),
                {f"m{n}": method(f"m{n}") for n in range(first, min(first + PER_CLASS, methods))},
            )
        )
        for first in range(0, methods, PER_CLASS)
    ]


def main() -> None:
    """Print what was asked for."""
    if sys.argv[1] == "import":
        print(imported(sys.argv[2]))
    else:
        print(max(written(int(sys.argv[1])).values()))


if __name__ == "__main__":
    main()
