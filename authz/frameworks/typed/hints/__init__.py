"""One type hint at a time: what JSON it is, how it is read and written, and how both dialects of OpenAPI say it."""
