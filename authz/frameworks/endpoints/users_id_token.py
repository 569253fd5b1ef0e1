"""The old module `endpoints.users_id_token`: who calls."""

from __future__ import annotations

from authz.frameworks.exceptions import InvalidGetUserCall
from authz.frameworks.serve.tokens.guard import get_verified_jwt
from authz.frameworks.serve.tokens.rules import convert_jwks_uri
from authz.frameworks.types import SKIP_CLIENT_ID_CHECK
from authz.frameworks.users import get_current_user

__all__ = ["SKIP_CLIENT_ID_CHECK", "InvalidGetUserCall", "convert_jwks_uri", "get_current_user", "get_verified_jwt"]
