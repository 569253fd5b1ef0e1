"""The old module `endpoints.openapi_generator`: the OpenAPI 2.0 document of one API, as a dictionary or as text."""

from __future__ import annotations

import json
from typing import Any

from authz.frameworks.document import openapi
from authz.frameworks.endpoints.one import one_api


class OpenApiGenerator:
    """Writes the document of the classes of one API."""

    def get_openapi_dict(
        self, services: Any, hostname: str | None = None, x_google_api_name: bool = False
    ) -> dict[str, Any]:
        """The document of a class or a list of classes.

        Raises:
            ApiConfigurationError: the classes belong to several APIs, or cannot be one.
        """
        return openapi(one_api(services), hostname=hostname, api_name=x_google_api_name)

    def pretty_print_config_to_json(
        self, services: Any, hostname: str | None = None, x_google_api_name: bool = False
    ) -> str:
        """The same as text."""
        return json.dumps(self.get_openapi_dict(services, hostname, x_google_api_name), indent=2, sort_keys=True)
