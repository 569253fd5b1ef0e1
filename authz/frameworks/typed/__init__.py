"""The style of type hints: functions, dataclasses and pydantic models become an API, without message classes.

    from authz.frameworks import typed

    shop = typed.Api("shop", "1.0.0")

    @shop.get("items/{id}")
    def item(id: int, fresh: bool = False) -> Item: ...

An argument that the path names is a part of the path; a dataclass, model or TypedDict is the body, or for GET and
DELETE the query; what else there is are parameters of the query, optional if they have a default. What the function
returns is the answer, and None is 204.
"""

from authz.frameworks.typed.api import Api
from authz.frameworks.typed.markers import Body, Path, Query

__all__ = ["Api", "Body", "Path", "Query"]
