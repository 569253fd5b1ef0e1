"""gRPC services to measure with: descriptor sets, and the service configurations beside them."""

from __future__ import annotations

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from bench.documents import UNREACHABLE_LIMIT, Document

SERVICE = "bench.v1.Bench"
GUARDS = ("Open", "Key", "Metered")
ANSWER = b"\x0a\x02ok"
"""What every method answers: `{"text": "ok"}`."""
_IMPORTED = (descriptor_pb2, http_pb2, annotations_pb2)


def path(method: str) -> str:
    """Where a method is called in JSON."""
    return f"/v1/{method.lower()}"


def guarded() -> bytes:
    """One method for each kind of guard."""
    file = _file("bench", "bench.v1")
    service = file.service.add(name=SERVICE.rpartition(".")[2])
    for name in GUARDS:
        _method(service, name, "bench.v1", path(name))
    return _with_imports(file)


def guards(host: str, backend: str) -> Document:
    """What those methods ask of their callers."""
    metered = f"{SERVICE}.Metered"
    limit = {"name": "calls", "metric": "calls", "unit": "1/min/{project}", "values": {"STANDARD": UNREACHABLE_LIMIT}}
    return {
        **_service(host),
        "usage": {"rules": [{"selector": f"{SERVICE}.Open", "allow_unregistered_calls": True}]},
        "metrics": [{"name": "calls", "metric_kind": "DELTA", "value_type": "INT64"}],
        "quota": {"limits": [limit], "metric_rules": [{"selector": metered, "metric_costs": {"calls": 1}}]},
        "backend": {"rules": [{"selector": "*", "address": backend}]},
    }


def wide(host: str, services: int, methods: int, version: int) -> tuple[bytes, Document]:
    """So many services of so many methods, every method with messages and a path of its own in each version."""
    files = [_wide(f"wide.v{version}.s{number}", f"/v{version}/s{number}", methods) for number in range(services)]
    return _with_imports(*files), _service(host)


def _wide(package: str, base: str, methods: int) -> FileDescriptorProto:
    file = _file(package, package)
    service = file.service.add(name="Wide")
    for number in range(methods):
        for kind in ("Ask", "Answer"):
            message = file.message_type.add(name=f"{kind}{number}")
            for index, field in enumerate(("id", "text", "comment"), 1):
                _field(message, field, index)
        _method(service, f"Get{number}", package, f"{base}/things{number}/{{id}}", str(number))
    return file


def _service(host: str) -> Document:
    return {"type": "google.api.Service", "config_version": 3, "name": host}


def _file(name: str, package: str) -> FileDescriptorProto:
    file = FileDescriptorProto(
        name=f"{name}.proto", package=package, syntax="proto3", dependency=[annotations_pb2.DESCRIPTOR.name]
    )
    for kind in ("Ask", "Answer"):
        _field(file.message_type.add(name=kind), "text", 1)
    return file


def _field(message: descriptor_pb2.DescriptorProto, name: str, number: int) -> None:
    message.field.add(
        name=name, number=number, type=FieldDescriptorProto.TYPE_STRING, label=FieldDescriptorProto.LABEL_OPTIONAL
    )


def _method(
    service: descriptor_pb2.ServiceDescriptorProto, name: str, package: str, url: str, suffix: str = ""
) -> None:
    method = service.method.add(
        name=name, input_type=f".{package}.Ask{suffix}", output_type=f".{package}.Answer{suffix}"
    )
    method.options.Extensions[annotations_pb2.http].get = url


def _with_imports(*files: FileDescriptorProto) -> bytes:
    found = FileDescriptorSet()
    for module in _IMPORTED:
        module.DESCRIPTOR.CopyToProto(found.file.add())
    found.file.extend(files)
    return found.SerializeToString()
