"""Verdict -> the bytes of a CheckResponse. A reply is a denial until every piece of an allow is there.

It knows `envoy.service.auth.v3` and the names in `wire`. Bodies are plain text: Envoy's local reply format wraps
them into `{"code", "message"}`, and for gRPC they become grpc-message.

Speed: the pieces that calls share are serialised once and remembered. A protobuf message's repeated fields may
stand in any number of pieces behind one another, so an OkHttpResponse is the concatenation of its pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2

from authz import details, protobuf, wire
from authz.check.call import Call
from authz.check.decide import Reason, Verdict
from authz.model.auth import Consumer, Place, PlaceKind
from authz.model.quota import COUNTERS_BACK_IN
from authz.rulebook.book import OperationRule
from authz.settings import Settings

_OVERWRITE: Final = base_pb2.HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
_OK_RESPONSE: Final = b"\x1a"
"""Field 3, length-delimited: CheckResponse.ok_response."""
_DENIED_RESPONSE: Final = b"\x12"
"""Field 2: CheckResponse.denied_response."""
_TO_ADD, _DENIED_HEADERS, _HEADER_VALUE = b"\x32", b"\x12", b"\x0a"
"""Fields 6 of OkHttpResponse, 2 of DeniedHttpResponse, both HeaderValueOptions; 1 of HeaderValueOption, its header."""
_REMEMBERED: Final = 8192


class Replies:
    """Builds replies in one gateway's settings.

    What is remembered is bounded: by what the gateway's configs hold, or by count where callers can vary it.
    """

    def __init__(self, settings: Settings) -> None:
        self._names = wire.upstream_headers(settings.header_prefix)
        self._strips = settings.strip_credentials
        self._pads = settings.pad_user_info
        self._logs = bool(settings.access_log)
        self._fixed: dict[tuple[object, ...], bytes] = {}
        self._by_key: dict[tuple[object, ...], bytes] = {}
        # A consumer whose key is at hand should not need a reply built anew: it costs more than everything else.
        self._most_by_key = max(_REMEMBERED, settings.key_cache_size)
        self._of_consumer = lru_cache(_REMEMBERED)(self._consumer)
        self._of_token = lru_cache(_REMEMBERED)(self._user_info)

    def build(self, verdict: Verdict, call: Call | None) -> bytes:
        """The reply to a call; a call that could not be read (None) can only be denied."""
        reason, rule, consumer, token, _, backend = verdict
        if reason is None and rule is not None and consumer is not None and not (token or backend or self._strips):
            return self._allowed_by_key(verdict, rule, consumer, call)
        return self._build(verdict, call)

    def _allowed_by_key(self, verdict: Verdict, rule: OperationRule, consumer: Consumer, call: Call | None) -> bytes:
        """The usual allow: nothing in it is the call's own."""
        charged = call is not None and call.charges
        key = (rule.service, rule.config, rule.selector, consumer.number, consumer.name, consumer.kind, charged)
        if (reply := self._by_key.get(key)) is None:
            if len(self._by_key) >= self._most_by_key:
                self._by_key.clear()
            reply = self._by_key[key] = self._build(verdict, call)
        return reply

    def _build(self, verdict: Verdict, call: Call | None) -> bytes:
        reason, rule = verdict.reason, verdict.rule
        if reason is None and rule is not None and call is not None:
            return self._allowed(verdict, rule, call) + self._metadata(verdict, rule, call)
        realm, is_grpc = rule.service if rule else "", call is not None and call.is_grpc
        name = verdict.consumer.name if verdict.consumer is not None else ""
        metadata = _metadata(_subject(verdict, call), name, reason.name if reason else Reason.INTERNAL.name)
        return _denied(reason or Reason.INTERNAL, verdict.detail, realm, is_grpc) + metadata

    def _metadata(self, verdict: Verdict, rule: OperationRule, call: Call) -> bytes:
        """What is written with an allow: only what somebody reads."""
        if self._logs:
            name = verdict.consumer.name if verdict.consumer is not None else ""
            return _metadata(_subject(verdict, call), name, "allow")
        return _metadata(_subject(verdict, call)) if rule.charges and not call.charges else b""

    def _allowed(self, verdict: Verdict, rule: OperationRule, call: Call) -> bytes:
        consumer, token, backend = verdict.consumer, verdict.token, verdict.backend_token
        forwarded = self._forwarded(rule, call) if backend else ""
        pieces = self._fixed_part(rule, consumer is not None, token is not None, bool(backend), bool(forwarded))
        if consumer is not None:
            pieces += self._of_consumer(consumer.number, consumer.kind.value)
        if token is not None:
            pieces += self._of_token(token.user_info)
        if backend:
            pieces += _headers(("authorization", f"Bearer {backend}"))
        if forwarded:
            pieces += _headers((wire.FORWARDED_AUTHORIZATION, forwarded))
        if self._strips:
            pieces += _other_cookies(rule, call)
        return protobuf.block(_OK_RESPONSE, pieces)

    def _fixed_part(self, rule: OperationRule, *given: bool) -> bytes:
        """What every allow of an operation shares: the removal of all that is not given."""
        # A config is immutable, so its operations' parts are too.
        key = (rule.service, rule.config, rule.selector, given)
        if (part := self._fixed.get(key)) is None:
            if len(self._fixed) >= _REMEMBERED:
                self._fixed.clear()
            part = self._fixed[key] = _bytes(self._fixed_message(rule, *given))
        return part

    def _fixed_message(
        self, rule: OperationRule, consumer: bool, token: bool, backend: bool, forwarded: bool
    ) -> external_auth_pb2.OkHttpResponse:
        removed = {
            self._names[wire.USER_INFO]: not token,
            self._names[wire.CONSUMER_TYPE]: not consumer,
            self._names[wire.CONSUMER_NUMBER]: not consumer,
            wire.FORWARDED_AUTHORIZATION: not forwarded,
        }
        places = set(_places(rule)) if self._strips else set()
        stripped = {place.name for place in places if place.kind is PlaceKind.HEADER}
        # Envoy removes after it sets: the backend's own token must not go with the caller's.
        stripped -= {wire.AUTHORIZATION} if backend else set()
        return external_auth_pb2.OkHttpResponse(
            headers_to_remove=sorted({name for name, gone in removed.items() if gone} | stripped),
            query_parameters_to_remove=sorted(place.name for place in places if place.kind is PlaceKind.QUERY),
        )

    def _forwarded(self, rule: OperationRule, call: Call) -> str:
        """The caller's own Authorization, which makes room for the gateway's."""
        value = call.headers.get(wire.AUTHORIZATION, "")
        stripped = self._strips and any(place.name == wire.AUTHORIZATION for place in _places(rule))
        return "" if stripped or not value.isprintable() else value

    def _consumer(self, number: int, kind: str) -> bytes:
        return _headers((self._names[wire.CONSUMER_TYPE], kind), (self._names[wire.CONSUMER_NUMBER], str(number)))

    def _user_info(self, text: str) -> bytes:
        padding = "=" * (-len(text) % 4) if self._pads else ""
        return _headers((self._names[wire.USER_INFO], text + padding))


def told(headers: Iterable[bytes], *, denied: bool) -> bytes:
    """What a reply ends with to tell the caller more: HeaderValues, serialised."""
    response, field = (_DENIED_RESPONSE, _DENIED_HEADERS) if denied else (_OK_RESPONSE, _TO_ADD)
    return protobuf.block(response, b"".join([_option(field, header) for header in headers]))


def _option(field: bytes, header: bytes) -> bytes:
    """A HeaderValueOption, in the usual case in one go: two lengths of a byte each."""
    size = len(header)
    if size < 126:
        return b"%b%c\x0a%c%b" % (field, size + 2, size, header)
    return protobuf.block(field, protobuf.block(_HEADER_VALUE, header))


def _other_cookies(rule: OperationRule, call: Call) -> bytes:
    """The Cookie header without credentials: Envoy can remove a header, but no part of one."""
    names = {place.name for place in _places(rule) if place.kind is PlaceKind.COOKIE}
    cookies = call.headers.get("cookie", "").split(";") if names else []
    kept = [cookie.strip() for cookie in cookies if cookie.partition("=")[0].strip() not in names]
    if len(kept) == len(cookies):
        return b""
    text = "; ".join(kept)
    if text and text.isprintable():
        return _headers(("cookie", text))
    return _bytes(external_auth_pb2.OkHttpResponse(headers_to_remove=["cookie"]))


def _subject(verdict: Verdict, call: Call | None) -> str:
    if verdict.consumer is not None:
        return f"{wire.SUBJECT_CONSUMER}{verdict.consumer.number}"
    return f"{wire.SUBJECT_ADDRESS}{call.address if call else ''}"


def _places(rule: OperationRule) -> Iterator[Place]:
    for way in rule.alternatives:
        yield from way.key_places
        yield from way.jwt.provider.places if way.jwt else ()


def _set(
    message: external_auth_pb2.OkHttpResponse | external_auth_pb2.DeniedHttpResponse, name: str, text: str
) -> None:
    # `validate_mutations` in Envoy would turn a control character into a 500; nothing of ours may get that far.
    if not text.isprintable():
        raise ValueError(f"a value of {name} holds control characters")
    message.headers.append(base_pb2.HeaderValueOption(header={"key": name, "value": text}, append_action=_OVERWRITE))


def _headers(*headers: tuple[str, str]) -> bytes:
    message = external_auth_pb2.OkHttpResponse()
    for name, text in headers:
        _set(message, name, text)
    return _bytes(message)


def _bytes(message: external_auth_pb2.CheckResponse | external_auth_pb2.OkHttpResponse) -> bytes:
    serialized: bytes = message.SerializeToString()
    return serialized


@lru_cache(_REMEMBERED)
def _metadata(subject: str, consumer: str | None = None, decision: str | None = None) -> bytes:
    """The dynamic metadata by which the rate limit filter and the access log learn who called."""
    message = external_auth_pb2.CheckResponse()
    fields = message.dynamic_metadata.fields
    fields[wire.METADATA_SUBJECT].string_value = subject
    if consumer is not None and decision is not None:
        fields[wire.METADATA_CONSUMER].string_value = consumer
        fields[wire.METADATA_DECISION].string_value = decision
    return _bytes(message)


@lru_cache(_REMEMBERED)
def _denied(reason: Reason, detail: str, realm: str, is_grpc: bool) -> bytes:
    message = external_auth_pb2.CheckResponse()
    # Envoy lets code 0 pass, whatever else the reply says.
    message.status.code = reason.grpc
    denied = message.denied_response
    denied.status.code = reason.http
    denied.body = reason.message(detail)
    if challenge := _challenge(reason, detail, realm):
        _set(denied, "www-authenticate", challenge)
    if is_grpc:
        # Envoy would derive the status from the HTTP one (400 becomes INTERNAL); this header overrides it.
        _set(denied, "grpc-status", str(reason.grpc))
        if reason is not Reason.QUOTA_USED_UP:  # whose details are the quota's to tell
            _set(denied, details.TRAILER, _details(reason, detail, realm))
    return _bytes(message)


def _details(reason: Reason, detail: str, service: str) -> str:
    told = [details.reason(reason.name, service)]
    if reason is Reason.QUOTA_UNREACHABLE:
        told.append(details.retry(COUNTERS_BACK_IN))
    return details.trailer(reason.grpc, reason.message(detail), *told)


def _challenge(reason: Reason, detail: str, realm: str) -> str:
    """WWW-Authenticate: RFC 6750 for tokens; 401 needs a challenge (RFC 9110, 15.5.2), so keys have a scheme too."""
    quoted = realm.replace("\\", "").replace('"', "")
    if reason is Reason.KEY_MISSING:
        return f'ApiKey realm="{quoted}"'
    if reason.http != 401 and not reason.oauth:
        return ""
    parts = [f'realm="{quoted}"']
    if reason.oauth:
        parts += [f'error="{reason.oauth}"', f'error_description="{reason.sentence.format(detail="")}"']
    if reason is Reason.TOKEN_SCOPE:
        scope = detail.replace("\\", "").replace('"', "")
        parts[-1:] = [f'scope="{scope}"']
    return "Bearer " + ", ".join(parts)
