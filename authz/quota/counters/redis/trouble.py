"""What goes wrong with Redis, as sentences for people. None contains a password or other people's keys."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

from redis import exceptions

from authz.quota.counters.ledger import LedgerLost

OLDEST = (6, 2)
"""The oldest version that is tested; HELLO tells it."""

_PERMISSIONS = (
    "grant ~authz:* &authz:* +evalsha +eval +script|load +time +hset +hget +hmget +expireat +pexpire +zadd +zrem "
    "+zremrangebyscore +zcard +publish +subscribe +ping, and +cluster for a Cluster"
)
_BY_WORD = {
    "OOM": "is full: raise maxmemory, or let it evict keys that expire (maxmemory-policy volatile-ttl)",
    "READONLY": "is a replica, which cannot count: name the primary, or use redis+sentinel:// or redis+cluster://",
    "MASTERDOWN": "is a replica that has lost its primary",
    "LOADING": "is still loading its data",
    "NOPERM": f"does not let its user count: {_PERMISSIONS}",
    "ACL failure": f"does not let its user count: {_PERMISSIONS}",
    "can't run this command": f"does not let its user count: {_PERMISSIONS}",
    "WRONGPASS": "does not accept the user name or password",
    "NOAUTH": "wants a password, and the URL has none",
    "without any password configured": "has no password set for this user, and the URL has one",
    "invalid password": "does not accept the user name or password",
    "invalid username-password": "does not accept the user name or password",
    "already authenticated": "wants a password, and the URL has none",
    "Authentication required": "wants a password, and the URL has none",
    "CLUSTERDOWN": "is a Cluster that is down: not all slots are served",
    "TRYAGAIN": "is moving this counter to another node of the Cluster",
    "CROSSSLOT": "is a Cluster: write redis+cluster://",
    "MOVED": "is a node of a Cluster: write redis+cluster://",
    "cluster support disabled": "is not a Cluster: write redis:// or rediss://",
    "MISCONF": "refuses to write because it cannot save to its disk",
    "NOREPLICAS": "refuses to write because it has too few replicas (min-replicas-to-write)",
    "BUSY": "is busy with somebody's script",
    "WRONGTYPE": "has something else under the name of a counter: use a database of its own (redis://host/1)",
    "max number of clients": "has no connection left (maxclients)",
    "non deterministic commands": "is too old: Redis 6.2 or Valkey is needed",
    "unknown command": "lacks a command: Redis 6.2 or Valkey is needed, and behind redis+sentinel:// its sentinels",
    "DB index is out of range": "has no such database: the number at the URL's end",
}
_BY_KIND: dict[type[Exception], str] = {
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.ClusterCrossSlotError: "CROSSSLOT",
    exceptions.MovedError: "MOVED",
    exceptions.AskError: "MOVED",
    exceptions.TryAgainError: "TRYAGAIN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
}
_ENDED = "has ended the connection"
_EARLY = ": does it want TLS (rediss://), or a client certificate (ssl_certfile)?"
_LONGEST_QUOTE = 120


def lost(place: str, error: BaseException, *, early: bool = False) -> LedgerLost:
    """The sentence for an error; `place` is the server's address. `early`: it came before the first answer."""
    predicate = _predicate(error)
    return LedgerLost(f"Redis at {place} {predicate}{_EARLY if early and predicate == _ENDED else ''}")


def late(place: str, seconds: float, *, tls: bool = False) -> LedgerLost:
    """No answer in time. A server without TLS waits for more when it is greeted with TLS."""
    hint = " over TLS; does it speak TLS? Else write redis in place of rediss" if tls else ""
    return LedgerLost(f"Redis at {place} does not answer within {seconds:g} s{hint}")


def is_replica(reply: object) -> bool:
    """Whether a reply says that its server is not the primary any more."""
    return isinstance(reply, Exception) and _word(reply) in {"READONLY", "MASTERDOWN"}


def _predicate(error: BaseException) -> str:
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"has a certificate that is not trusted ({cause.verify_message}): see ssl_ca_certs in the README"
        if isinstance(cause, ssl.SSLError):
            return "ends the TLS handshake: is this its TLS port, and does it want a client certificate (ssl_certfile)?"
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return "does not answer in time"
    if word := _word(error):
        return _BY_WORD[word]
    if isinstance(error, exceptions.AuthenticationError):
        return _BY_WORD["WRONGPASS"]
    if isinstance(error, exceptions.InvalidResponse | TypeError | ValueError | UnicodeError | LookupError):
        return "answers what is not Redis' protocol: does the URL lead to another service?"
    if isinstance(error, exceptions.ResponseError):
        return f'answers "{_quoted(error)}"'
    for cause in _chain(error):
        if isinstance(
            cause, ConnectionResetError | BrokenPipeError
        ):  # so a server ends it that has not read everything
            return _ENDED
        if isinstance(cause, OSError) and cause.strerror:
            return f"cannot be reached: {cause.strerror}"
    return _ENDED


def _word(error: BaseException) -> str:
    for kind, word in _BY_KIND.items():
        if isinstance(error, kind):
            return word
    # Within a script, an older server puts a command's error code into the middle of the text.
    text = str(error)
    return next((word for word in _BY_WORD if word in text), "") if isinstance(error, exceptions.RedisError) else ""


def _quoted(error: BaseException) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", str(error))[:_LONGEST_QUOTE]


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
