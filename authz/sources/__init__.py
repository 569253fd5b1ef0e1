"""What a user writes, made into the model. This room knows files, YAML and OpenAPI; it knows neither Envoy nor SQL.

read_files(paths)            -> texts
compile_texts(texts)         -> one ServiceConfig for each host, and findings
compile_service(texts)       -> one ServiceConfig; different hosts are an error
service_json(config, texts)  -> google.api.Service
"""

from authz.sources.compile import Compiled, compile_service, compile_texts
from authz.sources.files import read_files
from authz.sources.service_json import service_json

__all__ = ["Compiled", "compile_service", "compile_texts", "read_files", "service_json"]
