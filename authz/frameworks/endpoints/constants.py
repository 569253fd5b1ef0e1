"""The old module `endpoints.constants`."""

from __future__ import annotations

from authz.frameworks.types import API_EXPLORER_CLIENT_ID

__all__ = ["API_EXPLORER_CLIENT_ID"]
