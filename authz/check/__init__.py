"""May this call pass? This room knows the rulebook, never SQL, quotas or how Envoy is configured."""
