"""Why a call would pass or fail: the same rules as the gateway's, and more words than a stranger gets."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from authz.admin import consumers, deploy, keys
from authz.admin.explain import Question, explain
from authz.errors import DocumentError, StateError, UsageError
from authz.model.auth import Restrictions
from authz.model.service import SourceText
from authz.settings import Settings
from authz.store.sql import open_store

NOW = 1_700_000_000.0
API = """\
swagger: '2.0'
info: {{title: Shop, version: 1.0.0}}
host: shop.example
basePath: /v1
paths:
  /books:
    get: {{operationId: List, security: [{{key: []}}], responses: {{200: {{description: ok}}}}}}
    post: {{operationId: Add, security: [{{jwt: []}}], responses: {{200: {{description: ok}}}}}}
    put: {{operationId: Either, security: [{{key: []}}, {{jwt: []}}], responses: {{200: {{description: ok}}}}}}
  /open:
    get: {{operationId: Open, security: [], responses: {{200: {{description: ok}}}}}}
securityDefinitions:
  key: {{type: apiKey, in: query, name: key}}
  jwt:
    type: oauth2
    flow: implicit
    authorizationUrl: ''
    x-google-issuer: https://issuer.example
    x-google-jwks_uri: {jwks}
"""


class Issuer:
    """An issuer whose key set is served on loopback."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        body = json.dumps({"keys": [{**public, "kid": "k1"}]}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def token(self, **claims):
        says = {
            "iss": "https://issuer.example",
            "aud": "https://shop.example",
            "sub": "me",
            "exp": int(NOW) + 600,
            **claims,
        }
        return jwt.encode(says, self.key, "ES256", headers={"kid": "k1"})

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture
def store(tmp_path, issuer):
    store = open_store(tmp_path)
    deploy.deploy(store, [SourceText("api.yaml", API.format(jwks=issuer.url))], now=NOW)
    yield store
    store.close()


def ask(store, method, target, *, now=NOW, texts=(), settings=None, **question):
    return explain(store, Question(method, target, **question), settings or Settings(), now=now, texts=texts)


def test_an_open_operation_passes_and_says_that_credentials_are_not_looked_at(store):
    found = ask(store, "get", "/v1/open", key="k", token="t")

    assert found.passes
    assert found.match.operation.short_name == "Open"
    assert len(found.notes) == 2


@pytest.mark.parametrize(
    ("method", "target", "status", "reason"),
    [
        ("GET", "/v1/nothing", 404, "NO_OPERATION"),
        ("DELETE", "/v1/books", 405, "METHOD"),
        ("GET", "/v1/books%2F1", 400, "ESCAPED_SLASH"),
        ("GET", "/v1/books", 401, "KEY_MISSING"),
        ("POST", "/v1/books", 401, "TOKEN_MISSING"),
        ("GET", "/v1/books?key=a&key=b", 400, "KEY_TWICE"),
        ("GET", "/v1/books?key=unknown", 400, "KEY_INVALID"),
        ("GET", "https://shop.example/v1/books", 401, "KEY_MISSING"),
    ],
)
def test_a_denial_has_the_gateway_s_status_and_reason(store, method, target, status, reason):
    found = ask(store, method, target)

    assert (found.status, found.reason) == (status, reason)
    assert not found.passes


def test_a_key_is_put_where_the_operation_looks_first(store):
    made = keys.create(store, "acme", now=NOW)

    found = ask(store, "GET", "/v1/books", key=made.text)

    assert (found.status, found.consumer) == (200, "acme")


def test_a_key_in_the_url_or_a_header_counts_as_it_would_in_a_call(store):
    made = keys.create(store, "acme", now=NOW)

    assert ask(store, "GET", f"/v1/books?key={made.text}").passes
    assert ask(store, "GET", "/v1/books", headers={"x-other": made.text}).reason == "KEY_MISSING"


def test_an_operator_reads_why_a_key_is_not_valid(store):
    unknown = ask(store, "GET", "/v1/books", key="never-made")
    expiring = keys.create(store, "acme", expires="1d", now=NOW)
    revoked = keys.create(store, "acme", now=NOW)
    keys.revoke(store, revoked.key.uid, now=NOW + 1)

    assert "no API key with this text" in unknown.notes[0]
    assert "expired at 2023-11-15" in ask(store, "GET", "/v1/books", key=expiring.text, now=NOW + 90000).notes[0]
    assert "was revoked at" in ask(store, "GET", "/v1/books", key=revoked.text, now=NOW + 2).notes[0]


def test_a_suspended_consumer_is_named(store):
    made = keys.create(store, "acme", now=NOW)
    consumers.suspend(store, "acme")

    found = ask(store, "GET", "/v1/books", key=made.text)

    assert found.reason == "CONSUMER_SUSPENDED"
    assert "the consumer acme is suspended" in found.notes


def test_the_caller_s_address_counts(store):
    made = keys.create(store, "acme", restrictions=Restrictions(allow_ips=("10.0.0.0/8",)), now=NOW)

    assert ask(store, "GET", "/v1/books", key=made.text, address="10.1.2.3").passes
    assert ask(store, "GET", "/v1/books", key=made.text, address="192.0.2.1").reason == "KEY_ADDRESS"


def test_a_token_is_verified_with_the_issuer_s_keys(store, issuer):
    assert ask(store, "POST", "/v1/books", token=issuer.token()).passes
    assert ask(store, "PUT", "/v1/books", token=issuer.token()).passes


@pytest.mark.parametrize(
    ("claims", "reason", "note"),
    [
        ({"aud": "https://else.example"}, "TOKEN_AUDIENCE", "aud https://else.example"),
        ({"iss": "https://else.example"}, "TOKEN_ISSUER", "iss https://else.example"),
        ({"exp": int(NOW) - 600}, "TOKEN_EXPIRED", "exp 2023-11-14 22:03:20Z"),
    ],
)
def test_an_operator_reads_what_a_refused_token_says_and_what_was_wanted(store, issuer, claims, reason, note):
    found = ask(store, "POST", "/v1/books", token=issuer.token(**claims))

    assert found.reason == reason
    assert note in found.notes[0]
    assert found.notes[1] == "wanted: iss https://issuer.example, aud https://shop.example"


@pytest.mark.parametrize("token", ["a.b.c", "x", "...", "é.é.é", "a.W10.c", "a." + "W1tb" * 2000 + ".c"])
def test_a_text_that_is_no_token_is_said_to_be_unreadable(store, token):
    found = ask(store, "POST", "/v1/books", token=token)

    assert not found.passes
    assert "the token cannot be read" in found.notes


def test_a_key_set_that_cannot_be_fetched_is_told_with_the_cause(store):
    texts = [SourceText("other.yaml", API.format(jwks="http://127.0.0.1:1/keys"))]
    token = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiZXhwIjo5ZTl9.AAAA"

    found = ask(store, "POST", "/v1/books", token=token, texts=texts, settings=Settings(jwks_retries=0))

    assert found.reason in {"KEY_SET_UNREACHABLE", "TOKEN_CLAIMS"}
    assert not found.passes


def test_documents_can_be_asked_before_they_are_deployed(store):
    texts = [SourceText("other.yaml", API.format(jwks="https://x.example/keys").replace("/books", "/papers"))]

    assert ask(store, "GET", "/v1/papers", texts=texts).reason == "KEY_MISSING"
    assert ask(store, "GET", "/v1/books", texts=texts).reason == "NO_OPERATION"


def test_documents_with_errors_are_refused(store):
    with pytest.raises(DocumentError):
        ask(store, "GET", "/", texts=[SourceText("a.yaml", "hello")])


def test_nothing_deployed_is_said(tmp_path):
    store = open_store(tmp_path / "empty")
    with pytest.raises(StateError, match="nothing has been deployed"):
        ask(store, "GET", "/")
    store.close()


def test_the_service_must_be_clear_where_there_are_several(store, issuer):
    other = API.format(jwks=issuer.url).replace("shop.example", "other.example")
    deploy.deploy(store, [SourceText("other.yaml", other)], now=NOW)

    assert ask(store, "GET", "/v1/open", service="other.example").config.name == "other.example"
    assert ask(store, "GET", "http://other.example/v1/open").config.name == "other.example"
    assert ask(store, "GET", "http://third.example/v1/open").reason == "NO_SERVICE"
    with pytest.raises(UsageError, match="several services"):
        ask(store, "GET", "/v1/open")


def test_shares_are_told(store, issuer):
    first = store.configs("shop.example")[0].id
    text = API.format(jwks=issuer.url).replace("/open", "/opened")
    second = deploy.deploy(store, [SourceText("api.yaml", text)], now=NOW).services[0].config.id
    store.add_rollout("shop.example", [(first, 30.0), (second, 70.0)], NOW)

    found = ask(store, "GET", "/v1/opened")

    assert found.passes
    assert f"{first} (30 %), {second} (70 %)" in found.notes[0]


def test_a_question_leaves_the_store_as_it_was(store):
    before = store.revision()
    ask(store, "GET", "/v1/books", key="never-made")

    assert store.revision() == before
