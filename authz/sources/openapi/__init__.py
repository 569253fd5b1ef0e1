"""OpenAPI documents as readings: what one document of either family says, in the nouns of the model."""
