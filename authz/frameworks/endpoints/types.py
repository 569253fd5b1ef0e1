"""The old module `endpoints.types`."""

from __future__ import annotations

from authz.frameworks.types import Issuer, LimitDefinition, Namespace, OAuth2Scope

__all__ = ["Issuer", "LimitDefinition", "Namespace", "OAuth2Scope"]
