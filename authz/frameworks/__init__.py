"""Endpoints Frameworks: decorated classes become OpenAPI documents and served APIs, in the user's own process."""
