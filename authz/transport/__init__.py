"""Bytes in, bytes out: gRPC over HTTP/2. This room does not know what it carries."""
