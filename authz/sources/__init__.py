"""What a user writes, and the model of it. This room knows files, never Envoy or SQL."""
