"""Documents of an API: OpenAPI 2.0 and 3.1, and Google's discovery document."""
