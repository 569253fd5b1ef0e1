"""A case of `espv2_grpc.json` made ready to deploy: what its words say of a service, as the files that a user writes.

`http_rules` hold an RPC's bindings, `METHOD template [body=FIELD] -> METHOD`, and two sentences about credentials.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from functools import cached_property
from typing import Any

import yaml

from authz.model.service import SourceText
from authz.sources.protos.packed import pack
from cases.bookstore import HEALTH, V1, V2, descriptors
from cases.scenario import Key, Scenario, key_number

_BINDING = re.compile(r"(?P<verb>[A-Z]+|\*) (?P<path>\S+)(?: body=(?P<body>\S+))? -> (?P<method>[\w.]+)")
_TOKEN = re.compile(r"auth: (?P<method>\w+) needs JWT aud (?P<audience>\S+) issuer (?P<issuer>\S+)")
_KNOWN = {"v1.": f"{V1}.", "v2.": f"{V2}."}
_VERBS = ("get", "put", "post", "delete", "patch", "head", "options")


class RpcScenario(Scenario):
    """A case with a gRPC backend: a service YAML beside the bookstore's descriptors."""

    @property
    def rules(self) -> list[str]:
        return list(self.summary.get("http_rules", []))

    @cached_property
    def bindings(self) -> dict[str, list[dict[str, Any]]]:
        """The http rules by selector. One for everything belongs to no RPC, so it is none of these."""
        found = defaultdict(list)
        for match in filter(None, map(_BINDING.match, self.rules)):
            if match["verb"] != "*":
                body = {"body": match["body"]} if match["body"] else {}
                found[_selector(match["method"])].append({match["verb"].lower(): match["path"], **body})
        return dict(found)

    @property
    def fallback(self) -> str:
        """The operation that every path belongs to, if the case has one."""
        return next((m["method"] for m in map(_BINDING.match, self.rules) if m and m["verb"] == "*"), "")

    def own(self) -> list[Key]:
        return [Key(text, key_number(text)) for text in self.summary.get("api_keys", [])]

    def sources(self, key_server: str, odd: str) -> list[SourceText]:
        """The files to deploy. `odd` is where the method is that returns a status nobody knows."""
        if self.fallback:
            return [SourceText("openapi.yaml", self.everything())]
        more = frozenset(
            name for selector in self.bindings if selector.startswith(f"{V1}.") for name in [selector[len(V1) + 1 :]]
        )
        mains = ["bookstore/v1.proto", "bookstore/v2.proto"]
        packed = SourceText("bookstore.binpb", pack(descriptors(more), mains))
        return [packed, SourceText("service.yaml", yaml.safe_dump(self.service(key_server, odd)))]

    def service(self, key_server: str, odd: str) -> dict[str, Any]:
        tokens = [match for rule in self.rules if (match := _TOKEN.match(rule))]
        served = [V1, V2, *([HEALTH] if any(selector.startswith(HEALTH) for selector in self.bindings) else [])]
        return {
            "type": "google.api.Service",
            "config_version": 3,
            "name": self.host,
            "apis": [{"name": name} for name in served],
            "http": {
                "rules": [
                    {"selector": selector, **first, "additional_bindings": more}
                    for selector, (first, *more) in self.bindings.items()
                ]
            },
            "usage": {"rules": self.summary.get("usage_rules", [])},
            "authentication": {
                "providers": [
                    {"id": match["issuer"], "issuer": match["issuer"], "jwks_uri": f"http://{key_server}/"}
                    for match in tokens
                ],
                "rules": [
                    {
                        "selector": _selector(match["method"]),
                        "requirements": [{"provider_id": match["issuer"], "audiences": match["audience"]}],
                    }
                    for match in tokens
                ],
            },
            "backend": {"rules": [{"selector": f"{V1}.ReturnBadStatus", "address": f"grpc://{odd}"}]},
        }

    def everything(self) -> str:
        """A document of one operation on every path and method: RPCs that nobody described need no descriptors."""
        operations = {
            verb: {"operationId": self.fallback if verb == "post" else f"{self.fallback}_{verb}", "responses": {}}
            for verb in _VERBS
        }
        info = {"title": self.id, "version": "1.0.0"}
        document = {"swagger": "2.0", "info": info, "host": self.host, "paths": {"/**": operations}}
        return json.dumps(document)


def _selector(method: str) -> str:
    for short, full in _KNOWN.items():
        if method.startswith(short):
            return full + method.removeprefix(short)
    return method if "." in method else f"{V1}.{method}"
