"""What must survive a restart. This room knows SQL, never OpenAPI."""
