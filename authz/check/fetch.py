"""Small documents from elsewhere: key sets, discovery documents, tokens. The only home of aiohttp.

Every fetch is bounded in time and size and follows no redirect: a key set's address is what a deployer wrote,
not where a stranger's server points.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from authz import __version__
from authz.errors import StateError

MOST_BYTES: Final = 1 << 20


class FetchError(StateError):
    """A document could not be fetched: unreachable, slow, large, redirected, or not answered with 200."""


class Fetcher:
    """One HTTP client session. `link_local` opens 169.254.0.0/16, where clouds keep their metadata servers."""

    def __init__(self, timeout: float, *, link_local: bool = False) -> None:
        self._timeout = timeout
        self._link_local = link_local
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a GET's 200.

        Raises:
            FetchError: says which URL and why.
        """
        return await self._fetch("GET", url, headers or {}, None)

    async def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a form POST's 200.

        Raises:
            FetchError: says which URL and why; never what was posted.
        """
        return await self._fetch("POST", url, headers or {}, form)

    async def close(self) -> None:
        """Close the session and its connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _fetch(self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> bytes:
        self._check(url)
        try:
            async with self._open().request(method, url, headers=headers, data=form, allow_redirects=False) as response:
                return await _body(response, url)
        except TimeoutError:
            raise FetchError(f"{url} did not answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(f"{url} cannot be reached: {error or type(error).__name__}") from None

    def _open(self) -> aiohttp.ClientSession:
        # Made at the first fetch, inside the event loop that will use it.
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=_Resolver(link_local=self._link_local), limit_per_host=4)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                headers={"User-Agent": f"envoy-authz/{__version__}"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _check(self, url: str) -> None:
        # Read as aiohttp reads it, to whom `①⑥⑨.254.169.254` is an address too.
        try:
            parts = URL(url)
        except ValueError:
            parts = URL()
        if parts.scheme not in {"http", "https"} or not parts.raw_host:
            raise FetchError(f"'{url}' is no http or https URL", "Write it as https://HOST/PATH.")
        if not self._link_local and _is_link_local(parts.raw_host):
            raise FetchError(f"{url} is a link-local address", "Keys are not fetched from there; name a real host.")


def json_object(body: bytes, where: str) -> dict[str, Any]:
    """A document that must be one JSON object.

    Raises:
        FetchError: it is not; names `where` it came from.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return document
    raise FetchError(f"{where} did not answer with a JSON object")


async def _body(response: aiohttp.ClientResponse, url: str) -> bytes:
    if 300 <= response.status < 400:
        raise FetchError(f"{url} answered with a redirect ({response.status})", "Name the final address instead.")
    if response.status != 200:
        raise FetchError(f"{url} answered {response.status}")
    body = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > MOST_BYTES:
            raise FetchError(f"{url} answered with more than {MOST_BYTES} bytes")
    return bytes(body)


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA: Final = ipaddress.IPv6Address("fd00:ec2::254")
"""Amazon's metadata server, which is not at a link-local address in IPv6."""


def _is_link_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        address = _inside(address) or address
    return address.is_link_local or address == _METADATA


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to."""
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


class _Resolver(AbstractResolver):
    """The system's resolver without link-local answers, so that no name leads to a metadata server."""

    def __init__(self, *, link_local: bool) -> None:
        self._inner = ThreadedResolver()
        self._link_local = link_local

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        kept = [one for one in found if self._link_local or not _is_link_local(one["host"])]
        if not kept:
            raise OSError(None, f"{host} has only link-local addresses")
        return kept

    async def close(self) -> None:
        await self._inner.close()
