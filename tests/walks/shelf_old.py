"""The shelf in the old library's words: message classes, resource containers, `endpoints.method`."""

from __future__ import annotations

from typing import Any

from authz.frameworks import endpoints, message_types, messages, remote


class Said(messages.Message):
    text = messages.StringField(1)


class Caller(messages.Message):
    subject = messages.StringField(1)
    issuer = messages.StringField(2)
    email = messages.StringField(3)
    groups = messages.StringField(4, repeated=True)


class Item(messages.Message):
    title = messages.StringField(1, required=True)
    price = messages.FloatField(2)


class Stored(messages.Message):
    id = messages.IntegerField(1, variant=messages.Variant.INT32)
    title = messages.StringField(2)
    price = messages.FloatField(3)
    dry = messages.BooleanField(4)


class Filter(messages.Message):
    name = messages.StringField(1)
    least = messages.IntegerField(2, variant=messages.Variant.INT32)


class Found(messages.Message):
    name = messages.StringField(1)
    least = messages.IntegerField(2, variant=messages.Variant.INT32)
    tags = messages.StringField(3, repeated=True)


TEXT = endpoints.ResourceContainer(text=messages.StringField(1))
ID = endpoints.ResourceContainer(id=messages.IntegerField(1, variant=messages.Variant.INT32))
PUT = endpoints.ResourceContainer(
    Item,
    id=messages.IntegerField(1, variant=messages.Variant.INT32),
    dry=messages.BooleanField(2),
)
SEARCH = endpoints.ResourceContainer(
    filter=messages.MessageField(Filter, 1), tags=messages.StringField(2, repeated=True)
)
STATUS = endpoints.ResourceContainer(status=messages.IntegerField(1, variant=messages.Variant.INT32))


class Teapot(endpoints.ServiceException):
    http_status = 418


REFUSALS: dict[int, type[Exception]] = {
    400: endpoints.BadRequestException,
    401: endpoints.UnauthorizedException,
    403: endpoints.ForbiddenException,
    404: endpoints.NotFoundException,
    409: endpoints.ConflictException,
    410: endpoints.GoneException,
    418: Teapot,
    500: RuntimeError,
}


def caller() -> Caller:
    user = endpoints.get_current_user()
    if user is None:
        return Caller()
    return Caller(
        subject=user.subject, issuer=user.issuer, email=user.email(), groups=list(user.claims.get("groups", ()))
    )


def declared(host: str, issuers: str) -> list[Any]:
    """The classes, for a host and the place of the issuers."""
    shelf = endpoints.api(
        name="shelf",
        version="1.2.0",
        description="Things on a shelf.",
        hostname=host,
        base_path="/api/",
        issuers={name: endpoints.Issuer(f"{issuers}/{name}", f"{issuers}/{name}/keys") for name in ("one", "two")},
        limit_definitions=[endpoints.LimitDefinition("reads", "Reads", 5)],
    )

    @shelf.api_class(resource_name="items")
    class Items(remote.Service):
        @endpoints.method(TEXT, Said, path="open", http_method="GET")
        def open(self, request: Any) -> Said:
            return Said(text=request.text or "open")

        @endpoints.method(TEXT, Said, path="keyed", http_method="GET", api_key_required=True)
        def keyed(self, request: Any) -> Said:
            return Said(text=request.text or "keyed")

        @endpoints.method(
            TEXT, Said, path="counted", http_method="GET", api_key_required=True, metric_costs={"reads": 2}
        )
        def counted(self, _request: Any) -> Said:
            return Said(text="counted")

        @endpoints.method(ID, path="items/{id}", http_method="DELETE", api_key_required=True)
        def remove(self, _request: Any) -> None:
            return None

        @endpoints.method(ID, Said, path="items/{id}", http_method="POST")
        def touch(self, request: Any) -> Said:
            return Said(text=f"touched {request.id}")

        @endpoints.method(PUT, Stored, path="items/{id}", http_method="PUT")
        async def put(self, request: Any) -> Stored:
            return Stored(id=request.id, title=request.title, price=request.price, dry=request.dry)

        @endpoints.method(ID, Said, path="items/{id}:publish", http_method="POST")
        def publish(self, request: Any) -> Said:
            return Said(text=f"published {request.id}")

        @endpoints.method(SEARCH, Found, path="search", http_method="GET")
        def search(self, request: Any) -> Found:
            wanted = request.filter or Filter()
            return Found(name=wanted.name, least=wanted.least, tags=request.tags)

        @endpoints.method(STATUS, message_types.VoidMessage, path="fail/{status}", http_method="GET")
        def fail(self, request: Any) -> None:
            raise REFUSALS[request.status](f"said {request.status}")

    @shelf.api_class(resource_name="callers", path="callers", audiences={"one": ["aud-a", "aud-b"]})
    class Callers(remote.Service):
        @endpoints.method(response_message=Caller, path="one", http_method="GET")
        def one(self, _request: Any) -> Caller:
            return caller()

        @endpoints.method(
            response_message=Caller, path="either", http_method="GET", audiences={"one": ["aud-a"], "two": ["aud-2"]}
        )
        async def either(self, _request: Any) -> Caller:
            return caller()

        @endpoints.method(response_message=Caller, path="clients", http_method="GET", allowed_client_ids=["web", "ios"])
        def clients(self, _request: Any) -> Caller:
            return caller()

        @endpoints.method(response_message=Caller, path="nobody", http_method="GET", allowed_client_ids=[])
        def nobody(self, _request: Any) -> Caller:
            return caller()

        @endpoints.method(response_message=Caller, path="any", http_method="GET", allowed_client_ids=["*"])
        def any(self, _request: Any) -> Caller:
            return caller()

        @endpoints.method(response_message=Caller, path="scopes", http_method="GET", scopes=["read", "write admin"])
        def scopes(self, _request: Any) -> Caller:
            return caller()

        @endpoints.method(response_message=Caller, path="both", http_method="GET", api_key_required=True)
        def both(self, _request: Any) -> Caller:
            return caller()

        @endpoints.method(response_message=Caller, path="optional", http_method="GET", optional_auth=True)
        def optional(self, _request: Any) -> Caller:
            return caller()

        @endpoints.method(response_message=Caller, path="anybody", http_method="GET", audiences={})
        def anybody(self, _request: Any) -> Caller:
            return caller()

    second = endpoints.api(name="shelf", version="2.0.0", hostname=host, base_path="/api/")

    @second
    class Second(remote.Service):
        @endpoints.method(TEXT, Said, path="open", http_method="GET")
        def open(self, _request: Any) -> Said:
            return Said(text="second")

        @endpoints.method(
            TEXT, Said, path="files/{text}", http_method="GET", api_key_required=True, use_request_uri=True
        )
        def file(self, request: Any) -> Said:
            return Said(text=request.text)

    readers = endpoints.api(
        name="readers",
        version="1.0.0",
        hostname=host,
        base_path="/api/",
        issuers={"google_id_token": endpoints.Issuer(f"{issuers}/two", f"{issuers}/two/keys")},
        audiences=["aud-list"],
    )

    @readers
    class Readers(remote.Service):
        @endpoints.method(response_message=Caller, path="me", http_method="GET")
        def me(self, _request: Any) -> Caller:
            return caller()

    return [Items, Callers, Second, Readers]
