"""FastAPI, Starlette and Flask behind the gateway: documents say what routes declare, and who calls is known."""

# ruff: noqa: A002 - `id` is what people call it

from __future__ import annotations

import json
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.security import APIKeyHeader
from flask import Blueprint, Flask, jsonify, stream_with_context
from flask.views import MethodView
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Host, Mount, Route, WebSocketRoute

from authz.frameworks import adapters
from authz.frameworks.exceptions import ApiConfigurationError, InvalidGetUserCall
from authz.frameworks.types import Issuer, LimitDefinition
from authz.frameworks.users import User, get_current_user
from authz.model.quota import Cost
from authz.model.service import Operation, SourceText
from authz.sources.compile import compile_texts
from frameworks.callers import Ask, Reply, asgi, wsgi
from frameworks.conformance import conforms

ISSUERS = {"firebase": Issuer("https://firebase.example", "https://firebase.example/keys")}
LIMITS = [LimitDefinition("reads", "Reads", 100), LimitDefinition("page_reads", "Pages", 10)]


class Item(BaseModel):
    id: int
    name: str


def declared(app: Any, **said: Any) -> Any:
    return adapters.declare(app, hostname="shop.example.com", issuers=ISSUERS, limit_definitions=LIMITS, **said)


def a_fastapi() -> FastAPI:
    app = FastAPI(title="My shop", version="1.2.0")
    router = APIRouter(prefix="/sub")

    @app.get("/items/{id}")
    @adapters.protect(api_key_required=True, metric_costs={"reads": 2})
    def item(id: int, limit: Annotated[int, Query(ge=1)] = 1) -> Item:
        return Item(id=id, name=str(limit))

    @adapters.protect(
        audiences={"firebase": ["shop"]}, scopes=["a", "b c"], allowed_client_ids=["web"], optional_auth=True
    )
    @app.post("/items/", status_code=201)
    async def create(item: Item) -> Item:
        return item

    @router.get("/files/{path:path}")
    def files(path: str) -> str:
        return path

    @app.get("/own", dependencies=[Depends(APIKeyHeader(name="X-Own"))])
    def own() -> None: ...

    app.include_router(router, prefix="/v1")
    return declared(app)  # type: ignore[no-any-return]


@adapters.protect(api_key_required=True)
async def star(request: Request) -> JSONResponse:
    """One star.

    More of it.
    ---
    parameters:
      - {name: big, in: query, schema: {type: boolean}}
    responses:
      200:
        description: A star
        content: {application/json: {schema: {type: object, properties: {id: {type: integer}}, required: [id]}}}
    """
    return JSONResponse({"id": request.path_params["id"]})


@adapters.protect(api_key_required=True, metric_costs={"reads": 1})
class Pages(HTTPEndpoint):
    async def get(self, request: Request) -> JSONResponse:
        """All pages: each of them."""
        return JSONResponse([request.path_params["path"]])

    @adapters.protect(metric_costs={"page_reads": 3})
    async def post(self, request: Request) -> JSONResponse:
        return JSONResponse({})


def a_starlette() -> Starlette:
    routes = [
        Route("/stars/{id:int}", star),
        Mount("/book", routes=[Route("/pages/{path:path}", Pages), Route("/hidden", star, include_in_schema=False)]),
        Host("api.example.com", Starlette(routes=[Route("/hosted/", star, methods=["PUT"])])),
        WebSocketRoute("/socket", star),
    ]
    return declared(Starlette(routes=routes), name="stars", version="2.0.0", description="Stars")  # type: ignore[no-any-return]


def a_flask() -> Flask:
    app = Flask("shops")
    admin = Blueprint("admin", __name__, url_prefix="/admin")

    @app.get("/items/<int(min=1):id>/<any(red, blue):colour>")
    @adapters.protect(api_key_required=True, metric_costs={"reads": 2})
    def find_item(id: int, colour: str) -> Any:
        """One item.
        ---
        responses:
          200:
            description: An item
            content: {application/json: {schema: {type: object, required: [id, colour]}}}
          404: {description: There is none}
        """
        return jsonify(id=id, colour=colour)

    class Files(MethodView):
        init_every_request = False

        def get(self, name: str) -> str:
            return name

        @adapters.protect(audiences={"firebase": ["shop"]})
        def put(self, name: str) -> str:
            return name

    @admin.route("/<string(length=2):code>/<float:share>/<uuid:id>/", methods=["GET", "DELETE"])
    def both(code: str, share: float, id: Any) -> str:
        return code

    app.add_url_rule("/files/<path:name>", view_func=Files.as_view("files"))
    app.register_blueprint(admin)
    return declared(app)  # type: ignore[no-any-return]


APPS = {"fastapi": a_fastapi, "starlette": a_starlette, "flask": a_flask}


def compiled(document: dict[str, Any]) -> dict[str, Operation]:
    """The operations that a gateway makes of a document, by method and path."""
    found = compile_texts([SourceText("app.json", json.dumps(document))])
    assert [one.message for one in found.findings if one.code != "security-scopes"] == []
    (config,) = found.configs
    assert config.name == "shop.example.com"
    return {f"{one.method} {one.template.text}": one for one in config.operations}


def test_fastapi() -> None:
    document = adapters.describe(a_fastapi())
    assert document is not None
    found = compiled(document)
    assert set(found) == {"GET /items/{id}", "POST /items", "GET /v1/sub/files/{path=**}", "GET /own"}
    item, create = found["GET /items/{id}"], found["POST /items"]
    assert (item.costs, item.requirement.alternatives[0].needs_key) == ((Cost("reads", 2),), True)
    tokens = [way.jwt for way in create.requirement.alternatives if way.jwt]
    assert create.requirement.optional
    assert [(token.scopes, token.client_ids) for token in tokens] == [(("a",), ("web",)), (("b", "c"), ("web",))]
    assert found["GET /own"].requirement.alternatives == ()
    assert document["info"] == {"title": "My shop", "version": "1.2.0"}
    assert document["components"]["schemas"]["Item"]["required"] == ["id", "name"]
    assert adapters.info(a_fastapi()) == ("My-shop", "1.2.0")


def test_fastapi_s_own_document_stays_as_it_is() -> None:
    app = a_fastapi()
    before = json.dumps(app.openapi())
    adapters.describe(app)
    assert json.dumps(app.openapi()) == before


def test_starlette() -> None:
    document = adapters.describe(a_starlette())
    assert document is not None
    found = compiled(document)
    assert set(found) == {
        "GET /stars/{id}", "GET /book/pages/{path=**}", "POST /book/pages/{path=**}", "PUT /hosted",
    }  # fmt: skip
    assert found["POST /book/pages/{path=**}"].costs == (Cost("page_reads", 3),)
    assert found["POST /book/pages/{path=**}"].requirement.alternatives[0].needs_key
    assert document["info"] == {"title": "stars", "version": "2.0.0", "description": "Stars"}
    one = document["paths"]["/stars/{id}"]["get"]
    assert (one["summary"], one["responses"]["200"]["description"]) == ("One star.", "A star")
    assert [parameter["name"] for parameter in one["parameters"]] == ["big", "id"]
    assert document["paths"]["/book/pages/{path}"]["get"]["summary"] == "All pages: each of them."


def test_flask() -> None:
    document = adapters.describe(a_flask())
    assert document is not None
    found = compiled(document)
    assert set(found) == {
        "GET /items/{id}/{colour}", "GET /files/{name=**}", "PUT /files/{name=**}", "GET /admin/{code}/{share}/{id}",
        "DELETE /admin/{code}/{share}/{id}",
    }  # fmt: skip
    assert found["GET /items/{id}/{colour}"].costs == (Cost("reads", 2),)
    assert [bool(found[f"{verb} /files/{{name=**}}"].requirement.alternatives) for verb in ("GET", "PUT")] == [
        False,
        True,
    ]
    one = document["paths"]["/items/{id}/{colour}"]["get"]
    assert (one["operationId"], one["summary"], list(one["responses"])) == ("findItem", "One item.", ["200", "404"])
    assert [parameter["schema"] for parameter in one["parameters"]] == [
        {"type": "integer", "minimum": 1}, {"type": "string", "enum": ["red", "blue"]},
    ]  # fmt: skip
    admin = document["paths"]["/admin/{code}/{share}/{id}"]["get"]["parameters"]
    assert [parameter["schema"] for parameter in admin] == [
        {"type": "string", "minLength": 2, "maxLength": 2},
        {"type": "number", "minimum": 0},
        {"type": "string", "format": "uuid"},
    ]
    assert adapters.info(a_flask()) == ("shops", "1.0.0")


def test_what_a_flask_view_returns_is_in_its_document() -> None:
    app = Flask("shop")

    @app.get("/list")
    def several() -> list[Item]: ...

    @app.get("/one")
    def one() -> Item:
        """One.
        ---
        responses: {200: {description: As the docstring says}}
        """

    @app.get("/text")
    def text() -> str: ...

    @app.get("/pair")
    def pair() -> tuple[dict[str, int], int]: ...

    document = adapters.describe(app, hostname="shop.example.com") or {}
    answers = {path: item["get"]["responses"]["200"] for path, item in document["paths"].items()}
    items = {"type": "array", "items": {"$ref": "#/components/schemas/Item"}}
    assert answers["/list"]["content"] == {"application/json": {"schema": items}}
    assert document["components"]["schemas"]["Item"]["required"] == ["id", "name"]
    assert answers["/one"] == {"description": "As the docstring says"}
    assert all("content" not in answers[path] for path in ("/text", "/pair"))


def test_what_the_app_says_holds_where_a_route_says_nothing() -> None:
    app = FastAPI()

    @app.get("/closed")
    def closed() -> None: ...

    @app.get("/open")
    @adapters.protect(api_key_required=False, audiences=[])
    def open_() -> None: ...

    declared(app, api_key_required=True, audiences={"firebase": ["shop"]})
    found = compiled(adapters.describe(app) or {})
    (way,) = found["GET /closed"].requirement.alternatives
    assert (way.needs_key, bool(way.jwt)) == (True, True)
    assert found["GET /open"].requirement.alternatives == ()


@pytest.mark.parametrize("name", APPS)
def test_a_host_may_be_given(name: str) -> None:
    document = adapters.describe(APPS[name](), hostname="other.example.com") or {}
    assert document["servers"] == [{"url": "https://other.example.com"}]
    assert (adapters.describe(APPS[name]()) or {})["servers"] == [{"url": "https://shop.example.com"}]


@pytest.mark.parametrize("name", APPS)
def test_documents_are_valid(name: str) -> None:
    from openapi_spec_validator import validate

    validate(adapters.describe(APPS[name]()))  # type: ignore[arg-type]


def test_what_cannot_be_deployed_is_refused_with_its_function() -> None:
    app = FastAPI()

    @app.get("/a/{b}.json")
    def mixed(b: str) -> None: ...

    with pytest.raises(ApiConfigurationError, match=r"test_adapters\..*mixed.*mixes braces"):
        adapters.describe(app)
    flask = Flask("shop")

    @flask.get("/costly")
    @adapters.protect(metric_costs={"unknown": 1})
    def costly() -> str: ...

    with pytest.raises(ApiConfigurationError, match="costly: metric_costs names 'unknown'"):
        adapters.describe(flask)


def test_paths_that_a_gateway_takes_for_one() -> None:
    app = FastAPI()
    app.get("/a")(lambda: None)
    app.get("/a/")(lambda: None)
    with pytest.raises(ApiConfigurationError, match="with and without the slash"):
        adapters.describe(app)
    flask = Flask("shop")
    flask.add_url_rule("/<int:a>", "one", lambda a: a)
    flask.add_url_rule("/<string:a>", "two", lambda a: a)
    with pytest.raises(ApiConfigurationError, match="two rules"):
        adapters.describe(flask)


def reserved() -> str:
    return "reserved"


@adapters.protect(api_key_required=True)
def guarded(a: str) -> str:
    return a


@pytest.mark.parametrize(("path", "is_refused"), [("/a/{a}/{b}", True), ("/a/{a:path}", True), ("/a/{a}", False)])
def test_a_verb_is_taken_with_a_slash_before_it_too(path: str, is_refused: bool) -> None:
    """`/a/b/:do` is `/a/{b}:do` to a gateway, and to the app it is another route, whichever comes first."""
    app, flask = FastAPI(), Flask("shop")
    app.get("/a/{b}:do")(reserved)
    app.get(path)(guarded)
    flask.add_url_rule("/a/<b>:do", view_func=reserved)
    flask.add_url_rule(path.replace("{a:path}", "<path:a>").replace("{", "<").replace("}", ">"), view_func=guarded)
    for one in (app, flask, Starlette(routes=[Route("/a/{b}:do", reserved), Route(path, guarded)])):
        if is_refused:
            with pytest.raises(ApiConfigurationError, match="which gateways take '/:do' at its end for, too"):
                adapters.describe(one)
        else:
            assert adapters.describe(one)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("make", ["fastapi", "starlette", "mounted", "mounted in FastAPI"])
def test_what_a_document_does_not_have_is_guarded_or_out_of_reach(make: str, is_first: bool) -> None:
    """A route that is hidden, or in a mounted app, must not run for calls that a gateway lets in by another's rules."""
    app: Any = FastAPI()
    if make == "fastapi":
        app.get("/b/secret", include_in_schema=False)(guarded)
    elif make == "starlette":
        app = Starlette(routes=[Route("/b/secret", guarded, include_in_schema=False)])
    else:
        below: Any = FastAPI() if make == "mounted" else Starlette(routes=[Route("/secret", guarded)])
        if make == "mounted":
            below.get("/secret")(guarded)
        app.mount("/b", below)
    add = app.add_route if make == "starlette" else app.add_api_route
    add("/b/{a}", reserved)
    if not is_first:
        app.router.routes.insert(0, app.router.routes.pop())
        assert list(adapters.describe(app)["paths"]) == ["/b/{a}"]
        return
    with pytest.raises(ApiConfigurationError, match=r"GET /b/secret .* is not guarded as /b/\{a\}"):
        adapters.describe(app)


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [
        ("/a/{a}", "/a/reserved", True),
        ("/{a}/b", "/c/{b}", True),
        ("/{a:path}", "/c", True),
        ("/{a:path}/b", "/c/{b}", True),
        ("/a/{a}", "/a/{b}:do", True),
        ("/a/{a:int}", "/a/reserved", False),
        ("/a/{a}", "/b/reserved", False),
        ("/a/{a}", "/a/{b}/c", False),
    ],
)
def test_a_gateway_must_mean_the_route_that_runs(first: str, second: str, is_refused: bool) -> None:
    """FastAPI runs the first route that fits, a gateway checks the most specific one: no call passes by way of both."""
    app, other_way = FastAPI(), FastAPI()
    app.get(first)(guarded)
    app.get(second)(reserved)
    other_way.get(second)(reserved)
    other_way.get(first)(guarded)
    assert adapters.describe(other_way)
    if is_refused:
        with pytest.raises(ApiConfigurationError, match=r"guarded\) is not guarded as .*reserved\)"):
            adapters.describe(app)
    else:
        assert adapters.describe(app)


@pytest.mark.parametrize("kind", ["starlette", "flask"])
def test_a_gateway_knows_no_kinds_of_variables(kind: str) -> None:
    """What `int` does not match runs the other route: it must not be open by the rules of the first."""
    if kind == "starlette":
        routes = [Route("/{a:int}/x", reserved), Route("/{a}/{b}", star)]
        app: Any = Starlette(routes=routes)
    else:
        app = Flask("shop")
        app.add_url_rule("/<int:a>/x", "open", reserved)
        app.add_url_rule("/<a>/<b>", "closed", adapters.protect(api_key_required=True)(lambda a, b: a))
    with pytest.raises(ApiConfigurationError, match="takes what its variables do not match"):
        adapters.describe(app)


def test_an_open_route_may_take_the_rest() -> None:
    app = Starlette(routes=[Route("/stars/{id:int}", star), Route("/{rest:path}", reserved)])
    assert adapters.describe(app)


def test_two_routes_of_one_path() -> None:
    app = FastAPI()
    app.get("/a/{a}")(guarded)
    app.get("/a/{b}")(reserved)
    with pytest.raises(ApiConfigurationError, match="to a gateway one path"):
        adapters.describe(app)
    hosts = [Host(name, Starlette(routes=[Route("/a", one)])) for name, one in (("x", star), ("y", reserved))]
    with pytest.raises(ApiConfigurationError, match="to a gateway one path"):
        adapters.describe(Starlette(routes=hosts))


def test_a_docstring_that_is_no_yaml() -> None:
    def broken(request: Request) -> None:
        """Broken.
        ---
        responses: {a: [}
        """

    with pytest.raises(ApiConfigurationError, match="broken: the docstring is no YAML"):
        adapters.describe(Starlette(routes=[Route("/a", broken)]))


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"scopes": "a"}, "scopes"),
        ({"api_key_required": 1}, "api_key_required"),
        ({"metric_costs": [1]}, "metric_costs"),
    ],
)
def test_wrong_arguments_of_protect(said: Any, word: str) -> None:
    with pytest.raises(TypeError, match=f"test_adapters.*{word}"):
        adapters.protect(**said)(star)
    with pytest.raises(TypeError, match="a function or a class"):
        adapters.protect()(1)
    with pytest.raises(TypeError, match=r"star: write @adapters\.protect\(\.\.\.\) with brackets"):
        adapters.protect(star)
    with pytest.raises(TypeError, match="colour"):
        adapters.declare(FastAPI(), colour="red")  # type: ignore[call-arg]


@pytest.mark.parametrize("thing", [1, "x", object(), star, FastAPI, None])
def test_what_is_no_app_is_not_described(thing: Any) -> None:
    assert adapters.describe(thing) is None
    assert not adapters.is_app(thing)


def test_no_framework_is_imported_by_asking() -> None:
    code = (
        "import sys; from authz.frameworks import adapters; adapters.describe(object());"
        "sys.exit(' '.join({'fastapi', 'starlette', 'flask', 'pydantic', 'yaml'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


# -- who calls --------------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What a route says of who called it."""

    subject: str | None
    email: str | None


def told(user: User | None) -> dict[str, Any]:
    return asdict(Told(user.subject, user.email()) if user else Told(None, None))


def user_apps() -> Iterator[tuple[str, Any]]:
    api = FastAPI()
    api.get("/sync")(lambda: told(get_current_user()))

    @api.get("/async")
    async def coroutine() -> Any:
        return told(get_current_user())

    yield "fastapi", api
    yield "starlette", Starlette(routes=[Route(f"/{kind}", _starlette) for kind in ("sync", "async")])
    flask = Flask("who")
    for kind in ("sync", "async"):
        flask.add_url_rule(f"/{kind}", kind, lambda: told(get_current_user()))

    @flask.get("/stream")
    def stream() -> Any:
        return stream_with_context(json.dumps(told(get_current_user())) for _ in range(1))

    yield "flask", flask


async def _starlette(request: Request) -> JSONResponse:
    return JSONResponse(told(get_current_user()))


USERS = dict(user_apps())
INFO = urlsafe_b64encode(json.dumps({"sub": "me", "email": "me@example.com"}).encode()).decode().rstrip("=")


def ask(path: str, secret: str = "s3cret") -> Ask:  # noqa: S107 - of these tests alone
    return Ask("GET", path, headers=[("X-Endpoint-API-UserInfo", INFO), ("X-Authz-Gateway-Secret", secret)])


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("name", USERS)
def test_who_calls_is_known_if_the_gateway_says_so(name: str, kind: str) -> None:
    app = adapters.asgi_app(USERS[name], gateway_secret="s3cret")
    assert asgi(app, ask(f"/{kind}")).json == {"subject": "me", "email": "me@example.com"}
    assert asgi(app, ask(f"/{kind}", secret="guessed")).json == {"subject": None, "email": None}
    assert asgi(app, Ask("GET", f"/{kind}")).json == {"subject": None, "email": None}
    with pytest.raises(InvalidGetUserCall):
        get_current_user()


@pytest.mark.parametrize("path", ["/sync", "/stream"])
def test_who_calls_under_wsgi(path: str) -> None:
    app = adapters.WsgiUsers(USERS["flask"].wsgi_app, trusted_gateways=["192.0.2.0/24"])
    assert wsgi(app, ask(path)).json == {"subject": "me", "email": "me@example.com"}
    with pytest.raises(InvalidGetUserCall):
        get_current_user()


def test_as_middleware_of_the_framework() -> None:
    app = FastAPI()
    app.add_middleware(adapters.AsgiUsers, gateway_secret="s3cret")
    app.get("/")(lambda: told(get_current_user()))
    assert asgi(app, ask("/")).json["subject"] == "me"


# -- served -----------------------------------------------------------------------------------------------------------


def test_flask_in_threads() -> None:
    app = Flask("echo")

    @app.post("/echo/<path:rest>")
    def echo(rest: str) -> Any:
        from flask import request

        return {"body": request.get_data(as_text=True), "rest": rest, "q": request.args, "kind": request.content_type}

    found: Reply = asgi(
        adapters.asgi_app(app), Ask("POST", "/echo/%C3%A4/b?c=d", b"hello", [("Content-Type", "text/plain")])
    )
    assert found.json == {"body": "hello", "rest": "ä/b", "q": {"c": "d"}, "kind": "text/plain"}
    assert asgi(adapters.asgi_app(app), Ask("GET", "/nowhere")).status == 404


@pytest.mark.parametrize("name", APPS)
def test_apps_do_what_their_documents_say(name: str) -> None:
    app = APPS[name]()
    document = adapters.describe(app) or {}
    only = {"fastapi": ("/items/{id}", "/items"), "starlette": ("/stars/{id}",), "flask": ("/items/{id}/{colour}",)}[
        name
    ]
    document = {**document, "paths": {path: document["paths"][path] for path in only}, "servers": []}
    # What they refuse, and how, is the frameworks' business, and the app's.
    assert conforms(document, refusals=False, **({"wsgi": app} if name == "flask" else {"asgi": app})) >= 8
