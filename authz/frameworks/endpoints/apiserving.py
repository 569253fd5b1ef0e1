"""The old module `endpoints.apiserving`."""

from __future__ import annotations

from authz.frameworks.serve import api_server, asgi_server

__all__ = ["api_server", "asgi_server"]
