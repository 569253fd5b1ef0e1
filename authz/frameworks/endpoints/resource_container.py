"""The old module `endpoints.resource_container`."""

from __future__ import annotations

from authz.frameworks.declare import ResourceContainer

__all__ = ["ResourceContainer"]
