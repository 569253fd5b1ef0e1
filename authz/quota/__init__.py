"""How much is left? This room knows the rulebook, never SQL, credentials or how Envoy is configured."""
