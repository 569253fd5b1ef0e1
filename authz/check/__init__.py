"""Where one question is answered: may this call pass.

bytes -> `call` -> `decide` (pure; looks up in `keys`, `jwt` and `tokens`) -> `reply` -> bytes. `servicer` is the shell
that fetches what `decide` finds missing: key sets through `jwks` and `fetch`, API keys from the store.
This room knows ext_authz and credentials; it knows no SQL, no transport and no quota.
"""
