"""What a service of RPCs means, written as the OpenAPI document that means the same. This room opens no file.

openapi(config, texts, version)  -> Written: the document, and what OpenAPI cannot say
as_yaml(document)                -> its text

Beside the protos that the service was made of, the document stands for their annotations and google.api.Service YAMLs:
one operation for each binding, named by `x-authz-grpc`, and keys, tokens, quotas and backends as extensions.
"""

from authz.sources.write.document import VERSIONS, Written, as_yaml, openapi

__all__ = ["VERSIONS", "Written", "as_yaml", "openapi"]
