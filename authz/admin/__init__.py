"""Verbs on the store: what the command line and the console do. This room knows neither Envoy nor HTTP."""
