"""The route table: what Envoy matches, and what each match carries along.

`table` has a virtual host per service and puts its live configs into it, `writer` writes one config's routes, and
`actions` says where a request goes, for how long, and what refuses it.
"""

from authz.xds.routes.actions import HSTS, UNKNOWN_HOST, UNKNOWN_PATH, UNSAFE_PATH, WEBSOCKET
from authz.xds.routes.table import build
from authz.xds.routes.writer import needs_check

__all__ = ["HSTS", "UNKNOWN_HOST", "UNKNOWN_PATH", "UNSAFE_PATH", "WEBSOCKET", "build", "needs_check"]
