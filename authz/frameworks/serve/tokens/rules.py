"""What a token may do, in pure functions: no signature, no clock and no network here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from authz.frameworks.types import Issuer

GOOGLE_NAME: Final = "google_id_token"
GOOGLE: Final = Issuer("https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs")
_GOOGLE_ALIASES: Final = frozenset({"accounts.google.com", "https://accounts.google.com"})
_SCHEMES: Final = ("Bearer", "OAuth")
_X509: Final = "https://www.googleapis.com/robot/v1/metadata/x509/"
_JWK: Final = "https://www.googleapis.com/service_accounts/v1/jwk/"


def bearer(authorization: str, schemes: Iterable[str] = _SCHEMES) -> str | None:
    """The token of an Authorization header: all but the scheme and the one character after it. None: another scheme."""
    for scheme in schemes:
        if authorization.startswith(scheme):
            return authorization[len(scheme) + 1 :]
    return None


def scope_sets(declared: Iterable[str]) -> tuple[frozenset[str], ...]:
    """The alternatives that declared scopes are: each the words of one string. A string without words is none."""
    return tuple(frozenset(text.split()) for text in declared if text.split())


def all_scopes(declared: Iterable[str]) -> frozenset[str]:
    """Every scope that any alternative names."""
    return frozenset().union(*scope_sets(declared))


def has_scopes(granted: Collection[str], declared: Iterable[str]) -> bool:
    """Whether all scopes of one alternative are granted. Without alternatives nobody passes."""
    return any(wanted <= frozenset(granted) for wanted in scope_sets(declared))


def granted(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes that a token names: claim `scope`, a string of words, or else `scp`, which may be a list."""
    said = claims.get("scope", claims.get("scp", ""))
    return frozenset(said.split() if isinstance(said, str) else texts(said))


def clients(claims: Mapping[str, Any]) -> frozenset[str]:
    """Whom the token was given to: `azp`, or `client_id`, or else those that it is for."""
    said = claims.get("azp", claims.get("client_id"))
    return texts(claims.get("aud") if said is None else said)


def issuers(issuer: Issuer, *, google: bool) -> frozenset[str]:
    """What `iss` may say; Google signs with either of two spellings."""
    return _GOOGLE_ALIASES if google else frozenset({issuer.issuer})


def accepts(
    claims: Mapping[str, Any],
    *,
    allowed_issuers: Collection[str],
    audiences: Collection[str],
    allowed_client_ids: Collection[str] | None,
    google: bool,
) -> bool:
    """Whether a verified token's claims let it in. `google`: the issuer is the built-in one, whose clients are checked.

    `allowed_client_ids` None: any client that the audience lets in.
    """
    if claims.get("iss") not in allowed_issuers or not texts([claims.get("email")]):
        return False
    client, meant = claims.get("azp"), texts(claims.get("aud"))
    listed = allowed_client_ids is not None and client in allowed_client_ids and client != "*"
    if google and allowed_client_ids is not None and not listed:
        return False
    # A token that a client got for itself is as good, but only of a client that is named.
    return bool(meant & frozenset(audiences)) or (google and listed and meant == {client})


def texts(said: object) -> frozenset[str]:
    """What a claim lists: one text, or several."""
    many = [said] if isinstance(said, str) else said if isinstance(said, list | tuple) else ()
    return frozenset(text for text in many if isinstance(text, str) and text)


def convert_jwks_uri(uri: str) -> str:
    """Google's certificates as a JWK Set, which is what is read here; any other address as it is."""
    return _JWK + uri.removeprefix(_X509) if uri.startswith(_X509) else uri
