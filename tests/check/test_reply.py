"""What Envoy is told: statuses, headers set and removed, metadata; never anything that passes by accident."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace

import pytest
from envoy.service.auth.v3 import external_auth_pb2

from authz.check.call import Call
from authz.check.decide import Reason, Verdict
from authz.check.reply import Replies
from authz.model.auth import Alternative, Place, PlaceKind
from authz.model.quota import Unit
from authz.rulebook.book import ChargeRule
from authz.rulebook.compile import compile_book
from authz.settings import Settings
from builders import (
    BY_BOTH,
    BY_TOKEN,
    SERVICE,
    a_check_request,
    a_consumer,
    a_service,
    an_inventory,
    an_operation,
)
from harness.statuses import read


@dataclass(frozen=True)
class Token:
    user_info: str


PAYLOAD = {"sub": "alice", "name": "Zoë"}
TOKEN = Token(base64.urlsafe_b64encode(json.dumps(PAYLOAD).encode()).rstrip(b"=").decode())
GENERATED = [
    "x-endpoint-api-consumer-number",
    "x-endpoint-api-consumer-type",
    "x-endpoint-api-userinfo",
    "x-forwarded-authorization",
]


def a_rule(*ways):
    (rule,) = compile_book(an_inventory(a_service(an_operation("GetShelf", *ways))), Settings()).operations.values()
    return rule


def reply(verdict, headers=None, *, settings=None, path="/x", call=...):
    call = Call(a_check_request(path, headers)) if call is ... else call
    return external_auth_pb2.CheckResponse.FromString(Replies(settings or Settings()).build(verdict, call))


def allowed(consumer=None, token=None, backend="", *, ways=(BY_BOTH,), **kind):
    message = reply(Verdict(None, a_rule(*ways), consumer, token, "", backend), **kind)
    assert message.WhichOneof("http_response") == "ok_response"
    assert message.status.code == 0
    ok = message.ok_response
    return {h.header.key: h.header.value for h in ok.headers}, list(ok.headers_to_remove), message


def metadata(message):
    return {name: value.string_value for name, value in message.dynamic_metadata.fields.items()}


def test_upstream_learns_who_called_and_what():
    headers, removed, message = allowed(a_consumer(), TOKEN)

    assert headers == {
        "x-endpoint-api-consumer-type": "PROJECT",
        "x-endpoint-api-consumer-number": "123456",
        "x-endpoint-api-userinfo": TOKEN.user_info,
    }
    assert removed == ["x-forwarded-authorization"]
    assert all(h.append_action == h.OVERWRITE_IF_EXISTS_OR_ADD for h in message.ok_response.headers)


@pytest.mark.parametrize("consumer", [None, a_consumer()])
@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("backend", ["", "own"])
@pytest.mark.parametrize("own", [{}, {"authorization": "Bearer mine"}])
def test_every_reserved_header_of_check_is_either_set_or_removed(consumer, token, backend, own):
    headers, removed, _ = allowed(consumer, token, backend, headers=own)

    assert not set(headers) & set(removed)
    assert sorted({*headers, *removed} - {"authorization"}) == GENERATED


def test_the_prefix_of_generated_headers_is_a_setting():
    headers, removed, _ = allowed(a_consumer(), settings=Settings(header_prefix="X-Apigateway-"))

    assert headers["x-apigateway-api-consumer-number"] == "123456"
    assert "x-apigateway-api-userinfo" in removed


def test_user_info_can_be_padded():
    headers, _, _ = allowed(token=TOKEN, settings=Settings(pad_user_info=True))

    assert json.loads(base64.urlsafe_b64decode(headers["x-endpoint-api-userinfo"])) == PAYLOAD


LOGGED = Settings(access_log="-")
METERED = (ChargeRule(("shop", "reads"), "reads", "reads", 10, Unit.MINUTE, 1, 1),)


@pytest.mark.parametrize(
    ("consumer", "name", "subject"), [(a_consumer(), "shop", "consumer:123456"), (None, "", "address:192.0.2.7")]
)
def test_the_access_log_and_the_rate_limit_filter_learn_who_called(consumer, name, subject):
    _, _, logged = allowed(consumer, TOKEN, settings=LOGGED)
    metered = reply(Verdict(None, replace(a_rule(BY_TOKEN), charges=METERED), consumer, TOKEN))
    _, _, neither = allowed(consumer, TOKEN)

    assert metadata(logged) == {"subject": subject, "consumer": name, "decision": "allow"}
    assert metadata(metered) == {"subject": subject}
    assert metadata(neither) == {}


def test_the_backends_token_takes_the_place_of_the_callers():
    headers, removed, _ = allowed(None, None, "own", ways=(), headers={"authorization": "Bearer mine"})

    assert headers["authorization"] == "Bearer own"
    assert headers["x-forwarded-authorization"] == "Bearer mine"
    assert "x-forwarded-authorization" not in removed


def test_a_client_cannot_forge_the_forwarded_authorization():
    for backend in ("", "own"):
        headers, removed, _ = allowed(None, None, backend, headers={"x-forwarded-authorization": "Bearer forged"})

        assert "x-forwarded-authorization" not in headers
        assert "x-forwarded-authorization" in removed


def test_an_authorization_with_control_characters_is_not_forwarded():
    headers, removed, _ = allowed(None, None, "own", headers={"authorization": "a\r\nx: y"})

    assert "x-forwarded-authorization" not in headers
    assert "x-forwarded-authorization" in removed


def test_credentials_are_stripped_when_asked():
    strip = Settings(strip_credentials=True)
    places = (Place(PlaceKind.QUERY, "key"), Place(PlaceKind.HEADER, "x-api-key"), Place(PlaceKind.COOKIE, "s"))
    by_key = Alternative(needs_key=True, key_places=places)
    _, removed, message = allowed(a_consumer(), ways=(by_key, BY_TOKEN), settings=strip)

    assert {"x-api-key", "authorization", "x-goog-iap-jwt-assertion"} <= set(removed)
    assert list(message.ok_response.query_parameters_to_remove) == ["access_token", "key"]

    headers, removed, _ = allowed(None, TOKEN, "own", settings=strip, headers={"authorization": "Bearer mine"})

    assert headers["authorization"] == "Bearer own"
    assert "authorization" not in removed
    assert "x-forwarded-authorization" in removed


@pytest.mark.parametrize(
    ("cookie", "kept"),
    [
        ("a=1; s=secret; b=2", "a=1; b=2"),
        ("s=secret;a=s", "a=s"),
        ("s=secret", None),
        (" s =secret; s=other", None),
        ("a=1", ...),
        ("", ...),
    ],
)
def test_a_credential_among_cookies_is_stripped_alone(cookie, kept):
    by_key = Alternative(needs_key=True, key_places=(Place(PlaceKind.COOKIE, "s"),))
    strip = Settings(strip_credentials=True)
    headers, removed, _ = allowed(a_consumer(), ways=(by_key,), settings=strip, headers={"cookie": cookie})

    assert headers.get("cookie", ...) == (... if kept is None else kept)
    assert ("cookie" in removed) == (kept is None)


def test_credentials_are_forwarded_otherwise():
    _, removed, message = allowed(a_consumer(), TOKEN)

    assert removed == ["x-forwarded-authorization"]
    assert not message.ok_response.query_parameters_to_remove


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("grpc", [True, False])
def test_a_denial_denies_in_every_field_that_envoy_reads(reason, grpc):
    headers = {"content-type": "application/grpc"} if grpc else {}
    message = reply(Verdict(reason, a_rule(BY_BOTH), a_consumer(), TOKEN, "what works"), headers)
    sent = {h.header.key: h.header.value for h in message.denied_response.headers}

    assert message.status.code == reason.grpc != 0
    assert message.WhichOneof("http_response") == "denied_response"
    assert message.denied_response.status.code == reason.http
    assert message.denied_response.body == reason.message("what works")
    assert sent.get("grpc-status") == (str(reason.grpc) if grpc else None)
    details = read(sent.get("grpc-status-details-bin"))
    assert (details is not None) is (grpc and reason is not Reason.QUOTA_USED_UP)
    if details:
        assert (details.code, details.message) == (reason.grpc, message.denied_response.body)
        assert details.reason == (reason.name, SERVICE)
        assert details.retry_seconds == (1 if reason is Reason.QUOTA_UNREACHABLE else None)
    assert ("www-authenticate" in sent) is (reason.http == 401 or bool(reason.oauth))
    assert metadata(message)["decision"] == reason.name
    assert all(value.isprintable() for value in sent.values())


@pytest.mark.parametrize("call", [None, Call(b"")])
@pytest.mark.parametrize("reason", [None, Reason.UNKNOWN_OPERATION])
def test_an_allow_with_a_part_missing_is_a_denial(call, reason):
    message = reply(Verdict(reason), call=call)

    assert message.status.code == 14
    assert message.denied_response.status.code == 503


@pytest.mark.parametrize(
    ("reason", "detail", "challenge"),
    [
        (Reason.TOKEN_MISSING, "header x", f'Bearer realm="{SERVICE}"'),
        (Reason.KEY_MISSING, "header x", f'ApiKey realm="{SERVICE}"'),
        (
            Reason.TOKEN_EXPIRED,
            "",
            f'Bearer realm="{SERVICE}", error="invalid_token", error_description="{Reason.TOKEN_EXPIRED.sentence}"',
        ),
        (
            Reason.TOKEN_SCOPE,
            "read write",
            f'Bearer realm="{SERVICE}", error="insufficient_scope", scope="read write"',
        ),
        (Reason.TOKEN_SCOPE, 'a"b\\', f'Bearer realm="{SERVICE}", error="insufficient_scope", scope="ab"'),
    ],
)
def test_challenges(reason, detail, challenge):
    message = reply(Verdict(reason, a_rule(BY_BOTH), detail=detail))

    assert [h.header.value for h in message.denied_response.headers] == [challenge]


def test_what_is_remembered_per_operation_is_bounded(monkeypatch):
    monkeypatch.setattr("authz.check.reply._REMEMBERED", 2)
    replies = Replies(Settings())
    for name in ("A", "B", "C"):
        book = compile_book(an_inventory(a_service(an_operation(name))), Settings())
        (rule,) = book.operations.values()
        replies.build(Verdict(None, rule), Call(b""))

    assert len(replies._fixed) == 1
