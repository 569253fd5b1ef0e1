"""The old module `endpoints.discovery_generator`: the discovery document of one API, as a dictionary or as text."""

from __future__ import annotations

import json
from typing import Any

from authz.frameworks.document import discovery
from authz.frameworks.endpoints.one import one_api


class DiscoveryGenerator:
    """Writes the discovery document of the classes of one API."""

    def get_discovery_doc(self, services: Any, hostname: str | None = None) -> dict[str, Any]:
        """The document of a class or a list of classes.

        Raises:
            ApiConfigurationError: the classes belong to several APIs, or cannot be one.
        """
        return discovery(one_api(services), hostname=hostname)

    def pretty_print_config_to_json(self, services: Any, hostname: str | None = None) -> str:
        """The same as text."""
        return json.dumps(self.get_discovery_doc(services, hostname), indent=2, sort_keys=True)
