"""What tokens may do when they are checked in the process: the rules, then keys, times and methods."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from authz.frameworks.serve import api_server, asgi_server
from authz.frameworks.serve.core import Core
from authz.frameworks.serve.options import Options
from authz.frameworks.serve.tokens import rules
from authz.frameworks.serve.tokens.guard import Guards, get_verified_jwt
from authz.frameworks.serve.tokens.keys import FetchError, KeySets, KeysUnavailable, download, read
from authz.frameworks.serve.wsgi import WsgiServer
from authz.frameworks.service import Security
from authz.frameworks.types import EMAIL_SCOPE, Issuer
from authz.frameworks.users import get_current_user
from frameworks.callers import Ask, Given, a_method, an_api, asgi, declared, wsgi

CASES = json.loads((Path(__file__).parent / "data" / "auth.json").read_text())
DEPARTURES = {"aud-list-claim": "a token that lists audiences is for each of them (RFC 7519, 4.1.3)"}

ISSUER = Issuer("https://issuer.example", "https://issuer.example/keys")
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
NOW = 1_700_000_000


def kinds(*names: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in CASES if set(names) <= case.keys()]


@pytest.mark.parametrize("case", kinds("claims"))
def test_claims(case: dict[str, Any]) -> None:
    accepted = rules.accepts(
        case["claims"],
        allowed_issuers=case["allowed_issuers"],
        audiences=case["audiences"],
        allowed_client_ids=case["allowed_client_ids"],
        google=case["legacy_google"],
    )

    assert accepted is (case["accepted"] if case["id"] not in DEPARTURES else not case["accepted"])


@pytest.mark.parametrize("case", kinds("declared_scopes"))
def test_scopes(case: dict[str, Any]) -> None:
    declared_scopes = case["declared_scopes"]

    assert rules.has_scopes(case["token_scopes"], declared_scopes) is case["accepted"]
    assert rules.all_scopes(declared_scopes) == set(case["all_scopes"])


@pytest.mark.parametrize(
    ("granted", "passes"), [("a", True), ("b", False), ("c", False), ("b c", True), ("c b x", True), ("", False)]
)
def test_scopes_are_any_of_a_list_and_all_of_a_string(granted: str, passes: bool) -> None:
    assert rules.has_scopes(granted.split(), ["a", "b c"]) is passes
    assert not rules.has_scopes(granted.split(), [""])


@pytest.mark.parametrize("case", kinds("authorization"))
def test_the_header_of_a_token(case: dict[str, Any]) -> None:
    assert rules.bearer(case["authorization"]) == case["token"]


@pytest.mark.parametrize(
    ("claims", "allowed", "google", "accepted"),
    [
        ({"aud": "a", "azp": "x"}, ["*"], True, False),
        ({"aud": "a", "azp": "*"}, ["*"], True, False),
        ({"aud": "a", "azp": "x"}, [], True, False),
        ({"aud": "a", "azp": "x"}, None, True, True),
        # Nobody's list names it: a token that a client got for itself is not one for us.
        ({"aud": "x", "azp": "x"}, None, True, False),
        ({"aud": ["x", "y"], "azp": "x"}, ["x"], True, False),
        ({"aud": "x", "azp": "x"}, ["x"], False, False),
        ({"aud": ["b", "a"]}, ["x"], False, True),
        ({"aud": [["a"], 1]}, None, False, False),
        ({"aud": {"a": 1}}, None, False, False),
        ({"aud": "a", "email": 5}, None, False, False),
    ],
)
def test_audiences_and_clients(claims: dict[str, Any], allowed: Any, google: bool, accepted: bool) -> None:
    said = {"iss": "i", "email": "a@example.com"} | claims

    decided = rules.accepts(said, allowed_issuers=["i"], audiences=["a"], allowed_client_ids=allowed, google=google)

    assert decided is accepted


def test_google_certificates_are_read_as_a_key_set() -> None:
    old = "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"

    assert rules.convert_jwks_uri(old).endswith("/jwk/securetoken@system.gserviceaccount.com")
    assert rules.convert_jwks_uri("https://a.example/keys") == "https://a.example/keys"


# -- keys -------------------------------------------------------------------------------------------------------------


def jwk(key: Any = RSA, kid: str | None = "k1", **more: Any) -> dict[str, Any]:
    algorithm = jwt.get_algorithm_by_name("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
    entry = {k: v for k, v in algorithm.to_jwk(key.public_key(), as_dict=True).items() if k != "key_ops"}
    return entry | ({"kid": kid} if kid else {}) | more


def jwks(*entries: Any) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


class Net:
    """What an issuer serves, and how often it was asked."""

    def __init__(self, **pages: bytes) -> None:
        self.pages: dict[str, Any] = {ISSUER.jwks_uri: jwks(jwk(), jwk(EC, "e1"))} | pages
        self.asked: list[str] = []
        self.now = 0.0

    def fetch(self, uri: str) -> bytes:
        self.asked.append(uri)
        page = self.pages.get(uri)
        if page is None:
            raise FetchError("no such page")
        return bytes(page)

    def sets(self) -> KeySets:
        return KeySets(self.fetch, lambda: self.now)


def claims(**more: Any) -> dict[str, Any]:
    said = {"iss": ISSUER.issuer, "aud": "shop", "sub": "u1", "email": "ann@example.com", "iat": NOW, "exp": NOW + 600}
    return {name: value for name, value in (said | more).items() if value is not None}


def token(key: Any = RSA, kid: str | None = "k1", header: dict[str, Any] | None = None, **more: Any) -> str:
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return jwt.encode(claims(**more), key, algorithm, headers={**({"kid": kid} if kid else {}), **(header or {})})


def unsigned(*parts: object) -> str:
    """A token that no library writes."""
    written = (urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return ".".join([*written, "AAAA"])


def whoami(_given: Given) -> Any:
    user = get_current_user()
    return user and {"email": user.email(), "id": user.user_id(), "issuer": user.issuer, "aud": list(user.audiences)}


def server(net: Net, *, now: float = NOW, issuer: Issuer = ISSUER, **security: Any) -> WsgiServer:
    secured = Security(**({"audiences": {"ours": ("shop",)}} | security))
    api = an_api(a_method("/shop/v1/me", whoami, security=secured), issuers={"ours": issuer})
    core = Core((), Options())
    guards = Guards(net.sets(), lambda: now)
    from authz.frameworks.serve.core import Target

    for method in api.methods:
        core.add(method.http_method, api.base_path + method.path, Target(method, guards.guard(api, method.security)))
    return WsgiServer(core)


def asked(app: Any, authorization: str | None = None, query: str = "") -> Any:
    headers = [("Authorization", authorization)] if authorization is not None else []
    return wsgi(app, Ask("GET", f"/api/shop/v1/me{query}", headers=headers))


@pytest.mark.parametrize(("key", "kid"), [(RSA, "k1"), (EC, "e1"), (RSA, None)])
def test_a_signed_token_names_the_user(key: Any, kid: str | None) -> None:
    reply = asked(server(Net()), f"Bearer {token(key, kid)}")

    assert reply.status == 200
    assert reply.json == {"email": "ann@example.com", "id": "u1", "issuer": ISSUER.issuer, "aud": ["shop"]}


def test_the_query_may_hold_a_token_where_no_header_does() -> None:
    app = server(Net())

    assert asked(app, query=f"?access_token={token()}").status == 200
    assert asked(app, query=f"?access_token=x&bearer_token={token()}").status == 200
    assert asked(app, "Basic x", query=f"?access_token={token()}").status == 401
    assert asked(app, query=f"?access_token={token()}&access_token={token()}").status == 401


_BAD = {
    "nothing": None,
    "another scheme": "Basic x",
    "no token": "Bearer ",
    "garbage": "Bearer garbage",
    "dots": "Bearer a.b.c",
    "two": f"Bearer {token()},Bearer {token()}",
    "another key": f"Bearer {token(rsa.generate_private_key(public_exponent=65537, key_size=2048))}",
    "an EC key under the RSA key's name": f"Bearer {token(EC, 'k1')}",
    "another issuer": f"Bearer {token(iss='https://other.example')}",
    "no issuer": f"Bearer {token(iss=None)}",
    "an unknown key": f"Bearer {token(kid='k2')}",
    "expired": f"Bearer {token(iat=NOW - 900, exp=NOW - 61)}",
    "from the future": f"Bearer {token(iat=NOW + 61)}",
    "not before": f"Bearer {token(nbf=NOW + 61)}",
    "no iat": f"Bearer {token(iat=None)}",
    "no exp": f"Bearer {token(exp=None)}",
    "too long a life": f"Bearer {token(exp=NOW + 90_000)}",
    "a time that is true": f"Bearer {token(iat=True)}",
    "a fraction": f"Bearer {token(exp=NOW + 5.5)}",
    "critical": f"Bearer {token(header={'crit': ['x'], 'x': 1})}",
    "an HMAC with the public key": "Bearer " + jwt.encode(claims(), jwk()["n"], "HS256", headers={"kid": "k1"}),
    "unsigned": "Bearer " + jwt.encode(claims(), None, "none", headers={"kid": "k1"}),
    "too long": f"Bearer {token(more='x' * 9000)}",
    "an issuer that is a list": f"Bearer {unsigned({'alg': 'RS256'}, {'iss': [ISSUER.issuer]})}",
    "an algorithm that is a list": f"Bearer {unsigned({'alg': ['RS256']}, {'iss': ISSUER.issuer})}",
    "an algorithm that is an object": f"Bearer {unsigned({'alg': {}}, {'iss': ISSUER.issuer})}",
}


@pytest.mark.parametrize("authorization", _BAD.values(), ids=_BAD.keys())
def test_what_is_no_good_token_is_401(authorization: str | None) -> None:
    reply = asked(server(Net()), authorization)

    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert reply.error["errors"][0]["reason"] == "required"


@pytest.mark.parametrize(
    ("security", "said", "status"),
    [
        ({}, {"aud": "other"}, 403),
        ({}, {"aud": None}, 403),
        ({}, {"aud": ["x", "shop"]}, 200),
        ({}, {"email": None}, 403),
        ({"scopes": (EMAIL_SCOPE,)}, {}, 200),
        ({"scopes": ("read", "write admin")}, {"scope": "read x"}, 200),
        ({"scopes": ("read", "write admin")}, {"scp": ["write"]}, 403),
        ({"scopes": ("read", "write admin")}, {"scp": ["admin", "write"]}, 200),
        ({"scopes": ()}, {}, 200),
        ({"client_ids": ("cid",)}, {"azp": "cid"}, 200),
        ({"client_ids": ("cid",)}, {"azp": "x"}, 403),
        ({"client_ids": ("cid",)}, {"client_id": "cid"}, 200),
        ({"client_ids": ("shop",)}, {}, 200),
        ({"client_ids": ("*",)}, {"azp": "x"}, 200),
        ({"client_ids": ()}, {"azp": "x"}, 403),
    ],
)
def test_a_good_token_for_something_else_is_403(security: dict[str, Any], said: dict[str, Any], status: int) -> None:
    assert asked(server(Net(), **security), f"Bearer {token(**said)}").status == status


@pytest.mark.parametrize(
    ("client_ids", "azp", "status"),
    [(None, "any", 200), (("*",), "any", 200), (("cid",), "cid", 200), (("cid",), "x", 403), ((), "x", 403)],
)
def test_clients_of_google(client_ids: Any, azp: str, status: int) -> None:
    net = Net()
    net.pages[rules.GOOGLE.jwks_uri] = net.pages[ISSUER.jwks_uri]  # type: ignore[index]
    core = Core((), Options())
    security = Security(audiences=("shop",), client_ids=client_ids)
    from authz.frameworks.serve.core import Target

    guard = Guards(net.sets(), lambda: NOW).guard(an_api(), security)
    core.add("GET", "/api/shop/v1/me", Target(a_method("/shop/v1/me", whoami), guard))

    reply = asked(WsgiServer(core), f"Bearer {token(iss='accounts.google.com', azp=azp)}")

    assert reply.status == status


def test_optional_means_without_a_token_and_not_with_a_bad_one() -> None:
    app = server(Net(), optional=True)

    assert asked(app).json is None
    assert asked(app, "Bearer garbage").status == 401
    assert asked(app, f"Bearer {token()}").json["id"] == "u1"


@pytest.mark.parametrize("audiences", [None, (), {}])
def test_methods_without_audiences_are_open(audiences: Any) -> None:
    net = Net()

    assert asked(server(net, audiences=audiences), f"Bearer {token()}").json is None
    assert net.asked == []


def test_keys_are_asked_for_once_and_again_after_minutes() -> None:
    net = Net()
    app = server(net)
    for _ in range(3):
        assert asked(app, f"Bearer {token()}").status == 200
    assert len(net.asked) == 1

    net.now = 301
    asked(app, f"Bearer {token()}")

    assert len(net.asked) == 2


def test_an_unknown_key_is_asked_for_at_most_twice_a_minute() -> None:
    net = Net()
    app = server(net)
    for _ in range(5):
        assert asked(app, f"Bearer {token(kid='new')}").status == 401
    assert len(net.asked) == 1

    net.pages[ISSUER.jwks_uri] = jwks(jwk(kid="new"))  # type: ignore[index]
    net.now = 31

    assert asked(app, f"Bearer {token(kid='new')}").status == 200


def test_keys_outlive_an_issuer_that_is_away_for_a_day() -> None:
    net = Net()
    app = server(net)
    asked(app, f"Bearer {token()}")
    net.pages.clear()

    net.now = 3600
    assert asked(app, f"Bearer {token()}").status == 200
    net.now = 86_401
    assert asked(app, f"Bearer {token()}").status == 503


def test_an_issuer_that_was_never_there_is_503_and_not_asked_by_every_token() -> None:
    net = Net()
    net.pages.clear()
    app = server(net)

    assert [asked(app, f"Bearer {token()}").status for _ in range(3)] == [503] * 3
    assert len(net.asked) == 1


def test_an_issuer_may_be_asked_where_its_keys_are() -> None:
    net = Net()
    place = "https://issuer.example/.well-known/openid-configuration"
    net.pages[place] = json.dumps({"issuer": ISSUER.issuer, "jwks_uri": ISSUER.jwks_uri}).encode()
    alone = Issuer(ISSUER.issuer, None)

    assert asked(server(net, issuer=alone), f"Bearer {token()}").status == 200
    assert net.asked == [place, ISSUER.jwks_uri]

    net.pages[place] = json.dumps({"issuer": "https://other.example", "jwks_uri": ISSUER.jwks_uri}).encode()
    assert asked(server(net, issuer=alone), f"Bearer {token()}").status == 503


@pytest.mark.parametrize(
    "body",
    [
        b"no json", b"[]", b'{"keys": 5}', b'{"keys": []}', b"[" * 100_000,
        jwks({"kty": "oct", "k": "AAAA"}),
        jwks({"kty": "RSA"}, 5, None),
        jwks(jwk(use="enc")),
        jwks(jwk(alg="RS512")),
        jwks(jwk() | {"n": jwk()["n"][:170]}),
        jwks(jwt.get_algorithm_by_name("RS256").to_jwk(RSA, as_dict=True)),
    ],
)  # fmt: skip
def test_what_is_no_key_set(body: bytes) -> None:
    with pytest.raises(FetchError):
        read(body)


@pytest.mark.parametrize("uri", ["http://issuer.example/k", "file:///etc/hosts", "ftp://a.example/k", "keys", ""])
def test_keys_come_by_https(uri: str) -> None:
    with pytest.raises(FetchError, match="https"):
        download(uri)


@contextmanager
def issuer_on(handler: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A web server of one answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                handler(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/keys"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(status: int, body: bytes = b"", *headers: tuple[str, str]) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response(status)
        for name, value in headers:
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)

    return answer


def test_keys_are_fetched() -> None:
    with issuer_on(answering(200, jwks(jwk()))) as uri:
        assert read(download(uri))[0].kid == "k1"


@pytest.mark.parametrize(
    "answer",
    [
        answering(404), answering(500, jwks(jwk())), answering(200, b"x" * 1_100_000),
        answering(302, b"", ("Location", "http://127.0.0.1:1/keys")), answering(200, b"{", ("Content-Length", "many")),
        lambda to: to.wfile.write(b"no HTTP at all\r\n\r\n"),
    ],
    ids=["missing", "broken", "endless", "elsewhere", "unmeasured", "garbage"],
)  # fmt: skip
def test_what_an_issuer_may_answer_instead(answer: Any) -> None:
    with issuer_on(answer) as uri, pytest.raises(FetchError):
        read(download(uri))


def test_nobody_listens() -> None:
    with pytest.raises(FetchError):
        download("http://127.0.0.1:1/keys")


def test_without_keys_nothing_is_judged() -> None:
    sets = Net().sets()
    sets.fetch(Issuer("https://nobody.example", "https://nobody.example/keys"))

    with pytest.raises(KeysUnavailable):
        sets.keys(Issuer("https://nobody.example", "https://nobody.example/keys"), "k")


# -- get_verified_jwt -------------------------------------------------------------------------------------------------

PROVIDERS = [{"issuer": ISSUER.issuer, "cert_uri": ISSUER.jwks_uri}]


def verified(audiences: tuple[str, ...], **more: Any) -> Any:
    guards = Guards(Net().sets(), lambda: NOW)

    def method(_given: Given) -> Any:
        return get_verified_jwt(PROVIDERS, audiences, request=object(), cache=guards, **more)  # type: ignore[arg-type]

    return api_server(declared(a_method("/shop/v1/me", method)))


def test_a_method_may_check_a_token_by_itself() -> None:
    assert asked(verified(("shop",)), f"Bearer {token(email=None)}").json["sub"] == "u1"
    assert asked(verified(("other",)), f"Bearer {token()}").body == b""
    assert asked(verified(("shop",)), "Bearer garbage").body == b""
    assert asked(verified(("shop",))).body == b""
    assert asked(verified(("shop",)), query=f"?access_token={token()}").json["sub"] == "u1"
    assert asked(verified(("shop",), check_query_arg=False), query=f"?access_token={token()}").body == b""


def test_a_check_needs_a_place_to_look() -> None:
    with pytest.raises(ValueError, match="neither"):
        get_verified_jwt(PROVIDERS, ["shop"], check_authorization_header=False, check_query_arg=False)
    with pytest.raises(ValueError, match="request"):
        get_verified_jwt(PROVIDERS, ["shop"])


def test_both_servers_check_tokens_where_they_are_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    net, now = Net(), int(time.time())
    monkeypatch.setattr("authz.frameworks.serve.tokens.keys.download", net.fetch)
    secured = a_method("/shop/v1/me", whoami, security=Security(audiences={"ours": ("shop",)}))
    services = declared(secured, issuers={"ours": ISSUER})
    good = Ask("GET", "/api/shop/v1/me", headers=[("authorization", f"Bearer {token(iat=now, exp=now + 60)}")])

    for call, make in ((wsgi, api_server), (asgi, asgi_server)):
        app: Any = make(services, verify_tokens=True)
        assert call(app, good).json["id"] == "u1"
        assert call(app, Ask("GET", "/api/shop/v1/me")).status == 401
        app.close()
        open_app: Any = make(services)
        assert call(open_app, good).json is None
        open_app.close()
