"""OpenAPI operations that name RPCs, held against the protos: google.api.http rules, operations, and findings."""
