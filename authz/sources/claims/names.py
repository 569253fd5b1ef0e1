"""Which RPC an operation means: by x-authz-grpc, or by its operationId where its backend takes gRPC calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from authz.sources.openapi.rpcs import Claim
from authz.sources.protos.descriptors import Service

_MOST = 12  # names in a hint
_REMEDY = "Write 'x-authz-grpc: package.Service/Method'"


class Names:
    """The methods of some services, by every name that a document may give them."""

    def __init__(self, services: Iterable[Service]) -> None:
        self.services: dict[str, list[str]] = {}
        self.owners: dict[str, str] = {}
        self.by_id: dict[str, list[str]] = {}
        self.by_path: dict[str, str] = {}
        self.short: list[str] = []
        for service in services:
            self._add(service)

    def _add(self, service: Service) -> None:
        if service.name in self.services:
            return
        names = [method.name for method in service.proto.method]
        self.services[service.name] = names
        self.short += names
        for name in names:
            selector = f"{service.name}.{name}"
            self.owners[selector] = service.name
            self.by_path[f"/{service.name}/{name}"] = selector
            for spelling in _spellings(service.name, name):
                self.by_id.setdefault(spelling, []).append(selector)

    def said(self, claim: Claim) -> str:
        """The selector of the RPC that x-authz-grpc names; '' (and a finding) if there is none."""
        written = claim.named.rpc.strip("/.")
        selector = written.replace("/", ".") if written.count("/") == 1 else written
        if selector in self.owners:
            return selector
        message = f"'{claim.named.rpc}' is no RPC of the protos"
        claim.node.report("grpc-undefined", message, self._near(selector), claim.key)
        return ""

    def _near(self, selector: str) -> str:
        """What may have been meant."""
        service, _, name = selector.rpartition(".")
        if methods := self.services.get(service):
            near = get_close_matches(name, methods[:100], 1, 0.7)
            return f"Write '{service}/{near[0]}'." if near else f"{service} has {_listed(methods)}."
        meant = self.by_id.get(name, [])
        if meant:
            return f"Write {' or '.join(repr(self.shown(one)) for one in meant[:3])}."
        return f"The services are {_listed(list(self.services))}; {_REMEDY.lower()}."

    def shown(self, selector: str) -> str:
        """A selector as x-authz-grpc has it: `package.Service/Method`."""
        service = self.owners[selector]
        return f"{service}/{selector[len(service) + 1 :]}"

    def meant(self, claim: Claim) -> str:
        """The selector of the RPC whose name or path an operation has; '' (and a finding) if there is not just one."""
        if claim.called in self.by_path:
            return self.by_path[claim.called]
        written = claim.operation_id
        found = self.by_id.get(written) or self.by_id.get(written[:1].upper() + written[1:]) or []
        if len(found) > 1:
            message = f"the operationId '{written}' is a method of {len(found)} services"
            hint = f"{_REMEDY}: {' or '.join(self.shown(one) for one in found[:3])}."
            claim.node.report("grpc-ambiguous", message, hint, claim.key)
        elif not found:
            message = f"the operationId '{written}' is no RPC: requests reach a gRPC backend as they are"
            near = get_close_matches(written, self.short[:100], 1, 0.8)
            remedy = f"Write 'operationId: {near[0]}'" if near else _REMEDY
            claim.node.report("grpc-unnamed", message, f"{remedy}, or give the operation an http backend.", claim.key)
        return found[0] if len(found) == 1 else ""


def _spellings(service: str, name: str) -> Iterator[str]:
    """`Method`, `Service.Method`, `Service_Method`, and with the package before it."""
    short = service.rpartition(".")[2]
    yield from dict.fromkeys(
        (
            name,
            f"{short}.{name}",
            f"{short}_{name}",
            f"{service}.{name}",
            f"{service}.{name}".replace(".", "_"),
        )
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return (", ".join(names[:_MOST]) or "none") + more
