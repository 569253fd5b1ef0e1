"""The view the hot path reads: compiled at deploy time, swapped whole. It knows nothing of gRPC."""
