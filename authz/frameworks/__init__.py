"""Endpoints Frameworks: decorated Python classes become OpenAPI documents and served APIs, in the user's own process."""
