"""YAML and JSON texts as trees of mappings that know their lines. It knows nothing of OpenAPI."""
