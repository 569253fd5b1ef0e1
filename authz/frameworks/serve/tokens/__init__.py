"""Tokens checked in this process, without a gateway: `rules` decide, `keys` fetches, `guard` puts them together."""
