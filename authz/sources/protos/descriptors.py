"""Descriptor sets put together: the services of one API, their methods, and the types that those speak of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.api import annotations_pb2, client_pb2, http_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto
from google.rpc import error_details_pb2, status_pb2

from authz.model.service import Rpc
from authz.sources.lint import Findings
from authz.sources.protos.packed import Packed

_HINT_IMPORTS = "Make the set with 'protoc --include_imports', or give the .proto files themselves."
_THEIRS = "google/"
_SERVICE, _METHOD, _OPTIONS = 6, 2, 4  # field numbers on the way to a method in descriptor.proto
_HTTP = annotations_pb2.http.number


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: what findings need."""

    file: str
    line: int
    findings: Findings

    def report(self, code: str, message: str, hint: str = "") -> None:
        """Remember a finding here."""
        self.findings.add(code, self.file, self.line, message, hint)


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a file: `index` is its number among the file's services."""

    name: str
    packed: Packed
    file: FileDescriptorProto
    index: int

    @property
    def proto(self) -> ServiceDescriptorProto:
        """Its descriptor."""
        proto: ServiceDescriptorProto = self.file.service[self.index]
        return proto

    @property
    def default_host(self) -> str:
        """The host that the proto names, without a port."""
        host: str = self.proto.options.Extensions[client_pb2.default_host]
        return host.partition(":")[0].strip()


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service, with its types. `http` is the annotation, None if it has none."""

    rpc: Rpc
    request: Descriptor
    response: Descriptor
    http: http_pb2.HttpRule | None
    place: Place
    http_place: Place
    summary: str = ""

    @property
    def selector(self) -> str:
        """`package.Service.Method`."""
        return f"{self.rpc.service}.{self.rpc.method}"


def services(packed: Packed) -> Iterator[Service]:
    """The services that a set was made for: those of its main files, or else of all files that are not Google's."""
    found = list(_services(packed, packed.mains or tuple(file.name for file in packed.files)))
    ours = [service for service in found if packed.mains or not service.name.startswith("google.")]
    return iter(ours or found)


def all_services(packed: Packed) -> Iterator[Service]:
    """Every service of a set, imported ones included."""
    return _services(packed, tuple(file.name for file in packed.files))


def _services(packed: Packed, names: Iterable[str]) -> Iterator[Service]:
    wanted = set(names)
    for file in packed.files:
        if file.name in wanted:
            prefix = f"{file.package}." if file.package else ""
            for index, service in enumerate(file.service):
                yield Service(prefix + service.name, packed, file, index)


class Schema:
    """The files of some sets as one, checked: every type that is named is there, once."""

    def __init__(self, sets: Sequence[Packed], findings: Findings) -> None:
        self.findings = findings
        self.files: dict[str, FileDescriptorProto] = {}
        self.lines: dict[str, Lines] = {}
        self.pool = descriptor_pool.DescriptorPool()
        self.is_sound = self._merge(sets) and self._order() and self._build()

    def _merge(self, sets: Sequence[Packed]) -> bool:
        owners: dict[str, Packed] = {}
        sound = True
        for packed in sets:
            for file in packed.files:
                before = owners.setdefault(file.name, packed)
                if before is packed and file.name not in self.files:
                    self.files[file.name] = _bare(file)
                elif not file.name.startswith(_THEIRS) and _bare(file) != self.files[file.name]:
                    message = f"'{file.name}' is not the same as in {before.source}"
                    hint = "Compile all protos of a service together, or rename one of the two."
                    self.findings.add("descriptor-conflict", packed.source, 0, message, hint)
                    sound = False
        return sound and self._complete(owners) and self._distinct(owners)

    def _complete(self, owners: dict[str, Packed]) -> bool:
        sound = True
        for file in self.files.values():
            for missing in (name for name in file.dependency if name not in self.files):
                packed = owners[file.name]
                message = f"the descriptor set lacks '{missing}', which '{file.name}' imports"
                self.findings.add("descriptor-imports", packed.source, 0, message, _HINT_IMPORTS)
                # One is enough to know how the set was made.
                return False
        return sound

    def _distinct(self, owners: dict[str, Packed]) -> bool:
        homes: dict[str, str] = {}
        sound = True
        for file in self.files.values():
            for service in file.service:
                name = f"{file.package}.{service.name}".lstrip(".")
                before = homes.setdefault(name, file.name)
                if before != file.name:
                    packed = owners[file.name]
                    message = f"the service {name} is in '{before}' too, where it is another one"
                    hint = "A full name stands for one service: remove one, or give it another package."
                    self.findings.add("descriptor-conflict", packed.shown(file.name), 0, message, hint)
                    sound = False
        return sound

    def _order(self) -> bool:
        """Put imports first, whatever the order of the sets."""
        ordered: dict[str, FileDescriptorProto] = {}
        entered: set[str] = set()
        stack = [(name, False) for name in sorted(self.files, reverse=True)]
        while stack:
            name, is_done = stack.pop()
            if is_done:
                ordered[name] = self.files[name]
            elif name not in entered:
                entered.add(name)
                stack.append((name, True))
                stack += [(one, False) for one in sorted(self.files[name].dependency, reverse=True)]
        self.files = ordered
        return True

    def _build(self) -> bool:
        for name, file in self.files.items():
            try:
                self.pool.AddSerializedFile(file.SerializeToString())
            except TypeError as error:
                message = f"the descriptor set does not fit together at '{name}': {_said(error)}"
                self.findings.add("descriptor-invalid", name, 0, message, "Make the set with protoc, from one source.")
                return False
        return True

    def methods(self, service: Service) -> Iterator[Method]:
        """The methods of a service, in order."""
        packed, proto = service.packed, service.proto
        shown = packed.shown(service.file.name)
        lines = self._lines(service.file)
        for index, method in enumerate(self.pool.FindServiceByName(service.name).methods):
            written = proto.method[index]
            has_rule = written.options.HasExtension(annotations_pb2.http)
            yield Method(
                rpc=Rpc(service.name, method.name, written.client_streaming, written.server_streaming),
                request=method.input_type,
                response=method.output_type,
                http=written.options.Extensions[annotations_pb2.http] if has_rule else None,
                place=Place(shown, lines.line((service.index, index)), self.findings),
                http_place=Place(shown, lines.http_line((service.index, index)), self.findings),
                summary=lines.summary((service.index, index)),
            )

    def _lines(self, file: FileDescriptorProto) -> Lines:
        # Sets that have a file in common tell its places alike, if they tell them at all.
        known = self.lines.get(file.name)
        if known is None or (not known.own and file.HasField("source_code_info")):
            self.lines[file.name] = known = Lines(file)
        return known

    def serialized(self, rules: dict[str, http_pb2.HttpRule | None]) -> bytes:
        """All files as one set, imports first, with the http rules that hold, by selector, in their methods."""
        complete = dict(self.files)
        for module in (status_pb2, error_details_pb2):
            _add(complete, module.DESCRIPTOR)
        chosen = FileDescriptorSet()
        for file in complete.values():
            _annotate(chosen.file.add(), file, rules)
        made: bytes = chosen.SerializeToString(deterministic=True)
        return made


class Lines:
    """Where the methods of a file stand, as far as its set says. A method is a service's number and its own."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self.own: dict[tuple[int, int], int] = {}
        self.http: dict[tuple[int, int], int] = {}
        self.comments: dict[tuple[int, int], str] = {}
        for location in file.source_code_info.location:
            path = location.path
            if len(path) < 4 or path[0] != _SERVICE or path[2] != _METHOD or not location.span:
                continue
            method = path[1], path[3]
            if len(path) == 4:
                self.own[method] = location.span[0] + 1
                self.comments[method] = location.leading_comments
            elif len(path) > 5 and path[4] == _OPTIONS and path[5] == _HTTP:
                self.http.setdefault(method, location.span[0] + 1)

    def line(self, method: tuple[int, int]) -> int:
        """The line of a method; 0 if the set does not say."""
        return self.own.get(method, 0)

    def http_line(self, method: tuple[int, int]) -> int:
        """The line of a method's http annotation."""
        return self.http.get(method, self.line(method))

    def summary(self, method: tuple[int, int]) -> str:
        """The first line of the comment above a method."""
        comment = self.comments.get(method, "")
        return comment.strip().split("\n", 1)[0].strip() if isinstance(comment, str) else ""


def _bare(file: FileDescriptorProto) -> FileDescriptorProto:
    if not file.HasField("source_code_info"):
        return file
    bare = FileDescriptorProto()
    bare.CopyFrom(file)
    bare.ClearField("source_code_info")
    return bare


def _add(files: dict[str, FileDescriptorProto], descriptor: FileDescriptor) -> None:
    """Add an installed file and what it imports, unless a set brought its own."""
    for dependency in descriptor.dependencies:
        _add(files, dependency)
    if descriptor.name not in files:
        files[descriptor.name] = FileDescriptorProto()
        descriptor.CopyToProto(files[descriptor.name])


def _annotate(
    target: FileDescriptorProto, file: FileDescriptorProto, rules: dict[str, http_pb2.HttpRule | None]
) -> None:
    target.CopyFrom(file)
    prefix = f"{file.package}." if file.package else ""
    for service in target.service:
        for method in service.method:
            selector = f"{prefix}{service.name}.{method.name}"
            if selector in rules:
                method.options.ClearExtension(annotations_pb2.http)
                if (rule := rules[selector]) is not None:
                    method.options.Extensions[annotations_pb2.http].CopyFrom(rule)


def _said(error: TypeError) -> str:
    return str(error).rpartition(": ")[2].strip() or "a type is missing"
