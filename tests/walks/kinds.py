"""An API of every kind of value, in both styles: what it is sent, it sends back."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from authz.frameworks import endpoints, message_types, messages, remote
from authz.frameworks.typed import Api, Path, Query

V = messages.Variant


class Colour(messages.Enum):
    RED = 1
    GREEN = 2


class Inner(messages.Message):
    name = messages.StringField(1, required=True)
    number = messages.IntegerField(2, variant=V.INT32)


class Kinds(messages.Message):
    int32 = messages.IntegerField(1, variant=V.INT32)
    sint32 = messages.IntegerField(2, variant=V.SINT32)
    uint32 = messages.IntegerField(3, variant=V.UINT32)
    int64 = messages.IntegerField(4)
    uint64 = messages.IntegerField(5, variant=V.UINT64)
    double = messages.FloatField(6)
    float = messages.FloatField(7, variant=V.FLOAT)
    flag = messages.BooleanField(8)
    text = messages.StringField(9, required=True)
    data = messages.BytesField(10)
    colour = messages.EnumField(Colour, 11)
    moment = message_types.DateTimeField(12)
    inner = messages.MessageField(Inner, 13)
    texts = messages.StringField(14, repeated=True)
    inners = messages.MessageField(Inner, 15, repeated=True)
    colours = messages.EnumField(Colour, 16, repeated=True)
    numbers = messages.IntegerField(17, variant=V.INT32, repeated=True)


class Flat(messages.Message):
    int32 = messages.IntegerField(1, variant=V.INT32)
    uint32 = messages.IntegerField(2, variant=V.UINT32)
    int64 = messages.IntegerField(3)
    double = messages.FloatField(4)
    flag = messages.BooleanField(5)
    text = messages.StringField(6)
    colour = messages.EnumField(Colour, 7)
    texts = messages.StringField(8, repeated=True)
    numbers = messages.IntegerField(9, variant=V.INT32, repeated=True)


PARAMETERS = endpoints.ResourceContainer(
    number=messages.IntegerField(1, variant=V.INT32, required=True),
    shade=messages.EnumField(Colour, 2, required=True),
    int32=messages.IntegerField(3, variant=V.INT32),
    uint32=messages.IntegerField(4, variant=V.UINT32),
    int64=messages.IntegerField(5),
    double=messages.FloatField(6),
    flag=messages.BooleanField(7, required=True),
    text=messages.StringField(8),
    colour=messages.EnumField(Colour, 9),
    texts=messages.StringField(10, repeated=True),
    numbers=messages.IntegerField(11, variant=V.INT32, repeated=True),
)


@endpoints.api(name="kinds", version="v1", hostname="kinds.example.test", base_path="/", api_key_required=True)
class OldKinds(remote.Service):
    @endpoints.method(Kinds, Kinds, path="kinds", http_method="POST")
    def body(self, request: Any) -> Any:
        return request

    @endpoints.method(PARAMETERS, Flat, path="kinds/{number}/{shade}", http_method="GET")
    def parameters(self, request: Any) -> Any:
        names = [field.name for field in Flat.all_fields()]
        return Flat(**{name: getattr(request, name) for name in names})

    @endpoints.method(message_types.VoidMessage, path="nothing", http_method="POST")
    def nothing(self, _request: Any) -> None:
        return None


class Shade(enum.Enum):
    RED = "red"
    GREEN = "green"


class Part(BaseModel):
    name: str = Field(min_length=1, max_length=20)
    number: int | None = Field(default=None, ge=-5, le=5)


class Whole(BaseModel):
    integer: int = Field(ge=-(2**53), le=2**53)
    number: float
    flag: bool
    text: str
    shade: Shade
    moment: dt.datetime | None = None
    day: dt.date | None = None
    part: Part | None = None
    parts: list[Part] = Field(default=[], max_length=3)
    by_name: dict[str, int] = {}
    choice: Literal["a", "b"] = "a"


class Parameters(BaseModel):
    number: int
    shade: Shade
    limit: int
    flag: bool
    word: str | None
    sizes: list[int]


kinds = Api("kinds", "v1", hostname="kinds.example.test", base_path="/", api_key_required=True)


@kinds.post("kinds")
def body(whole: Whole) -> Whole:
    return whole


@kinds.get("kinds/{number}/{shade}")
async def parameters(
    number: Annotated[int, Path(ge=0, le=100)],
    shade: Shade,
    flag: bool,
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
    word: Annotated[str | None, Query(max_length=5)] = None,
    sizes: Annotated[list[int], Query()] = [],  # noqa: B006
) -> Parameters:
    return Parameters(number=number, shade=shade, limit=limit, flag=flag, word=word, sizes=sizes)


@kinds.post("nothing")
def nothing() -> None:
    return None


APIS: dict[str, list[Any]] = {"old": [OldKinds], "typed": [kinds]}
