"""argv to one admin call, one file a noun. This room knows neither SQL nor rules."""
