"""A sample API to try the gateway on: a bookstore, a backend that serves it, and an issuer that mints tokens.

Everything here is for looking at. Nothing here is imported unless somebody runs `authz demo`.
"""
