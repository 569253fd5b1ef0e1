"""Requests that no well-behaved client sends: HTTP/1.1 as bytes, HTTP/2 as bare header lists."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from harness.http import Response, read_message

Headers = Sequence[tuple[str, str]]

NO_ANSWER = Response(0)
"""The connection or the stream was ended without an answer."""


async def http1(port: int, request: bytes, *, within: float = 10) -> Response:
    """Send these bytes, read one answer."""
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            start, headers, body = await read_message(reader)
            return Response(int(start.split()[1]), headers, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            return NO_ANSWER
        finally:
            writer.close()


async def http2(
    port: int, headers: Headers, body: bytes = b"", *, within: float = 10, trailers: Headers = ()
) -> Response:
    """Send one stream with exactly these headers over plain HTTP/2, read its answer; its trailers count as headers."""
    config = h2.config.H2Configuration(
        header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False
    )
    connection = h2.connection.H2Connection(config)
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            connection.initiate_connection()
            connection.send_headers(1, headers, end_stream=not body and not trailers)
            if body:
                connection.send_data(1, body, end_stream=not trailers)
            if trailers:
                connection.send_headers(1, trailers, end_stream=True)
            writer.write(connection.data_to_send())
            return await _answer(connection, reader, writer)
        except ConnectionError:
            return NO_ANSWER
        finally:
            writer.close()


async def _answer(
    connection: h2.connection.H2Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Response:
    response = Response(0)
    while data := await reader.read(65536):
        for event in connection.receive_data(data):
            match event:
                case h2.events.ResponseReceived(headers=headers):
                    fields = [(str(name), str(value)) for name, value in headers]
                    response = Response(int(dict(fields)[":status"]), [f for f in fields if f[0] != ":status"])
                case h2.events.TrailersReceived(headers=headers):
                    response.headers += [(str(name), str(value)) for name, value in headers]
                case h2.events.DataReceived(data=part, flow_controlled_length=length):
                    response.body += part
                    connection.acknowledge_received_data(length, 1)
                case h2.events.StreamEnded():
                    return response
                case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                    return NO_ANSWER
        writer.write(connection.data_to_send())
    return NO_ANSWER
