"""Fetches end in bounded time, with bounded bodies, where the deployer pointed and nowhere else."""

from __future__ import annotations

import pytest
from aiohttp import web

from authz.check.fetch import MOST_BYTES, Fetcher, FetchError, json_object


async def test_a_body_comes_back_with_the_headers_sent(server, fetcher):
    server.say("/keys", b"body")

    assert await fetcher.get(f"{server.url}/keys", {"X-A": "b"}) == b"body"
    assert server.requests[0].headers["x-a"] == "b"


async def test_a_form_is_posted(server, fetcher):
    async def echo(request):
        return web.Response(body=await request.read())

    server.say("/token", echo)

    assert await fetcher.post(f"{server.url}/token", {"a": "b c"}) == b"a=b+c"


@pytest.mark.parametrize("status", [204, 400, 404, 500])
async def test_other_statuses_are_errors(server, fetcher, status):
    server.say("/keys", status)
    with pytest.raises(FetchError, match=f"/keys answered {status}"):
        await fetcher.get(f"{server.url}/keys")


async def test_redirects_are_not_followed(server, fetcher):
    async def redirect(_):
        raise web.HTTPFound(f"{server.url}/other")

    server.say("/keys", redirect)
    server.say("/other", b"body")
    with pytest.raises(FetchError, match="redirect"):
        await fetcher.get(f"{server.url}/keys")
    assert server.count("/other") == 0


async def test_a_huge_body_is_cut_off(server, fetcher):
    server.say("/keys", b"x" * (MOST_BYTES + 1))
    with pytest.raises(FetchError, match="more than"):
        await fetcher.get(f"{server.url}/keys")


async def test_a_compressed_bomb_is_cut_off(server, fetcher):
    async def bomb(_):
        response = web.Response(body=b"x" * (8 * MOST_BYTES))
        response.enable_compression(web.ContentCoding.gzip)
        return response

    server.say("/keys", bomb)
    with pytest.raises(FetchError, match="more than"):
        await fetcher.get(f"{server.url}/keys")


async def test_a_slow_body_is_given_up(server):
    async def slow(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        await server.hold.wait()
        return response

    server.say("/keys", slow)
    fetcher = Fetcher(timeout=0.1)
    with pytest.raises(FetchError, match=r"did not answer within 0.1 s"):
        await fetcher.get(f"{server.url}/keys")
    await fetcher.close()


async def test_a_port_where_nobody_listens(fetcher):
    with pytest.raises(FetchError, match="cannot be reached"):
        await fetcher.get("http://127.0.0.1:1/keys")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/x", "keys", "", "http://", "http://[::1", "http://h:x/"]
)
async def test_what_is_no_url_of_the_web_is_not_fetched(fetcher, url):
    with pytest.raises(FetchError, match="no http or https URL"):
        await fetcher.get(url)


LINK_LOCAL = [
    "169.254.169.254", "[fe80::1]", "[fe80::1%25eth0]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]", "[fd00:ec2::254]", "①⑥⑨.254.169.254", "169。254。169。254",
]  # fmt: skip


@pytest.mark.parametrize("host", LINK_LOCAL)
async def test_link_local_addresses_are_for_the_metadata_server_only(fetcher, host):
    with pytest.raises(FetchError, match="link-local"):
        await fetcher.get(f"http://{host}/latest/meta-data")


async def test_a_name_of_a_link_local_address_is_not_followed(fetcher, monkeypatch):
    async def resolve(*_):
        return [{"hostname": "h", "host": "169.254.169.254", "port": 80, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", resolve)
    with pytest.raises(FetchError, match="link-local"):
        await fetcher.get("http://metadata.example.test/x")


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b"\xff", b"[" * 100_000])
def test_only_json_objects_are_documents(body):
    with pytest.raises(FetchError, match="here did not answer with a JSON object"):
        json_object(body, "here")


async def test_closing_twice_is_fine(fetcher):
    await fetcher.close()
    await fetcher.close()
