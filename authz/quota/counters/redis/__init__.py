"""The ledger in Redis: processes on any number of machines share windows.

`lease.lua` is the rule, `step` writes and reads its steps, `address` reads the URL, `route` knows which server has a
key, `link` talks to one server, `ears` hears recalls, and `ledger` puts them together. Tested with Redis 6.2 and
Valkey 9.1; older servers than Redis 6.2 are refused.
"""

from authz.quota.counters.redis.ledger import RedisLedger

__all__ = ["RedisLedger"]
